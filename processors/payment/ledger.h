/* The ledger's rules: by the state that a reservation is in, and by what an event means to it. */
#ifndef HOLDFAST_PAYMENT_LEDGER_H
#define HOLDFAST_PAYMENT_LEDGER_H

#include "runtime/contract/processor.h"
#include "gen/events.h"

/* The meaning of an event to the ledger. OWN: of the reservation's customer; OTHER: of another.
 * SAME: of the Reserve that opened it. */
enum ledger_input {
  INPUT_OPEN_SAME,
  INPUT_OPEN_OTHER,
  INPUT_PAY_OWN,
  INPUT_PAY_OTHER,
  INPUT_CANCEL_OWN,
  INPUT_CANCEL_OTHER,
  INPUT_HELD_SAME,
  INPUT_HELD_OTHER,
  INPUT_REFUSED_SAME,
  INPUT_REFUSED_OTHER,
  INPUT_CHARGE_APPROVED,
  INPUT_CHARGE_DECLINED,
  INPUT_CHARGE_DEFERRED,
  INPUT_REFUND_APPROVED,
  INPUT_REFUND_DECLINED,
  INPUT_REFUND_DEFERRED,
  INPUT_HOLD_END,
  INPUT_RETRY,
  INPUT_WATCHDOG,
  INPUT_COUNT
};

/* The ledger's reaction; README.md explains each. IGNORE: it was said before, or came too late, and
 * changes nothing. NO_ACTION is a cell that nobody filled. */
enum ledger_action {
  NO_ACTION,
  IGNORE,
  OPEN,
  REMEMBER_PAY,
  TAKE_HOLD,
  RELEASE_STRAY,
  FAIL_REFUSED,
  FAIL_UNANSWERED,
  PAY,
  APPROVE,
  APPROVE_REFUND,
  DECLINE,
  DEFER,
  RETRY_CHARGE,
  REMEMBER_EXPIRY,
  REMEMBER_CANCEL,
  EXPIRE,
  CANCEL,
  CANCEL_RELEASE,
  CANCEL_SOLD,
  FINISH_REFUND,
  REFUND_DECLINED,
  REFUND_DEFERRED,
  RETRY_REFUND,
  REFUSE_REUSED,
  REFUSE_DOUBTED,
  REFUSE_UNKNOWN,
  REFUSE_PAID,
  REFUSE_ENDED,
  ACTION_COUNT
};

extern const enum ledger_action ledger_table[INPUT_COUNT][LEDGER_STATE_COUNT];

/* The meaning of the event to the reservation of that row. */
enum ledger_input ledger_input_of(const struct event *event, const struct ledger *row);

#endif
