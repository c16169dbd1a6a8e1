/* Who waits for news of a reservation. Bounded by whom it belongs to: a waiter is a part of its
 * exchange. All calls are safe on any thread. */
#ifndef HOLDFAST_GATEWAY_WAITING_H
#define HOLDFAST_GATEWAY_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gen/records.h"
#include "runtime/base/str.h"

struct waiting;

/* A step of the reservation, or a command that was refused: the other is NULL. */
struct news {
  const struct status_changed *step;
  const struct command_refused *refusal;
};

struct waiter {
  struct str id; /* of the reservation; borrowed */
  /* Under the lock of waiting, which it must not call. Returns until when it waits on; 0: no
   * longer. news NULL: its time is over. */
  int64_t (*hear)(struct waiter *waiter, const struct news *news);

  /* Private. */
  int64_t until;
  struct waiter *next, **link; /* link NULL: it does not wait */
};

struct waiting *waiting_new(void);
void waiting_free(struct waiting *waiting); /* NULL is fine; nobody waits */

/* until: monotonic ms. Also from within an answer to what hear asked for, on another thread. */
void waiting_add(struct waiting *waiting, struct waiter *waiter, int64_t until);

/* hear is not running, and will not run, when this returns. Of one that waits no longer: nothing
 * is done. */
void waiting_remove(struct waiting *waiting, struct waiter *waiter);

void waiting_tell(struct waiting *waiting, struct str id, const struct news *news);

/* Those whose time is over. */
void waiting_expire(struct waiting *waiting, int64_t now);
size_t waiting_count(struct waiting *waiting);

#endif
