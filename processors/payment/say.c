/* The ledger's records for others. */
#include "turn.h"

void ledger_say(struct turn *turn, enum status status, enum reason reason, int64_t until,
                enum hold_effect hold) {
  const struct ledger *row = &turn->row;
  const struct stock_held *held = as_stock_held(turn->event);
  struct status_changed changed = {.reservation_id = turn->reservation_id,
                                   .customer_id = row->customer_id,
                                   .item_id = row->item_id,
                                   .content_hash = row->content_hash,
                                   .revision = ++turn->row.revision,
                                   .status = status,
                                   .reason = reason,
                                   .quantity = row->quantity,
                                   .option = row->option,
                                   .amount = row->amount,
                                   .screen = row->screen,
                                   .until = until,
                                   .payment = held && until ? held->payment : PAYMENT_DUE_NONE,
                                   .hold = hold,
                                   .opened_at = row->opened_at};
  changed.seats = row->seats;
  emit(turn->context, TO_PAYMENT_RESULTS, turn->reservation_id, RECORD_STATUS_CHANGED, &changed);
}

void ledger_set_deadline(struct turn *turn, enum deadline_kind kind, int64_t due_at) {
  const struct set_deadline set = {
      .reservation_id = turn->reservation_id, .kind = kind, .due_at = due_at};
  emit(turn->context, TO_DEADLINES, turn->reservation_id, RECORD_SET_DEADLINE, &set);
}

void ledger_clear_deadlines(struct turn *turn) {
  const struct clear_deadlines clear = {.reservation_id = turn->reservation_id};
  emit(turn->context, TO_DEADLINES, turn->reservation_id, RECORD_CLEAR_DEADLINES, &clear);
}

/* The key stays the same until the provider has answered it: asking again can never charge again.
 * It is another for each opening of the id, and for each refund after one that was declined. */
static struct str charge_key(struct turn *turn, enum charge_kind kind) {
  struct context *context = turn->context;
  struct str opened = turn->reservation_id;
  if (turn->row.opening)
    opened = scratch_format(context, "%.*s/%.*s", STR_ARGS(opened),
                            STR_ARGS(scratch_hex(context, (uint64_t)turn->row.opening)));
  if (kind == CHARGE_KIND_CHARGE) return scratch_format(context, "%.*s/charge", STR_ARGS(opened));
  return scratch_format(context, "%.*s/refund/%d", STR_ARGS(opened),
                        (int)turn->row.refunds_declined);
}

void ledger_request_charge(struct turn *turn, enum charge_kind kind) {
  const struct request_charge request = {.reservation_id = turn->reservation_id,
                                         .customer_id = turn->row.customer_id,
                                         .charge_key = charge_key(turn, kind),
                                         .kind = kind,
                                         .amount = turn->row.amount,
                                         .attempt = ++turn->row.charges_asked,
                                         .opened_at = turn->row.opened_at};
  emit(turn->context, TO_CHARGE_REQUESTS, turn->reservation_id, RECORD_REQUEST_CHARGE, &request);
}

static void refuse(struct turn *turn, struct command_refused refused) {
  refused.reservation_id = turn->reservation_id;
  emit(turn->context, TO_PAYMENT_RESULTS, turn->reservation_id, RECORD_COMMAND_REFUSED, &refused);
}

void ledger_refuse_reserve(struct turn *turn, enum refusal refusal, const char *detail) {
  const struct open_reservation *open = as_open_reservation(turn->event);
  refuse(turn, (struct command_refused){.sender_id = open->customer_id,
                                        .command = STR("Reserve"),
                                        .item_id = open->item_id,
                                        .content_hash = open->content_hash,
                                        .refusal = refusal,
                                        .detail = str_of(detail),
                                        .place = turn->event->cause});
}

void ledger_refuse_command(struct turn *turn, enum refusal refusal, const char *detail) {
  bool pay = turn->event->type == RECORD_PAY;
  refuse(turn, (struct command_refused){.sender_id = pay ? as_pay(turn->event)->customer_id
                                                         : as_cancel(turn->event)->customer_id,
                                        .command = pay ? STR("Pay") : STR("Cancel"),
                                        .item_id = turn->row.item_id,
                                        .refusal = refusal,
                                        .detail = str_of(detail),
                                        .place = turn->event->cause});
}

void ledger_refuse_early_pay(struct turn *turn) {
  refuse(turn, (struct command_refused){
                   .sender_id = turn->row.customer_id,
                   .command = STR("Pay"),
                   .item_id = turn->row.item_id,
                   .refusal = REFUSAL_NOT_DUE,
                   .detail = STR("no payment by the customer is due for this reservation"),
                   .place = turn->row.early_pay});
}
