#include "group.h"

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

bool group_has_left(struct kafka_admin *admin, const char *command, const char *group,
                    int patience_s, struct failure *failure) {
  for (int second = 0;; second++) {
    int members = kafka_admin_members(admin, group, failure);
    if (members < 0) return false;
    if (members == 0) return true;
    if (second == 0 && patience_s)
      fprintf(stderr,
              "holdfast %s: '%s' has %d members; waiting for them to be missed, which takes their "
              "session time-out\n",
              command, group, members);
    if (second >= patience_s)
      return failure_set(
          failure, EX_TEMPFAIL,
          "the group '%s' has %d members still: stop the filter first; a static member "
          "counts until its session has timed out",
          group, members);
    sleep(1);
  }
}
