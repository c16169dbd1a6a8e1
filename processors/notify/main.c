#include "notify.h"

static const int accepts[] = {RECORD_STATUS_CHANGED, RECORD_COMMAND_REFUSED,
                              RECORD_REGISTER_CUSTOMER, RECORD_TALLIED, -1};
static const struct output outputs[] = {[TO_NOTIFICATIONS] = {.topic = "notifications"},
                                        [TO_DEAD_LETTERS] = {.topic = "dead-letters"},
                                        {0}};

const struct row_kind notify_rows[] = {
    [ROW_RECIPIENT] = {.name = "recipient",
                       .prefix = 'c',
                       .type = RECORD_RECIPIENT,
                       .key = "customer",
                       .settled_field = "last_at",
                       .leave = notify_recipient_leave},
    [ROW_NOTICE] = {.name = "notice",
                    .prefix = 'n',
                    .type = RECORD_NOTICE,
                    .key = "customer, number",
                    .due_field = "due_at"},
    [ROW_SENT] = {.name = "sent",
                  .prefix = 's',
                  .type = RECORD_NOTICE_SENT,
                  .key = "reservation, customer; or \"\", customer, place and time of a command",
                  .settled_field = "settled_at"},
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
    .opening = notify_opening,
    .decide = notify_decide,
    .world = &webhook_world,
    .options = webhook_options,
};
