/* The meaning of a status, for every filter that is told of it. */
#ifndef HOLDFAST_CONTRACT_STATUS_H
#define HOLDFAST_CONTRACT_STATUS_H

#include "runtime/contract/processor.h"
#include "gen/events.h"

/* Nothing more happens by itself: only a Cancel of what was approved may follow. */
static inline bool status_is_outcome(enum status status) {
  return status == STATUS_APPROVED || status == STATUS_CANCELLED || status == STATUS_FAILED;
}

/* The opening of a filter that reads the steps of reservations (processor.h): their first. */
static inline int64_t status_opening(const struct event *event) {
  const struct status_changed *changed = as_status_changed(event);
  return changed && changed->revision == 0 ? event->time : 0;
}

/* Of another reservation than the row's, under an id that was used before: it was opened after the
 * row's settled, and the ledger has taken it, as it goes on. At its opening nobody has. */
static inline bool status_is_of_another(int64_t settled_at, const struct status_changed *changed) {
  return changed->revision > 0 && settled_at != 0 && changed->opened_at > settled_at;
}

#endif
