#include "approved-failed.h"

static const int accepts[] = {RECORD_STATUS_CHANGED, RECORD_COMMAND_REFUSED, RECORD_RELEASE_HOLD,
                              -1};
static const struct output outputs[] = {
    [TO_RESERVATION_OUTCOMES] = {.topic = "reservation-outcomes"},
    [TO_STOCK_REQUESTS] = {.topic = "stock-requests"},
    [TO_RESERVATION_EVENTS] = {.topic = "reservation-events"},
    {0}};

const struct processor approved_failed = {
    .name = "approved-failed",
    .summary = "tells outcomes, and confirms or releases holds",
    .input = "payment-results",
    .accepts = accepts,
    .outputs = outputs,
    .decide = approved_failed_decide,
};
