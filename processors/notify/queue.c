/* One call at a time for each customer, so a receiver that is slow to one holds up nobody else. A
 * notice is a row until the receiver has taken it; it is called again after a death or silence, and
 * its idempotency key says that it is the same. */
#include "queue.h"

#include "notify.h"
#include "runtime/contract/back_off.h"

int64_t notice_back_off(int32_t attempts) {
  return back_off(1000, NOTICE_WAIT_MS_MAX, attempts);
}

static struct str recipient_key(struct context *context, struct str customer_id) {
  return row_key(context, &notify_rows[ROW_RECIPIENT], &customer_id, 1);
}

static struct str notice_key(struct context *context, struct str customer_id, int64_t number) {
  struct str parts[] = {customer_id, scratch_hex(context, (uint64_t)number)};
  return row_key(context, &notify_rows[ROW_NOTICE], parts, 2);
}

static struct recipient get_recipient(struct context *context, struct str key) {
  const struct recipient *known = row_get(context, &notify_rows[ROW_RECIPIENT], key);
  return known ? *known : (struct recipient){.language = STR("en")};
}

static void call(struct context *context, struct str key, const struct notice *notice,
                 int64_t now) {
  struct notice called = *notice;
  called.attempts++;
  called.due_at = now + NOTICE_CALL_LIMIT_MS;
  row_put(context, &notify_rows[ROW_NOTICE], key, &called);
  call_world(context, key);
}

/* The deliberately broken version. */
static bool mutated(bool is_first) {
  return is_first || MUTANT("notices-overtake");
}

void queue_notice(struct context *context, const struct event *event, struct notice *notice) {
  struct str customer = recipient_key(context, notice->customer_id);
  struct recipient recipient = get_recipient(context, customer);
  notice->name = recipient.name.size ? recipient.name : notice->customer_id;
  notice->contact = recipient.contact.size ? recipient.contact : notice->customer_id;
  notice->language = recipient.language;
  notice->at = event->time;
  notice->correlation_id = event->correlation_id;
  notice->number = recipient.tail++;
  struct str key = notice_key(context, notice->customer_id, notice->number);
  recipient.last_at = recipient.name.size ? 0 : event->time; /* customers who signed up stay */
  row_put(context, &notify_rows[ROW_RECIPIENT], customer, &recipient);
  if (mutated(notice->number == recipient.head)) {
    call(context, key, notice, event->now);
  } else {
    row_put(context, &notify_rows[ROW_NOTICE], key, notice);
  }
}

void queue_register(struct context *context, const struct register_customer *customer) {
  struct str key = recipient_key(context, customer->customer_id);
  struct recipient recipient = get_recipient(context, key);
  recipient.name = customer->name;
  recipient.contact = customer->contact;
  recipient.language = customer->language;
  recipient.last_at = 0;
  row_put(context, &notify_rows[ROW_RECIPIENT], key, &recipient);
}

/* Customers with many notices do not keep all the places for calls. */
static void call_in_turn(struct context *context, struct str key, const struct notice *notice,
                         int64_t now) {
  if (call_fits(context)) {
    call(context, key, notice, now);
    return;
  }
  struct notice waiting = *notice;
  waiting.due_at = now;
  row_put(context, &notify_rows[ROW_NOTICE], key, &waiting);
}

/* The notice has come to its end, and the next of its customer begins. */
static void finish(struct context *context, const struct event *event, const struct notice *notice,
                   bool delivered) {
  const struct notified notified = {.customer_id = notice->customer_id,
                                    .reservation_id = notice->reservation_id,
                                    .revision = notice->revision,
                                    .status = notice->status,
                                    .delivered = delivered,
                                    .attempts = notice->attempts,
                                    .command = notice->command,
                                    .place = notice->place};
  emit(context, TO_NOTIFICATIONS, notice->customer_id, RECORD_NOTIFIED, &notified);
  if (!delivered) emit(context, TO_DEAD_LETTERS, notice->customer_id, RECORD_NOTICE, notice);
  row_delete(context, &notify_rows[ROW_NOTICE], event->key);
  struct str customer = recipient_key(context, notice->customer_id);
  struct recipient recipient = get_recipient(context, customer);
  recipient.head = notice->number + 1;
  row_put(context, &notify_rows[ROW_RECIPIENT], customer, &recipient);
  if (recipient.head == recipient.tail) return;
  struct str key = notice_key(context, notice->customer_id, recipient.head);
  const struct notice *next = row_get(context, &notify_rows[ROW_NOTICE], key);
  if (next) call_in_turn(context, key, next, event->now);
}

void queue_answered(struct context *context, const struct event *event) {
  struct notice notice = *as_notice(event);
  if (event->answer == NOTICE_TAKEN) {
    finish(context, event, &notice, true);
  } else if (event->answer == NOTICE_REFUSED || notice.attempts >= NOTICE_TRIES) {
    finish(context, event, &notice, false);
  } else {
    notice.due_at = event->now + notice_back_off(notice.attempts);
    row_put(context, &notify_rows[ROW_NOTICE], event->key, &notice);
  }
}

void queue_due(struct context *context, const struct event *event) {
  if (call_fits(context)) call(context, event->key, as_notice(event), event->now);
}

/* A customer who has not signed up is known for as long as there is something to tell, and a window
 * after: then the numbers of the notices may begin again. */
bool notify_recipient_leave(struct context *context, const void *row) {
  (void)context;
  const struct recipient *recipient = row;
  return recipient->head == recipient->tail;
}
