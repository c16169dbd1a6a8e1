#include "history.h"

static const int accepts[] = {RECORD_STATUS_CHANGED, RECORD_COMMAND_REFUSED,
                              RECORD_REGISTER_CUSTOMER, RECORD_TALLIED, -1};

const struct row_kind history_rows[] = {[ROW_RESERVATION] = {.name = "reservation",
                                                             .prefix = 'v',
                                                             .type = RECORD_RESERVATION_VIEW,
                                                             .key = "customer, reservation",
                                                             .settled_field = "settled_at",
                                                             .leave = history_leave},
                                        [ROW_OWNER] = {.name = "owner",
                                                       .prefix = 'o',
                                                       .type = RECORD_RESERVATION_OWNER,
                                                       .key = "reservation, customer"},
                                        [ROW_CUSTOMER] = {.name = "customer",
                                                          .prefix = 'c',
                                                          .type = RECORD_CUSTOMER_VIEW,
                                                          .key = "customer",
                                                          .settled_field = "settled_at"},
                                        {0}};

const struct processor history = {
    .name = "history",
    .summary = "the customers' view: reservations and their timelines",
    .input = "reservation-events",
    .accepts = accepts,
    .rows = history_rows,
    .changelog = "history-changelog",
    .opening = history_opening,
    .decide = history_decide,
    .prefetch = history_prefetch,
    .routes = history_routes,
};
