#include "history.h"
#include "runtime/contract/status.h"

static const int accepts[] = {RECORD_STATUS_CHANGED, RECORD_COMMAND_REFUSED,
                              RECORD_REGISTER_CUSTOMER, RECORD_TALLIED, -1};

const struct processor history = {
    .name = "history",
    .summary = "the customers' view: reservations and their timelines",
    .input = "reservation-events",
    .accepts = accepts,
    .rows = history_rows,
    .changelog = "history-changelog",
    .opening = status_opening,
    .linger_ms = LINGER_MS,
    .decide = history_decide,
    .prefetch = history_prefetch,
    .routes = history_routes,
};
