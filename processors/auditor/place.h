/* The place of a record, as in `causation` headers: "topic-partition-offset". */
#ifndef HOLDFAST_PLACE_H
#define HOLDFAST_PLACE_H

#include "runtime/base/str.h"

/* False: it is not a place. */
bool place_parse(struct str place, int64_t *partition, int64_t *offset);

/* False: a timer or an answer caused it, which have no order of their own. */
bool audit_parse_causation(struct str causation, int64_t *partition, int64_t *offset);

#endif
