#include "breaker.h"
#include "charge.h"

static const int accepts[] = {RECORD_REQUEST_CHARGE, -1};
static const struct output outputs[] = {[TO_PAYMENT_REQUESTS] = {.topic = "payment-requests"},
                                        [TO_BREAKER_EVENTS] = {.topic = "breaker-events"},
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
    .gauges = breaker_gauges,
};
