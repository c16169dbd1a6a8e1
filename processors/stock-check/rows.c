#include "stock-check.h"

const struct row_kind stock_check_rows[] = {
    [ROW_ITEM] = {.name = "item", .prefix = 'i', .type = RECORD_STOCK_LEVEL, .key = "item"},
    [ROW_SEATS] = {.name = "seats", .prefix = 's', .type = RECORD_SEAT_ROW, .key = "item, row"},
    [ROW_HOLD] = {.name = "hold",
                  .prefix = 'h',
                  .type = RECORD_HOLD,
                  .key = "item, reservation, content hash",
                  .settled_field = LONG_FIELD(struct hold, settled_at)},
    [ROW_RECEIPT] = {.name = "receipt",
                     .prefix = 'r',
                     .type = RECORD_RECEIPT,
                     .key = "item, receipt",
                     .settled_field = LONG_FIELD(struct receipt, settled_at)},
    {0}};
