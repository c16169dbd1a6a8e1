#ifndef HOLDFAST_NOTIFY_H
#define HOLDFAST_NOTIFY_H

#include "runtime/contract/expiry.h"
#include "gen/events.h"

enum { ROW_RECIPIENT, ROW_NOTICE, ROW_SENT };
enum { TO_NOTIFICATIONS, TO_DEAD_LETTERS };

/* The result of a call to the webhook. REFUSED: it will not take this one, ever. */
enum notice_result { NOTICE_TAKEN, NOTICE_REFUSED, NOTICE_FAILED };

/* A call has ended by then, whatever its own deadline (--webhook-timeout-ms, at most 30 s). */
#define NOTICE_CALL_LIMIT_MS INT64_C(35000)
#define NOTICE_WAIT_MS_MAX INT64_C(900000) /* between two tries */
#define NOTICE_TRIES 100                   /* about a day */

extern const struct row_kind notify_rows[];
extern const struct world webhook_world;
extern const struct option_desc webhook_options[];

void notify_decide(struct context *context, const struct event *event);
bool notify_recipient_leave(struct context *context, const void *row);

/* The wait before the next try: doubles from a second to a quarter of an hour. Milliseconds. */
int64_t notice_back_off(int32_t attempts);

/* Of a notice, the same for each try and no other notice's: {reservation}:{revision, or "refused"}:
 * {hash of whom it tells, of which opening or command}. At most NOTICE_ID_SIZE bytes with the NUL,
 * of letters, digits and -._~%:, whatever the ids are. */
#define NOTICE_ID_SIZE 256
void notice_id(const struct notice *notice, char id[NOTICE_ID_SIZE]);

/* The text of a notice in its language, English where there is none, cut at size. */
void notice_text(const struct notice *notice, char *text, size_t size);

#endif
