/* Tells each customer each step, and each command that was refused, once and in order: one call at
 * a time for each customer, so a receiver that is slow to one holds up nobody else. A notice is a
 * row until the receiver has taken it; it is called again after a death or silence, and its
 * idempotency key says that it is the same. */
#include "notify.h"

#include "runtime/contract/back_off.h"

int64_t notice_back_off(int32_t attempts) {
  return back_off(1000, 900000, attempts);
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

/* Another reservation under an id that was used before: it was opened after this one settled, and
 * the ledger has taken it, as it goes on. At its opening nobody has. */
static bool is_another(int64_t settled_at, const struct status_changed *changed) {
  return changed->revision > 0 && settled_at != 0 && changed->opened_at > settled_at;
}

/* A reset of another filter says steps again: what is not above the last was told. And who is told
 * that a payment is deferred is not told so again at each try. */
static bool is_new(struct context *context, const struct event *event) {
  const struct status_changed *changed = as_status_changed(event);
  struct str parts[] = {changed->reservation_id, changed->customer_id};
  struct str key = row_key(context, &notify_rows[ROW_SENT], parts, 2);
  const struct notice_sent *sent = row_get(context, &notify_rows[ROW_SENT], key);
  if (sent && is_another(sent->settled_at, changed)) sent = NULL;
  if (sent && changed->revision <= sent->revision && !MUTANT("notice-repeated")) return false;
  if (!sent && expiry_has_gone(context, event->time, changed->opened_at))
    return false; /* it was told, and its row has gone */
  int64_t settled_at = expiry_step_time(event->time, changed->opened_at);
  bool same = sent && changed->status == sent->status && changed->revision > sent->revision;
  row_put(context, &notify_rows[ROW_SENT], key,
          &(struct notice_sent){
              .revision = changed->revision, .status = changed->status, .settled_at = settled_at});
  return !same;
}

/* Puts a notice behind those of its customer that wait. For who has not signed up the id stands in:
 * the receiver needs no other rule for strangers. */
static void tell(struct context *context, const struct event *event, struct notice *notice) {
  struct str customer = recipient_key(context, notice->customer_id);
  struct recipient recipient = get_recipient(context, customer);
  notice->name = recipient.name.size ? recipient.name : notice->customer_id;
  notice->contact = recipient.contact.size ? recipient.contact : notice->customer_id;
  notice->language = recipient.language;
  notice->at = event->time;
  notice->correlation_id = event->correlation_id;
  notice->number = recipient.tail++;
  struct str key = notice_key(context, notice->customer_id, notice->number);
  recipient.last_at = recipient.name.size ? 0 : event->time; /* who signed up stays */
  row_put(context, &notify_rows[ROW_RECIPIENT], customer, &recipient);
  if (notice->number == recipient.head || MUTANT("notices-overtake")) {
    call(context, key, notice, event->now);
  } else {
    row_put(context, &notify_rows[ROW_NOTICE], key, notice);
  }
}

static void status_changed(struct context *context, const struct event *event) {
  const struct status_changed *changed = as_status_changed(event);
  if (!is_new(context, event)) return;
  struct notice notice = {.customer_id = changed->customer_id,
                          .reservation_id = changed->reservation_id,
                          .item_id = changed->item_id,
                          .revision = changed->revision,
                          .status = changed->status,
                          .reason = changed->reason,
                          .quantity = changed->quantity,
                          .option = changed->option,
                          .amount = changed->amount,
                          .screen = changed->screen,
                          .until = changed->until,
                          .content_hash = changed->content_hash,
                          .opened_at = changed->opened_at};
  notice.seats = changed->seats;
  tell(context, event, &notice);
}

/* A filter that was reset says its refusals again. Each is known by its command's place, and by the
 * time there: of a topic that is made again the places begin anew, the times go on. A row of its
 * own for each, so that no row grows with what somebody sends. */
static bool is_new_refusal(struct context *context, const struct event *event) {
  const struct command_refused *refused = as_command_refused(event);
  if (!refused->place.size) return false; /* of an earlier version, which told nobody */
  struct str parts[] = {STR(""), refused->sender_id, refused->place,
                        scratch_hex(context, (uint64_t)event->time)};
  struct str key = row_key(context, &notify_rows[ROW_SENT], parts, 4);
  bool known = row_get(context, &notify_rows[ROW_SENT], key) != NULL;
  if (known && !MUTANT("refusal-repeated")) return false;
  if (expiry_has_gone(context, event->time, 0)) return false; /* told, and its row has gone */
  row_put(context, &notify_rows[ROW_SENT], key, &(struct notice_sent){.settled_at = event->time});
  return true;
}

static void command_refused(struct context *context, const struct event *event) {
  const struct command_refused *refused = as_command_refused(event);
  if (!is_new_refusal(context, event) || MUTANT("refusal-not-told")) return;
  tell(context, event,
       &(struct notice){.customer_id = refused->sender_id,
                        .reservation_id = refused->reservation_id,
                        .item_id = refused->item_id,
                        .content_hash = refused->content_hash,
                        .command = refused->command,
                        .refusal = refused->refusal,
                        .detail = refused->detail,
                        .place = refused->place});
}

static void register_customer(struct context *context, const struct register_customer *customer) {
  struct str key = recipient_key(context, customer->customer_id);
  struct recipient recipient = get_recipient(context, key);
  recipient.name = customer->name;
  recipient.contact = customer->contact;
  recipient.language = customer->language;
  recipient.last_at = 0;
  row_put(context, &notify_rows[ROW_RECIPIENT], key, &recipient);
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
  if (next) call(context, key, next, event->now);
}

static void answer(struct context *context, const struct event *event) {
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

/* Who has not signed up is known for as long as there is something to tell, and a window after:
 * then the numbers of the notices may begin again. */
bool notify_recipient_leave(struct context *context, const void *row) {
  (void)context;
  const struct recipient *recipient = row;
  return recipient->head == recipient->tail;
}

int64_t notify_opening(const struct event *event) {
  const struct status_changed *changed = as_status_changed(event);
  return changed && changed->revision == 0 ? event->time : 0;
}

void notify_decide(struct context *context, const struct event *event) {
  if (event->source == EVENT_ANSWER) {
    answer(context, event);
  } else if (event->source == EVENT_DUE) {
    if (call_fits(context)) call(context, event->key, as_notice(event), event->now);
  } else if (event->type == RECORD_STATUS_CHANGED) {
    status_changed(context, event);
  } else if (event->type == RECORD_COMMAND_REFUSED) {
    command_refused(context, event);
  } else if (event->type == RECORD_REGISTER_CUSTOMER) {
    register_customer(context, as_register_customer(event));
  }
}
