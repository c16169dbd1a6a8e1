#include "stock-check.h"

static const int accepts[] = {RECORD_REQUEST_HOLD,
                              RECORD_CONFIRM_HOLD,
                              RECORD_RELEASE_HOLD,
                              RECORD_REGISTER_ITEM,
                              RECORD_RECEIVE_STOCK,
                              RECORD_CLOSE_ITEM,
                              -1};
static const struct output outputs[] = {
    [TO_PAYMENT_REQUESTS] = {.topic = "payment-requests"},
    [TO_STOCK_LEVELS] = {.topic = "stock-levels", .table = true},
    [TO_RESERVATION_EVENTS] = {.topic = "reservation-events"},
    {0}};

const struct row_kind stock_check_rows[] = {
    [ROW_ITEM] = {.name = "item", .prefix = 'i', .type = RECORD_STOCK_LEVEL, .key = "item"},
    [ROW_SEATS] = {.name = "seats", .prefix = 's', .type = RECORD_SEAT_ROW, .key = "item, row"},
    [ROW_HOLD] = {.name = "hold",
                  .prefix = 'h',
                  .type = RECORD_HOLD,
                  .key = "item, reservation, content hash",
                  .settled_field = "settled_at"},
    [ROW_RECEIPT] = {.name = "receipt",
                     .prefix = 'r',
                     .type = RECORD_RECEIPT,
                     .key = "item, receipt",
                     .settled_field = "settled_at"},
    {0}};

const struct processor stock_check = {
    .name = "stock-check",
    .summary = "holds units and seats, confirms and gives them back",
    .input = "stock-requests",
    .accepts = accepts,
    .outputs = outputs,
    .rows = stock_check_rows,
    .changelog = "stock-check-changelog",
    .opening = stock_check_opening,
    .decide = stock_check_decide,
    .prefetch = stock_check_prefetch,
};
