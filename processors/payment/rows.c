#include "payment.h"

const struct row_kind payment_rows[] = {
    [ROW_LEDGER] = {.name = "reservation",
                    .prefix = 'l',
                    .type = RECORD_LEDGER,
                    .key = "reservation",
                    .settled_field = LONG_FIELD(struct ledger, settled_at),
                    .leave = payment_leave},
    {0}};
