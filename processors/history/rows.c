#include "history.h"

const struct row_kind history_rows[] = {
    [ROW_RESERVATION] = {.name = "reservation",
                         .prefix = 'v',
                         .type = RECORD_RESERVATION_VIEW,
                         .key = "customer, reservation",
                         .settled_field = LONG_FIELD(struct reservation_view, settled_at),
                         .leave = history_leave},
    [ROW_OWNER] = {.name = "owner",
                   .prefix = 'o',
                   .type = RECORD_RESERVATION_OWNER,
                   .key = "reservation, customer"},
    [ROW_CUSTOMER] = {.name = "customer",
                      .prefix = 'c',
                      .type = RECORD_CUSTOMER_VIEW,
                      .key = "customer",
                      .settled_field = LONG_FIELD(struct customer_view, settled_at)},
    {0}};
