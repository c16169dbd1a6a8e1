#include "history.h"

static const int accepts[] = {RECORD_STATUS_CHANGED, RECORD_COMMAND_REFUSED,
                              RECORD_REGISTER_CUSTOMER, RECORD_TALLIED, -1};

const struct row_kind history_rows[] = {EXPIRY_ROW_KINDS,
                                        [ROW_RESERVATION] = {.name = "reservation",
                                                             .prefix = 'v',
                                                             .type = RECORD_RESERVATION_VIEW,
                                                             .key = "customer, reservation"},
                                        [ROW_OWNER] = {.name = "owner",
                                                       .prefix = 'o',
                                                       .type = RECORD_RESERVATION_OWNER,
                                                       .key = "reservation, customer"},
                                        [ROW_CUSTOMER] = {.name = "customer",
                                                          .prefix = 'c',
                                                          .type = RECORD_CUSTOMER_VIEW,
                                                          .key = "customer"},
                                        {0}};

const struct processor history = {
    .name = "history",
    .summary = "the customers' view: reservations and their timelines",
    .input = "reservation-events",
    .accepts = accepts,
    .rows = history_rows,
    .changelog = "history-changelog",
    .decide = history_decide,
    .prefetch = history_prefetch,
    .routes = history_routes,
    .gauges = expiry_gauges,
};
