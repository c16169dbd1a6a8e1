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
    /* The longest wait is the breaker's queue; a minute more is for clocks that differ. A wrong
     * clock holds up no charge for longer, and a try before its time does no harm: the provider
     * knows the key. */
    .due_within_ms = BREAKER_QUEUE_MS_MAX + BREAKER_OPEN_MS_MAX,
    .opening = charge_opening,
    .decide = charge_decide,
    .world = &provider_world,
    .options = provider_options,
    .gauges = breaker_gauges,
};
