#include "deadline.h"

static const int accepts[] = {RECORD_SET_DEADLINE, RECORD_CLEAR_DEADLINES, -1};
static const struct output outputs[] = {[TO_PAYMENT_REQUESTS] = {.topic = "payment-requests"}, {0}};

const struct row_kind deadline_rows[] = {
    [ROW_DEADLINE] = {.name = "deadline",
                      .prefix = 'd',
                      .type = RECORD_DEADLINE,
                      .key = "reservation, kind",
                      .due_field = LONG_FIELD(struct deadline, due_at)},
    {0}};

const struct processor deadline = {
    .name = "deadline",
    .summary = "turns due times into records",
    .input = "deadlines",
    .accepts = accepts,
    .outputs = outputs,
    .rows = deadline_rows,
    .changelog = "deadline-changelog",
    .linger_ms = LINGER_MS,
    .decide = deadline_decide,
    .prefetch = deadline_prefetch,
};
