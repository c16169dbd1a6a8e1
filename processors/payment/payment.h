#ifndef HOLDFAST_PAYMENT_H
#define HOLDFAST_PAYMENT_H

#include "runtime/contract/expiry.h"
#include "gen/events.h"

enum { ROW_LEDGER };
enum { TO_CHARGE_REQUESTS, TO_DEADLINES, TO_PAYMENT_RESULTS };

extern const struct row_kind payment_rows[];

void payment_decide(struct context *context, const struct event *event);
int64_t payment_opening(const struct event *event);
bool payment_leave(struct context *context, const void *row);
void payment_prefetch(struct context *context, const struct event *event);

/* Where and when a command came, as the entrance says it of what it forwards. */
struct command_place {
  int32_t partition; /* -1: it does not say */
  int64_t offset;    /* -1: it does not say */
  int64_t time;      /* the broker's; milliseconds since 1970 */
};

/* Whether a command of that place was decided for the reservation before: the entrance was reset,
 * and reads it again. It was if it lies in the partition of the last one, not behind it, and came
 * not later. A topic that was made again begins its offsets anew and its times go on; a clock that
 * was set back leaves the offsets. What a row of an earlier version does not say is not compared.
 */
bool ledger_has_decided(const struct ledger *row, const struct command_place *command);

/* Keeps the command as the last one. While offsets go on the highest time stays, so that a clock
 * that was set back makes no repeat look new. */
void ledger_note_command(struct ledger *row, const struct command_place *command);

/* What an event means to the ledger. OWN: of the reservation's customer; OTHER: of another. SAME:
 * of the Reserve that opened it. */
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

/* What the ledger does about it; README.md explains each. NO_ACTION is a cell that nobody filled.
 */
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

#endif
