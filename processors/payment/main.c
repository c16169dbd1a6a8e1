#include "payment.h"

static const int accepts[] = {RECORD_OPEN_RESERVATION,
                              RECORD_PAY,
                              RECORD_CANCEL,
                              RECORD_STOCK_HELD,
                              RECORD_STOCK_REFUSED,
                              RECORD_CHARGE_SETTLED,
                              RECORD_CHARGE_DEFERRED,
                              RECORD_DEADLINE_PASSED,
                              -1};
static const struct output outputs[] = {[TO_CHARGE_REQUESTS] = {.topic = "charge-requests"},
                                        [TO_DEADLINES] = {.topic = "deadlines"},
                                        [TO_PAYMENT_RESULTS] = {.topic = "payment-results"},
                                        {0}};

const struct processor payment = {
    .name = "payment",
    .summary = "the ledger: decides every status of a reservation",
    .input = "payment-requests",
    .accepts = accepts,
    .outputs = outputs,
    .rows = payment_rows,
    .changelog = "payment-changelog",
    .opening = payment_opening,
    .decide = payment_decide,
    .prefetch = payment_prefetch,
};
