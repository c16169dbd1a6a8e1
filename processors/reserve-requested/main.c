#include "reserve-requested.h"

static const int accepts[] = {RECORD_RESERVE,
                              RECORD_PAY,
                              RECORD_CANCEL,
                              RECORD_REGISTER_ITEM,
                              RECORD_RECEIVE_STOCK,
                              RECORD_CLOSE_ITEM,
                              RECORD_REGISTER_CUSTOMER,
                              -1};
static const struct output outputs[] = {[TO_PAYMENT_REQUESTS] = {.topic = "payment-requests"},
                                        [TO_STOCK_REQUESTS] = {.topic = "stock-requests"},
                                        [TO_RESERVATION_EVENTS] = {.topic = "reservation-events"},
                                        {0}};

const struct processor reserve_requested = {
    .name = "reserve-requested",
    .summary = "checks commands and opens reservations",
    .input = "reservation-commands",
    .open_input = true,
    .accepts = accepts,
    .outputs = outputs,
    .decide = reserve_requested_decide,
};
