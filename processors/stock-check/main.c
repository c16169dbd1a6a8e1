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
