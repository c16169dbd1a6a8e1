#include "notify.h"

const struct row_kind notify_rows[] = {
    [ROW_RECIPIENT] = {.name = "recipient",
                       .prefix = 'c',
                       .type = RECORD_RECIPIENT,
                       .key = "customer",
                       .settled_field = LONG_FIELD(struct recipient, last_at),
                       .leave = notify_recipient_leave},
    [ROW_NOTICE] = {.name = "notice",
                    .prefix = 'n',
                    .type = RECORD_NOTICE,
                    .key = "customer, number",
                    .due_field = LONG_FIELD(struct notice, due_at)},
    [ROW_SENT] = {.name = "sent",
                  .prefix = 's',
                  .type = RECORD_NOTICE_SENT,
                  .key = "reservation, customer; or \"\", customer, place and time of a command",
                  .settled_field = LONG_FIELD(struct notice_sent, settled_at)},
    {0}};
