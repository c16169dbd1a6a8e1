/* The whole of the ledger: the action for each state and input, and the input that an event is. */
#include "ledger.h"

/* Columns in the order of LedgerState. */
/* clang-format off */
const enum ledger_action ledger_table[INPUT_COUNT][LEDGER_STATE_COUNT] = {
/*                          UNKNOWN         REQUESTED        REQUESTED_PAY    HELD            CHARGING         CHARGING_EXPIRED CHARGING_CANCEL DEFERRED        APPROVED        REFUNDING        CANCELLED       FAILED */
[INPUT_OPEN_SAME]       = { OPEN,           IGNORE,          IGNORE,          IGNORE,         IGNORE,          IGNORE,          IGNORE,         IGNORE,         IGNORE,         IGNORE,          IGNORE,         IGNORE },
[INPUT_OPEN_OTHER]      = { OPEN,           REFUSE_REUSED,   REFUSE_REUSED,   REFUSE_REUSED,  REFUSE_REUSED,   REFUSE_REUSED,   REFUSE_REUSED,  REFUSE_REUSED,  REFUSE_REUSED,  REFUSE_REUSED,   REFUSE_REUSED,  REFUSE_REUSED },
[INPUT_PAY_OWN]         = { REFUSE_UNKNOWN, REMEMBER_PAY,    REFUSE_PAID,     PAY,            REFUSE_PAID,     REFUSE_PAID,     REFUSE_PAID,    REFUSE_PAID,    REFUSE_PAID,    REFUSE_ENDED,    REFUSE_ENDED,   REFUSE_ENDED },
[INPUT_PAY_OTHER]       = { REFUSE_UNKNOWN, REFUSE_UNKNOWN,  REFUSE_UNKNOWN,  REFUSE_UNKNOWN, REFUSE_UNKNOWN,  REFUSE_UNKNOWN,  REFUSE_UNKNOWN, REFUSE_UNKNOWN, REFUSE_UNKNOWN, REFUSE_UNKNOWN,  REFUSE_UNKNOWN, REFUSE_UNKNOWN },
[INPUT_CANCEL_OWN]      = { REFUSE_UNKNOWN, CANCEL,          CANCEL,          CANCEL_RELEASE, REMEMBER_CANCEL, REMEMBER_CANCEL, IGNORE,         CANCEL_RELEASE, CANCEL_SOLD,    IGNORE,          IGNORE,         REFUSE_ENDED },
[INPUT_CANCEL_OTHER]    = { REFUSE_UNKNOWN, REFUSE_UNKNOWN,  REFUSE_UNKNOWN,  REFUSE_UNKNOWN, REFUSE_UNKNOWN,  REFUSE_UNKNOWN,  REFUSE_UNKNOWN, REFUSE_UNKNOWN, REFUSE_UNKNOWN, REFUSE_UNKNOWN,  REFUSE_UNKNOWN, REFUSE_UNKNOWN },
[INPUT_HELD_SAME]       = { RELEASE_STRAY,  TAKE_HOLD,       TAKE_HOLD,       IGNORE,         IGNORE,          IGNORE,          IGNORE,         IGNORE,         IGNORE,         IGNORE,          RELEASE_STRAY,  RELEASE_STRAY },
[INPUT_HELD_OTHER]      = { RELEASE_STRAY,  RELEASE_STRAY,   RELEASE_STRAY,   RELEASE_STRAY,  RELEASE_STRAY,   RELEASE_STRAY,   RELEASE_STRAY,  RELEASE_STRAY,  RELEASE_STRAY,  RELEASE_STRAY,   RELEASE_STRAY,  RELEASE_STRAY },
[INPUT_REFUSED_SAME]    = { IGNORE,         FAIL_REFUSED,    FAIL_REFUSED,    IGNORE,         IGNORE,          IGNORE,          IGNORE,         IGNORE,         IGNORE,         IGNORE,          IGNORE,         IGNORE },
[INPUT_REFUSED_OTHER]   = { IGNORE,         IGNORE,          IGNORE,          IGNORE,         IGNORE,          IGNORE,          IGNORE,         IGNORE,         IGNORE,         IGNORE,          IGNORE,         IGNORE },
[INPUT_CHARGE_APPROVED] = { IGNORE,         IGNORE,          IGNORE,          IGNORE,         APPROVE,         APPROVE,         APPROVE_REFUND, APPROVE,        IGNORE,         IGNORE,          IGNORE,         IGNORE },
[INPUT_CHARGE_DECLINED] = { IGNORE,         IGNORE,          IGNORE,          IGNORE,         DECLINE,         DECLINE,         CANCEL_RELEASE, DECLINE,        IGNORE,         IGNORE,          IGNORE,         IGNORE },
[INPUT_CHARGE_DEFERRED] = { IGNORE,         IGNORE,          IGNORE,          IGNORE,         DEFER,           EXPIRE,          CANCEL_RELEASE, IGNORE,         IGNORE,         IGNORE,          IGNORE,         IGNORE },
[INPUT_REFUND_APPROVED] = { IGNORE,         IGNORE,          IGNORE,          IGNORE,         IGNORE,          IGNORE,          IGNORE,         IGNORE,         IGNORE,         FINISH_REFUND,   IGNORE,         IGNORE },
[INPUT_REFUND_DECLINED] = { IGNORE,         IGNORE,          IGNORE,          IGNORE,         IGNORE,          IGNORE,          IGNORE,         IGNORE,         IGNORE,         REFUND_DECLINED, IGNORE,         IGNORE },
[INPUT_REFUND_DEFERRED] = { IGNORE,         IGNORE,          IGNORE,          IGNORE,         IGNORE,          IGNORE,          IGNORE,         IGNORE,         IGNORE,         REFUND_DEFERRED, IGNORE,         IGNORE },
[INPUT_HOLD_END]        = { IGNORE,         IGNORE,          IGNORE,          EXPIRE,         REMEMBER_EXPIRY, IGNORE,          IGNORE,         EXPIRE,         IGNORE,         IGNORE,          IGNORE,         IGNORE },
[INPUT_RETRY]           = { IGNORE,         IGNORE,          IGNORE,          IGNORE,         IGNORE,          IGNORE,          IGNORE,         RETRY_CHARGE,   IGNORE,         RETRY_REFUND,    IGNORE,         IGNORE },
[INPUT_WATCHDOG]        = { IGNORE,         FAIL_UNANSWERED, FAIL_UNANSWERED, IGNORE,         IGNORE,          IGNORE,          IGNORE,         IGNORE,         IGNORE,         IGNORE,          IGNORE,         IGNORE },
};
/* clang-format on */

/* ---- what an event means ---- */

static enum ledger_input pick(bool first, enum ledger_input yes, enum ledger_input no) {
  return first ? yes : no;
}

static enum ledger_input settled(const struct charge_settled *answer) {
  if (answer->kind == CHARGE_KIND_CHARGE)
    return pick(answer->approved, INPUT_CHARGE_APPROVED, INPUT_CHARGE_DECLINED);
  return pick(answer->approved, INPUT_REFUND_APPROVED, INPUT_REFUND_DECLINED);
}

static enum ledger_input passed(enum deadline_kind kind) {
  switch (kind) {
    case DEADLINE_KIND_HOLD_END: return INPUT_HOLD_END;
    case DEADLINE_KIND_RETRY: return INPUT_RETRY;
    case DEADLINE_KIND_WATCHDOG: return INPUT_WATCHDOG;
  }
  return INPUT_WATCHDOG;
}

enum ledger_input ledger_input_of(const struct event *event, const struct ledger *row) {
  switch (event->type) {
    case RECORD_OPEN_RESERVATION:
      return pick(as_open_reservation(event)->content_hash == row->content_hash, INPUT_OPEN_SAME,
                  INPUT_OPEN_OTHER);
    case RECORD_PAY:
      return pick(str_equal(as_pay(event)->customer_id, row->customer_id), INPUT_PAY_OWN,
                  INPUT_PAY_OTHER);
    case RECORD_CANCEL:
      return pick(str_equal(as_cancel(event)->customer_id, row->customer_id), INPUT_CANCEL_OWN,
                  INPUT_CANCEL_OTHER);
    case RECORD_STOCK_HELD:
      return pick(as_stock_held(event)->content_hash == row->content_hash, INPUT_HELD_SAME,
                  INPUT_HELD_OTHER);
    case RECORD_STOCK_REFUSED:
      return pick(as_stock_refused(event)->content_hash == row->content_hash, INPUT_REFUSED_SAME,
                  INPUT_REFUSED_OTHER);
    case RECORD_CHARGE_SETTLED: return settled(event->value);
    case RECORD_CHARGE_DEFERRED:
      return pick(as_charge_deferred(event)->kind == CHARGE_KIND_CHARGE, INPUT_CHARGE_DEFERRED,
                  INPUT_REFUND_DEFERRED);
    default: return passed(as_deadline_passed(event)->kind);
  }
}
