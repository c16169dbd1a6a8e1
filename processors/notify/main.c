#include "notify.h"
#include "runtime/contract/status.h"

static const int accepts[] = {RECORD_STATUS_CHANGED, RECORD_COMMAND_REFUSED,
                              RECORD_REGISTER_CUSTOMER, RECORD_TALLIED, -1};
static const struct output outputs[] = {[TO_NOTIFICATIONS] = {.topic = "notifications"},
                                        [TO_DEAD_LETTERS] = {.topic = "dead-letters"},
                                        {0}};

const struct processor notify = {
    .name = "notify",
    .summary = "tells customers each step, by webhook",
    .input = "reservation-events",
    .accepts = accepts,
    .outputs = outputs,
    .rows = notify_rows,
    .changelog = "notify-changelog",
    .wants_now = true,
    .due_within_ms = INT64_C(86400) * 1000, /* tries wait for minutes */
    .opening = status_opening,
    .decide = notify_decide,
    .world = &webhook_world,
    .options = webhook_options,
};
