/* Each action of the ledger's table, done to a reservation. */
#include "turn.h"

#define XXH_INLINE_ALL /* a decision depends on nothing that has to be linked */
#include <xxhash.h>

/* Nobody answered the hold for so long that something is broken for good: an outage of stock-check
 * itself may last a day. */
#define WATCHDOG_MS (INT64_C(24) * 3600 * 1000)
#define REFUND_RETRY_MS (INT64_C(60) * 1000)
#define RETRY_MS_MIN INT64_C(1000)

/* The deliberately broken version. */
static int64_t mutated(int64_t name) {
  return MUTANT("charge-key-of-the-id-alone") ? 0 : name;
}

/* Names an opening by its content, place and time. An id may be used again once its reservation is
 * forgotten, and the provider remembers for longer. Never 0. */
static int64_t name_opening(const struct event *event) {
  const struct open_reservation *open = as_open_reservation(event);
  const int64_t seen[] = {open->content_hash, event->time};
  uint64_t name =
      XXH3_64bits_withSeed(event->cause.data, event->cause.size, XXH3_64bits(seen, sizeof seen));
  return mutated(name ? (int64_t)name : 1);
}

static void end(struct turn *turn, enum ledger_state state, enum status status, enum reason reason,
                enum hold_effect hold) {
  turn->row.state = state;
  turn->row.reason = reason;
  ledger_say(turn, status, reason, 0, hold);
  ledger_clear_deadlines(turn);
}

static void open_reservation(struct turn *turn) {
  const struct open_reservation *open = as_open_reservation(turn->event);
  turn->row = (struct ledger){.customer_id = open->customer_id,
                              .item_id = open->item_id,
                              .content_hash = open->content_hash,
                              .quantity = open->quantity,
                              .option = open->option,
                              .amount = open->amount,
                              .state = LEDGER_STATE_REQUESTED,
                              .opened_at = turn->event->time,
                              .last_command = turn->row.last_command,
                              .last_command_partition = turn->row.last_command_partition,
                              .last_command_at = turn->row.last_command_at,
                              .opening = name_opening(turn->event)};
  turn->row.seats = open->seats;
  ledger_set_deadline(turn, DEADLINE_KIND_WATCHDOG, turn->event->time + WATCHDOG_MS);
}

static void start_charge(struct turn *turn) {
  turn->row.state = LEDGER_STATE_CHARGING;
  ledger_request_charge(turn, CHARGE_KIND_CHARGE);
}

static void approve(struct turn *turn) {
  end(turn, LEDGER_STATE_APPROVED, STATUS_APPROVED, REASON_NONE, HOLD_EFFECT_CONFIRM);
}

static void take_hold(struct turn *turn) {
  const struct stock_held *held = as_stock_held(turn->event);
  bool paid_early = turn->row.state == LEDGER_STATE_REQUESTED_PAY;
  bool payable = held->payment != PAYMENT_DUE_NONE && held->amount > 0;
  int64_t until = payable ? turn->event->time + (int64_t)held->hold_seconds * 1000 : 0;
  turn->row.amount = held->amount;
  turn->row.screen = held->screen;
  if (held->seats.count) turn->row.seats = held->seats;
  turn->row.hold_seconds = held->hold_seconds;
  turn->row.state = LEDGER_STATE_HELD;
  ledger_say(turn, STATUS_HELD, REASON_NONE, until, HOLD_EFFECT_KEEP);
  if (paid_early && (!payable || held->payment != PAYMENT_DUE_BY_CUSTOMER)) {
    ledger_refuse_early_pay(turn);
  }
  if (!payable) {
    approve(turn);
    return;
  }
  ledger_set_deadline(turn, DEADLINE_KIND_HOLD_END, until);
  if (held->payment == PAYMENT_DUE_AT_ONCE || paid_early) start_charge(turn);
}

static void release_stray(struct turn *turn) {
  const struct stock_held *held = as_stock_held(turn->event);
  const struct release_hold release = {.reservation_id = held->reservation_id,
                                       .item_id = held->item_id,
                                       .content_hash = held->content_hash};
  emit(turn->context, TO_PAYMENT_RESULTS, turn->reservation_id, RECORD_RELEASE_HOLD, &release);
}

static void start_refund(struct turn *turn) {
  turn->row.state = LEDGER_STATE_REFUNDING;
  ledger_say(turn, STATUS_REFUNDING, REASON_NONE, 0, HOLD_EFFECT_KEEP);
  ledger_request_charge(turn, CHARGE_KIND_REFUND);
}

static void cancel_sold(struct turn *turn) {
  if (turn->row.charged) {
    start_refund(turn);
  } else {
    end(turn, LEDGER_STATE_CANCELLED, STATUS_CANCELLED, REASON_NONE, HOLD_EFFECT_RELEASE);
  }
}

/* charge says the time, and deadline's clock fires: if that runs ahead, a time that has passed
 * already would come back at once, again and again. */
static void defer(struct turn *turn, enum ledger_state state, enum status status,
                  int64_t retry_at) {
  int64_t earliest = turn->row.retried_at ? turn->row.retried_at + RETRY_MS_MIN : 0;
  if (retry_at < earliest) retry_at = earliest;
  turn->row.state = state;
  ledger_say(turn, status, REASON_NONE, retry_at, HOLD_EFFECT_KEEP);
  ledger_set_deadline(turn, DEADLINE_KIND_RETRY, retry_at);
}

static void refuse_paid(struct turn *turn) {
  bool due = turn->row.charged || turn->row.state != LEDGER_STATE_APPROVED;
  ledger_refuse_command(
      turn, due ? REFUSAL_ALREADY_PAID : REFUSAL_NOT_DUE,
      due ? "it is paid, or being paid" : "no payment is due for this reservation");
}

void ledger_act(struct turn *turn, enum ledger_action action) {
  const struct event *event = turn->event;
  switch (action) {
    case NO_ACTION:
    case ACTION_COUNT:
    case IGNORE: return;
    case OPEN: open_reservation(turn); return;
    case REMEMBER_PAY:
      turn->row.state = LEDGER_STATE_REQUESTED_PAY;
      turn->row.early_pay = event->cause;
      return;
    case TAKE_HOLD: take_hold(turn); return;
    case RELEASE_STRAY: release_stray(turn); return;
    case FAIL_REFUSED:
      end(turn, LEDGER_STATE_FAILED, STATUS_FAILED, as_stock_refused(event)->reason,
          HOLD_EFFECT_KEEP);
      return;
    case FAIL_UNANSWERED:
      end(turn, LEDGER_STATE_FAILED, STATUS_FAILED, REASON_EXPIRED, HOLD_EFFECT_KEEP);
      return;
    case PAY: start_charge(turn); return;
    case APPROVE:
      turn->row.charged = true;
      approve(turn);
      return;
    case APPROVE_REFUND:
      turn->row.charged = true;
      approve(turn);
      start_refund(turn);
      return;
    case DECLINE:
      end(turn, LEDGER_STATE_FAILED, STATUS_FAILED, REASON_DECLINED, HOLD_EFFECT_RELEASE);
      return;
    case DEFER:
      defer(turn, LEDGER_STATE_DEFERRED, STATUS_PAYMENT_DEFERRED,
            as_charge_deferred(event)->retry_at);
      return;
    case RETRY_CHARGE:
      turn->row.retried_at = event->time;
      start_charge(turn);
      return;
    case REMEMBER_EXPIRY: turn->row.state = LEDGER_STATE_CHARGING_EXPIRED; return;
    case REMEMBER_CANCEL: turn->row.state = LEDGER_STATE_CHARGING_CANCEL; return;
    case EXPIRE:
      end(turn, LEDGER_STATE_FAILED, STATUS_FAILED, REASON_EXPIRED, HOLD_EFFECT_RELEASE);
      return;
    case CANCEL:
      end(turn, LEDGER_STATE_CANCELLED, STATUS_CANCELLED, REASON_NONE, HOLD_EFFECT_KEEP);
      return;
    case CANCEL_RELEASE:
      end(turn, LEDGER_STATE_CANCELLED, STATUS_CANCELLED, REASON_NONE, HOLD_EFFECT_RELEASE);
      return;
    case CANCEL_SOLD: cancel_sold(turn); return;
    case FINISH_REFUND:
      end(turn, LEDGER_STATE_CANCELLED, STATUS_CANCELLED, REASON_NONE, HOLD_EFFECT_RELEASE);
      return;
    /* Another key: this one has its answer. The status with a next try is the alarm. */
    case REFUND_DECLINED:
      turn->row.refunds_declined++;
      defer(turn, LEDGER_STATE_REFUNDING, STATUS_REFUNDING, event->time + REFUND_RETRY_MS);
      return;
    case REFUND_DEFERRED:
      defer(turn, LEDGER_STATE_REFUNDING, STATUS_REFUNDING, as_charge_deferred(event)->retry_at);
      return;
    case RETRY_REFUND:
      turn->row.retried_at = event->time;
      ledger_request_charge(turn, CHARGE_KIND_REFUND);
      return;
    case REFUSE_REUSED:
      ledger_refuse_reserve(turn, REFUSAL_ID_REUSED,
                            "the reservation_id belongs to another Reserve");
      return;
    case REFUSE_DOUBTED:
      ledger_refuse_reserve(turn, REFUSAL_ID_REUSED,
                            "the reservation of that id has ended and stands as it is, and it is "
                            "not sure that its id "
                            "is free again: reserve under another id");
      return;
    case REFUSE_UNKNOWN:
      ledger_refuse_command(turn, REFUSAL_UNKNOWN_RESERVATION,
                            "this customer has no reservation of that id");
      return;
    case REFUSE_PAID: refuse_paid(turn); return;
    case REFUSE_ENDED:
      ledger_refuse_command(turn, REFUSAL_ALREADY_ENDED, "the reservation has ended");
      return;
  }
}
