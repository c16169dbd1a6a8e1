/* A filter's group, before its offsets are rewritten. */
#ifndef HOLDFAST_GROUP_H
#define HOLDFAST_GROUP_H

#include "kafka_admin.h"

/* Waits up to patience_s for the group to have no members, and says on stderr that `command` does.
 * False: it has some still, or they could not be counted; the failure says so. */
bool group_has_left(struct kafka_admin *admin, const char *command, const char *group,
                    int patience_s, struct log_failure *failure);

#endif
