/* A filter's group, before its offsets are rewritten. */
#ifndef HOLDFAST_GROUP_H
#define HOLDFAST_GROUP_H

#include "runtime/kafka/admin.h"

/* --wait, for a table of options: the patience. */
#define GROUP_WAIT_OPTION                                                               \
  {                                                                                     \
    .name = "wait", .kind = OPTION_NUMBER, .metavar = "S", .value = "25", .max = 86400, \
    .help = "with --apply: wait so long for the group's members to be missed"           \
  }

/* Waits up to patience_s for the group to have no members, and says on stderr that `command` does.
 * False: it has some still, or they could not be counted; the failure says so. */
bool group_has_left(struct kafka_admin *admin, const char *command, const char *group,
                    int patience_s, struct failure *failure);

#endif
