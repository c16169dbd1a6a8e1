#include "breaker.h"
#include "charge.h"

const struct row_kind charge_rows[] = {
    [ROW_CHARGE] = {.name = "charge",
                    .prefix = 'c',
                    .type = RECORD_CHARGE,
                    .key = "charge key",
                    .due_field = LONG_FIELD(struct charge, due_at),
                    .settled_field = LONG_FIELD(struct charge, settled_at)},
    [ROW_BREAKER] = {.name = "breaker",
                     .prefix = 'b',
                     .type = RECORD_BREAKER,
                     .key = BREAKER_NAME,
                     .due_field = LONG_FIELD(struct breaker, due_at)},
    {0}};
