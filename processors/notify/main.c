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
    .linger_ms = LINGER_MS,
    /* A minute more than the longest wait, for clocks that differ; receivers know a notice's key. */
    .due_within_ms = NOTICE_WAIT_MS_MAX + 60000,
    .opening = status_opening,
    .decide = notify_decide,
    .world = &webhook_world,
    .options = webhook_options,
};
