/* Tells the ledger's decisions to everyone concerned: the customer's events, the item's outcomes,
 * the hold's fate. */
#include "approved-failed.h"

#include "runtime/contract/status.h"

static void settle_hold(struct context *context, const struct status_changed *changed) {
  const struct confirm_hold confirm = {.reservation_id = changed->reservation_id,
                                       .item_id = changed->item_id,
                                       .content_hash = changed->content_hash};
  const struct release_hold release = {.reservation_id = changed->reservation_id,
                                       .item_id = changed->item_id,
                                       .content_hash = changed->content_hash};
  switch (changed->hold) {
    case HOLD_EFFECT_KEEP: return;
    case HOLD_EFFECT_CONFIRM:
      emit(context, TO_STOCK_REQUESTS, changed->item_id, RECORD_CONFIRM_HOLD, &confirm);
      return;
    case HOLD_EFFECT_RELEASE:
      emit(context, TO_STOCK_REQUESTS, changed->item_id, RECORD_RELEASE_HOLD, &release);
      return;
  }
}

static void tell(struct context *context, const struct status_changed *changed) {
  emit(context, TO_RESERVATION_EVENTS, changed->customer_id, RECORD_STATUS_CHANGED, changed);
  settle_hold(context, changed);
  if (!status_is_outcome(changed->status)) return;
  struct reservation_outcome outcome = {.reservation_id = changed->reservation_id,
                                        .customer_id = changed->customer_id,
                                        .item_id = changed->item_id,
                                        .revision = changed->revision,
                                        .status = changed->status,
                                        .reason = changed->reason,
                                        .quantity = changed->quantity,
                                        .option = changed->option,
                                        .amount = changed->amount,
                                        .screen = changed->screen,
                                        .opened_at = changed->opened_at};
  outcome.seats = changed->seats;
  emit(context, TO_RESERVATION_OUTCOMES, changed->item_id, RECORD_RESERVATION_OUTCOME, &outcome);
}

void approved_failed_decide(struct context *context, const struct event *event) {
  if (event->type == RECORD_STATUS_CHANGED) {
    tell(context, as_status_changed(event));
  } else if (event->type == RECORD_COMMAND_REFUSED) {
    emit(context, TO_RESERVATION_EVENTS, as_command_refused(event)->sender_id, event->type,
         event->value);
  } else {
    emit(context, TO_STOCK_REQUESTS, as_release_hold(event)->item_id, event->type, event->value);
  }
}
