#include "breaker.h"
#include "charge.h"

static const int accepts[] = {RECORD_REQUEST_CHARGE, -1};
static const struct output outputs[] = {[TO_PAYMENT_REQUESTS] = {.topic = "payment-requests"},
                                        [TO_BREAKER_EVENTS] = {.topic = "breaker-events"},
                                        {0}};

const struct row_kind charge_rows[] = {[ROW_CHARGE] = {.name = "charge",
                                                       .prefix = 'c',
                                                       .type = RECORD_CHARGE,
                                                       .key = "charge key",
                                                       .due_field = "due_at",
                                                       .settled_field = "settled_at"},
                                       [ROW_BREAKER] = {.name = "breaker",
                                                        .prefix = 'b',
                                                        .type = RECORD_BREAKER,
                                                        .key = "payment-provider",
                                                        .due_field = "due_at"},
                                       {0}};

static int64_t breaker_state(const void *row) {
  return ((const struct breaker *)row)->state;
}

static const struct gauge gauges[] = {
    {.name = "breaker_state",
     .help = "Of the breaker before the provider: 0 closed, 1 open, 2 half-open.",
     .row = ROW_BREAKER,
     .key = BREAKER_NAME,
     .value = breaker_state},
    {0}};

const struct processor charge = {
    .name = "charge",
    .summary = "takes and gives back money, once per charge key",
    .input = "charge-requests",
    .accepts = accepts,
    .outputs = outputs,
    .rows = charge_rows,
    .changelog = "charge-changelog",
    .wants_now = true,
    .due_within_ms = INT64_C(86400) * 1000, /* tries wait for minutes */
    .opening = charge_opening,
    .decide = charge_decide,
    .world = &provider_world,
    .options = provider_options,
    .gauges = gauges,
};
