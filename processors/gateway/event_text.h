/* The text of an event, and its id: how far each partition was told to this listener, in
 * hexadecimal with dots between. Two listeners who began at different places have different ids of
 * one event. */
#ifndef HOLDFAST_GATEWAY_EVENT_TEXT_H
#define HOLDFAST_GATEWAY_EVENT_TEXT_H

#include <stdbool.h>

#include "gen/records.h"

#define EVENT_ID_SIZE(partitions) (8 + 17 * (size_t)(partitions))

/* The customer's id, then the event (of *size bytes) but for its line with the id: owned by the
 * caller. */
char *event_text(const struct status_changed *step, size_t *size);

/* The line with the id, without a NUL: at most EVENT_ID_SIZE bytes. Returns its size. */
size_t event_id_write(char *out, const int64_t *positions, int32_t partitions);

/* False: it is no id of so many partitions. */
bool event_id_parse(const char *text, int64_t *positions, int32_t partitions);

#endif
