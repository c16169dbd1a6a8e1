/* Tells each customer each step, and each command that was refused, once and in order: this file
 * has the content, queue.c the time. */
#include "notify.h"

#include "queue.h"
#include "runtime/contract/status.h"

/* The deliberately broken versions: they take the wrong notices for told. */
static const struct notice_sent *mutated(const struct event *event,
                                         const struct notice_sent *sent) {
  static const struct notice_sent told;
  const struct status_changed *changed = as_status_changed(event);
  if (!changed && MUTANT("refusal-not-told")) return &told;
  if (!changed && MUTANT("refusal-repeated")) return NULL;
  bool repeated = changed && sent && changed->revision <= sent->revision;
  return repeated && MUTANT("notice-repeated") ? NULL : sent;
}

/* A reset of another filter says steps again: a step that is not above the last was told. And a
 * customer who knows that a payment is deferred is not told so again at each try. */
static bool is_new(struct context *context, const struct event *event) {
  const struct status_changed *changed = as_status_changed(event);
  struct str parts[] = {changed->reservation_id, changed->customer_id};
  struct str key = row_key(context, &notify_rows[ROW_SENT], parts, 2);
  const struct notice_sent *sent = mutated(event, row_get(context, &notify_rows[ROW_SENT], key));
  if (sent && status_is_of_another(sent->settled_at, changed)) sent = NULL;
  if (sent && changed->revision <= sent->revision) return false;
  if (!sent && expiry_has_gone(context, event->time, changed->opened_at))
    return false; /* it was told, and its row has gone */
  int64_t settled_at = expiry_step_time(event->time, changed->opened_at);
  bool same = sent && changed->status == sent->status;
  row_put(context, &notify_rows[ROW_SENT], key,
          &(struct notice_sent){
              .revision = changed->revision, .status = changed->status, .settled_at = settled_at});
  return !same;
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
  queue_notice(context, event, &notice);
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
  if (mutated(event, row_get(context, &notify_rows[ROW_SENT], key))) return false;
  if (expiry_has_gone(context, event->time, 0)) return false; /* told, and its row has gone */
  row_put(context, &notify_rows[ROW_SENT], key, &(struct notice_sent){.settled_at = event->time});
  return true;
}

static void command_refused(struct context *context, const struct event *event) {
  const struct command_refused *refused = as_command_refused(event);
  if (!is_new_refusal(context, event)) return;
  queue_notice(context, event,
               &(struct notice){.customer_id = refused->sender_id,
                                .reservation_id = refused->reservation_id,
                                .item_id = refused->item_id,
                                .content_hash = refused->content_hash,
                                .command = refused->command,
                                .refusal = refused->refusal,
                                .detail = refused->detail,
                                .place = refused->place});
}

void notify_decide(struct context *context, const struct event *event) {
  if (event->source == EVENT_ANSWER) {
    queue_answered(context, event);
  } else if (event->source == EVENT_DUE) {
    queue_due(context, event);
  } else if (event->type == RECORD_STATUS_CHANGED) {
    status_changed(context, event);
  } else if (event->type == RECORD_COMMAND_REFUSED) {
    command_refused(context, event);
  } else if (event->type == RECORD_REGISTER_CUSTOMER) {
    queue_register(context, as_register_customer(event));
  }
}
