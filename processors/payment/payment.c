/* The ledger: every status of a reservation is decided and numbered here, by one table of state and
 * input. */
#include "payment.h"

#define XXH_INLINE_ALL /* a decision depends on nothing that has to be linked */
#include <xxhash.h>

/* Nobody answered the hold for so long that something is broken for good: an outage of stock-check
 * itself may last a day. */
#define WATCHDOG_MS (INT64_C(24) * 3600 * 1000)
#define REFUND_RETRY_MS (INT64_C(60) * 1000)
#define RETRY_MS_MIN INT64_C(1000)

/* Columns in the order of LedgerState. A "-" of the table is IGNORE: it was said before, or came
 * too late, and changes nothing. */
#define o IGNORE
#define STRAY RELEASE_STRAY
#define CANCEL_HELD CANCEL_RELEASE
/* clang-format off */
const enum ledger_action ledger_table[INPUT_COUNT][LEDGER_STATE_COUNT] = {
/*                          UNKNOWN         REQUESTED        REQUESTED_PAY    HELD            CHARGING         CHARGING_EXPIRED CHARGING_CANCEL  DEFERRED        APPROVED        REFUNDING        CANCELLED       FAILED */
[INPUT_OPEN_SAME]       = { OPEN,           o,               o,               o,              o,               o,               o,               o,              o,              o,               o,              o              },
[INPUT_OPEN_OTHER]      = { OPEN,           REFUSE_REUSED,   REFUSE_REUSED,   REFUSE_REUSED,  REFUSE_REUSED,   REFUSE_REUSED,   REFUSE_REUSED,   REFUSE_REUSED,  REFUSE_REUSED,  REFUSE_REUSED,   REFUSE_REUSED,  REFUSE_REUSED  },
[INPUT_PAY_OWN]         = { REFUSE_UNKNOWN, REMEMBER_PAY,    REFUSE_PAID,     PAY,            REFUSE_PAID,     REFUSE_PAID,     REFUSE_PAID,     REFUSE_PAID,    REFUSE_PAID,    REFUSE_ENDED,    REFUSE_ENDED,   REFUSE_ENDED   },
[INPUT_PAY_OTHER]       = { REFUSE_UNKNOWN, REFUSE_UNKNOWN,  REFUSE_UNKNOWN,  REFUSE_UNKNOWN, REFUSE_UNKNOWN,  REFUSE_UNKNOWN,  REFUSE_UNKNOWN,  REFUSE_UNKNOWN, REFUSE_UNKNOWN, REFUSE_UNKNOWN,  REFUSE_UNKNOWN, REFUSE_UNKNOWN },
[INPUT_CANCEL_OWN]      = { REFUSE_UNKNOWN, CANCEL,          CANCEL,          CANCEL_HELD,    REMEMBER_CANCEL, REMEMBER_CANCEL, o,               CANCEL_HELD,    CANCEL_SOLD,    o,               o,              REFUSE_ENDED   },
[INPUT_CANCEL_OTHER]    = { REFUSE_UNKNOWN, REFUSE_UNKNOWN,  REFUSE_UNKNOWN,  REFUSE_UNKNOWN, REFUSE_UNKNOWN,  REFUSE_UNKNOWN,  REFUSE_UNKNOWN,  REFUSE_UNKNOWN, REFUSE_UNKNOWN, REFUSE_UNKNOWN,  REFUSE_UNKNOWN, REFUSE_UNKNOWN },
[INPUT_HELD_SAME]       = { STRAY,          TAKE_HOLD,       TAKE_HOLD,       o,              o,               o,               o,               o,              o,              o,               STRAY,          STRAY          },
[INPUT_HELD_OTHER]      = { STRAY,          STRAY,           STRAY,           STRAY,          STRAY,           STRAY,           STRAY,           STRAY,          STRAY,          STRAY,           STRAY,          STRAY          },
[INPUT_REFUSED_SAME]    = { o,              FAIL_REFUSED,    FAIL_REFUSED,    o,              o,               o,               o,               o,              o,              o,               o,              o              },
[INPUT_REFUSED_OTHER]   = { o,              o,               o,               o,              o,               o,               o,               o,              o,              o,               o,              o              },
[INPUT_CHARGE_APPROVED] = { o,              o,               o,               o,              APPROVE,         APPROVE,         APPROVE_REFUND,  APPROVE,        o,              o,               o,              o              },
[INPUT_CHARGE_DECLINED] = { o,              o,               o,               o,              DECLINE,         DECLINE,         CANCEL_HELD,     DECLINE,        o,              o,               o,              o              },
[INPUT_CHARGE_DEFERRED] = { o,              o,               o,               o,              DEFER,           EXPIRE,          CANCEL_HELD,     o,              o,              o,               o,              o              },
[INPUT_REFUND_APPROVED] = { o,              o,               o,               o,              o,               o,               o,               o,              o,              FINISH_REFUND,   o,              o              },
[INPUT_REFUND_DECLINED] = { o,              o,               o,               o,              o,               o,               o,               o,              o,              REFUND_DECLINED, o,              o              },
[INPUT_REFUND_DEFERRED] = { o,              o,               o,               o,              o,               o,               o,               o,              o,              REFUND_DEFERRED, o,              o              },
[INPUT_HOLD_END]        = { o,              o,               o,               EXPIRE,         REMEMBER_EXPIRY, o,               o,               EXPIRE,         o,              o,               o,              o              },
[INPUT_RETRY]           = { o,              o,               o,               o,              o,               o,               o,               RETRY_CHARGE,   o,              RETRY_REFUND,    o,              o              },
[INPUT_WATCHDOG]        = { o,              FAIL_UNANSWERED, FAIL_UNANSWERED, o,              o,               o,               o,               o,              o,              o,               o,              o              },
};
/* clang-format on */
#undef o
#undef STRAY
#undef CANCEL_HELD

/* One event at one reservation. */
struct turn {
  struct context *context;
  const struct event *event;
  struct str reservation_id, row_key;
  struct ledger row; /* as it is, then as it becomes */
};

/* ---- what goes out ---- */

static void say(struct turn *turn, enum status status, enum reason reason, int64_t until,
                enum hold_effect hold) {
  const struct ledger *row = &turn->row;
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
                                   .hold = hold,
                                   .opened_at = row->opened_at};
  changed.seats = row->seats;
  emit(turn->context, TO_PAYMENT_RESULTS, turn->reservation_id, RECORD_STATUS_CHANGED, &changed);
}

static void set_deadline(struct turn *turn, enum deadline_kind kind, int64_t due_at) {
  const struct set_deadline set = {
      .reservation_id = turn->reservation_id, .kind = kind, .due_at = due_at};
  emit(turn->context, TO_DEADLINES, turn->reservation_id, RECORD_SET_DEADLINE, &set);
}

static void clear_deadlines(struct turn *turn) {
  const struct clear_deadlines clear = {.reservation_id = turn->reservation_id};
  emit(turn->context, TO_DEADLINES, turn->reservation_id, RECORD_CLEAR_DEADLINES, &clear);
}

/* Names an opening by its content, place and time. An id may be used again once its reservation is
 * forgotten, and the provider remembers for longer. Never 0. */
static int64_t name_opening(const struct event *event) {
  const struct open_reservation *open = as_open_reservation(event);
  const int64_t seen[] = {open->content_hash, event->time};
  uint64_t name =
      XXH3_64bits_withSeed(event->cause.data, event->cause.size, XXH3_64bits(seen, sizeof seen));
  return name ? (int64_t)name : 1;
}

/* The key stays the same until the provider has answered it: asking again can never charge again.
 * It is another for each opening of the id, and for each refund after one that was declined. */
static struct str charge_key(struct turn *turn, enum charge_kind kind) {
  struct context *context = turn->context;
  struct str opened = turn->reservation_id;
  if (turn->row.opening && !MUTANT("charge-key-of-the-id-alone"))
    opened = scratch_format(context, "%.*s/%.*s", STR_ARGS(opened),
                            STR_ARGS(scratch_hex(context, (uint64_t)turn->row.opening)));
  if (kind == CHARGE_KIND_CHARGE) return scratch_format(context, "%.*s/charge", STR_ARGS(opened));
  return scratch_format(context, "%.*s/refund/%d", STR_ARGS(opened),
                        (int)turn->row.refunds_declined);
}

static void request_charge(struct turn *turn, enum charge_kind kind) {
  const struct request_charge request = {.reservation_id = turn->reservation_id,
                                         .customer_id = turn->row.customer_id,
                                         .charge_key = charge_key(turn, kind),
                                         .kind = kind,
                                         .amount = turn->row.amount,
                                         .attempt = ++turn->row.charges_asked,
                                         .opened_at = turn->row.opened_at};
  emit(turn->context, TO_CHARGE_REQUESTS, turn->reservation_id, RECORD_REQUEST_CHARGE, &request);
}

/* place: of the command. */
static void refuse(struct turn *turn, const char *command, struct str sender, struct str item_id,
                   int64_t hash, enum refusal refusal, const char *detail, struct str place) {
  const struct command_refused refused = {.sender_id = sender,
                                          .command = str_of(command),
                                          .reservation_id = turn->reservation_id,
                                          .item_id = item_id,
                                          .content_hash = hash,
                                          .refusal = refusal,
                                          .detail = str_of(detail),
                                          .place = place};
  emit(turn->context, TO_PAYMENT_RESULTS, turn->reservation_id, RECORD_COMMAND_REFUSED, &refused);
}

/* Pay and Cancel have the same fields. */
static void refuse_command(struct turn *turn, enum refusal refusal, const char *detail) {
  bool pay = turn->event->type == RECORD_PAY;
  struct str sender = pay ? as_pay(turn->event)->customer_id : as_cancel(turn->event)->customer_id;
  refuse(turn, pay ? "Pay" : "Cancel", sender, turn->row.item_id, 0, refusal, detail,
         turn->event->cause);
}

/* ---- what becomes of the reservation ---- */

static void end(struct turn *turn, enum ledger_state state, enum status status, enum reason reason,
                enum hold_effect hold) {
  turn->row.state = state;
  turn->row.reason = reason;
  say(turn, status, reason, 0, hold);
  clear_deadlines(turn);
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
  set_deadline(turn, DEADLINE_KIND_WATCHDOG, turn->event->time + WATCHDOG_MS);
}

static void start_charge(struct turn *turn) {
  turn->row.state = LEDGER_STATE_CHARGING;
  request_charge(turn, CHARGE_KIND_CHARGE);
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
  say(turn, STATUS_HELD, REASON_NONE, until, HOLD_EFFECT_KEEP);
  if (paid_early && (!payable || held->payment != PAYMENT_DUE_BY_CUSTOMER)) {
    refuse(turn, "Pay", turn->row.customer_id, turn->row.item_id, 0, REFUSAL_NOT_DUE,
           "no payment by the customer is due for this reservation", turn->row.early_pay);
  }
  if (!payable) {
    approve(turn);
    return;
  }
  set_deadline(turn, DEADLINE_KIND_HOLD_END, until);
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
  say(turn, STATUS_REFUNDING, REASON_NONE, 0, HOLD_EFFECT_KEEP);
  request_charge(turn, CHARGE_KIND_REFUND);
}

static void cancel_sold(struct turn *turn) {
  if (turn->row.charged) {
    start_refund(turn);
  } else {
    end(turn, LEDGER_STATE_CANCELLED, STATUS_CANCELLED, REASON_NONE, HOLD_EFFECT_RELEASE);
  }
}

/* The time is charge's to say, and the clock that fires is deadline's: where that runs ahead, a
 * time that has passed already would come back at once, again and again. */
static void defer(struct turn *turn, enum ledger_state state, enum status status,
                  int64_t retry_at) {
  int64_t earliest = turn->row.retried_at ? turn->row.retried_at + RETRY_MS_MIN : 0;
  if (retry_at < earliest) retry_at = earliest;
  turn->row.state = state;
  say(turn, status, REASON_NONE, retry_at, HOLD_EFFECT_KEEP);
  set_deadline(turn, DEADLINE_KIND_RETRY, retry_at);
}

static void refuse_reused(struct turn *turn) {
  const struct open_reservation *open = as_open_reservation(turn->event);
  refuse(turn, "Reserve", open->customer_id, open->item_id, open->content_hash, REFUSAL_ID_REUSED,
         "the reservation_id belongs to another Reserve", turn->event->cause);
}

static void refuse_doubted(struct turn *turn) {
  const struct open_reservation *open = as_open_reservation(turn->event);
  refuse(turn, "Reserve", open->customer_id, open->item_id, open->content_hash, REFUSAL_ID_REUSED,
         "the reservation of that id has ended and stands as it is, and it is not sure that its id "
         "is free again: reserve under another id",
         turn->event->cause);
}

static void refuse_paid(struct turn *turn) {
  bool due = turn->row.charged || turn->row.state != LEDGER_STATE_APPROVED;
  refuse_command(turn, due ? REFUSAL_ALREADY_PAID : REFUSAL_NOT_DUE,
                 due ? "it is paid, or being paid" : "no payment is due for this reservation");
}

static void act(struct turn *turn, enum ledger_action action) {
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
    case REFUND_DECLINED: /* another key: this one has its answer. The status with a next try is the
                             alarm. */
      turn->row.refunds_declined++;
      defer(turn, LEDGER_STATE_REFUNDING, STATUS_REFUNDING, event->time + REFUND_RETRY_MS);
      return;
    case REFUND_DEFERRED:
      defer(turn, LEDGER_STATE_REFUNDING, STATUS_REFUNDING, as_charge_deferred(event)->retry_at);
      return;
    case RETRY_REFUND:
      turn->row.retried_at = event->time;
      request_charge(turn, CHARGE_KIND_REFUND);
      return;
    case REFUSE_REUSED: refuse_reused(turn); return;
    case REFUSE_DOUBTED: refuse_doubted(turn); return;
    case REFUSE_UNKNOWN:
      refuse_command(turn, REFUSAL_UNKNOWN_RESERVATION,
                     "this customer has no reservation of that id");
      return;
    case REFUSE_PAID: refuse_paid(turn); return;
    case REFUSE_ENDED:
      refuse_command(turn, REFUSAL_ALREADY_ENDED, "the reservation has ended");
      return;
  }
}

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

static enum ledger_input input_of(const struct event *event, const struct ledger *row) {
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

static bool is_command(int type) {
  return type == RECORD_OPEN_RESERVATION || type == RECORD_PAY || type == RECORD_CANCEL;
}

/* Takes the number and the '-' before it from the end of a place; -1: there is none. */
static int64_t take_number(struct str *place) {
  int64_t number = 0, digit = 1;
  size_t at = place->size;
  for (;
       at > 0 && place->data[at - 1] >= '0' && place->data[at - 1] <= '9' && digit < INT64_MAX / 10;
       digit *= 10)
    number += (place->data[--at] - '0') * digit;
  if (at == place->size || at == 0 || place->data[at - 1] != '-') return -1;
  place->size = at - 1;
  return number;
}

static struct command_place place_of(const struct event *event) {
  struct str left = event->cause;
  int64_t offset = take_number(&left), partition = take_number(&left);
  bool said = offset >= 0 && partition >= 0 && partition <= INT32_MAX;
  return (struct command_place){.partition = said ? (int32_t)partition : -1,
                                .offset = said ? offset : -1,
                                .time = event->time};
}

bool ledger_has_decided(const struct ledger *row, const struct command_place *command) {
  bool same_partition =
      row->last_command_partition < 0 || row->last_command_partition == command->partition;
  bool later = row->last_command_at != 0 && command->time > row->last_command_at;
  bool behind = command->offset > row->last_command;
  if (MUTANT("place-compared-by-offset")) return command->offset >= 0 && !behind;
  return command->offset >= 0 && same_partition && !behind && !later;
}

void ledger_note_command(struct ledger *row, const struct command_place *command) {
  bool goes_on =
      row->last_command_partition == command->partition && command->offset > row->last_command;
  if (!goes_on || command->time > row->last_command_at) row->last_command_at = command->time;
  row->last_command_partition = command->partition;
  row->last_command = command->offset;
}

static bool was_decided(struct turn *turn, bool known) {
  if (!is_command(turn->event->type)) return false;
  const struct command_place command = place_of(turn->event);
  if (known && ledger_has_decided(&turn->row, &command)) return !MUTANT("repeated-command-taken");
  if (command.offset >= 0) ledger_note_command(&turn->row, &command);
  return false;
}

static enum ledger_action mutated(enum ledger_action action) {
  if (MUTANT("cancel-races-charge") && action == REMEMBER_CANCEL) return CANCEL_RELEASE;
  if (MUTANT("expiry-races-charge") && action == REMEMBER_EXPIRY) return EXPIRE;
  if (MUTANT("stray-hold-kept") && action == RELEASE_STRAY) return IGNORE;
  if (MUTANT("reused-id-not-told") && action == REFUSE_REUSED) return IGNORE;
  if (MUTANT("early-pay-forgotten") && action == REMEMBER_PAY) return IGNORE;
  if (MUTANT("refund-forgotten") && action == APPROVE_REFUND) return APPROVE;
  if (MUTANT("decline-approves") && action == DECLINE) return APPROVE;
  return action;
}

/* What else a row holds changes only with one of these. */
static bool has_changed(const struct ledger *before, const struct ledger *after) {
  if (!before) return after->state != LEDGER_STATE_UNKNOWN;
  return after->state != before->state || after->revision != before->revision ||
         after->refunds_declined != before->refunds_declined ||
         after->charges_asked != before->charges_asked ||
         after->last_command != before->last_command ||
         after->last_command_partition != before->last_command_partition ||
         after->last_command_at != before->last_command_at;
}

/* ---- what goes, and what is too old ---- */

static bool is_settled(enum ledger_state state) {
  return state == LEDGER_STATE_APPROVED || state == LEDGER_STATE_CANCELLED ||
         state == LEDGER_STATE_FAILED;
}

/* A refund that is asked for since has unsettled it. */
bool payment_leave(struct context *context, const void *row) {
  (void)context;
  return is_settled(((const struct ledger *)row)->state);
}

int64_t payment_opening(const struct event *event) {
  return event->type == RECORD_OPEN_RESERVATION ? event->time : 0;
}

static int64_t settled_at(const struct ledger *row) {
  return is_settled(row->state) ? row->settled_at : 0;
}

/* It is about another reservation than the row's: the id is used again. */
static bool is_about_another(const struct turn *turn) {
  return expiry_is_another(settled_at(&turn->row), turn->event->time);
}

/* The places of its commands go on, so that none of them is taken twice. */
static void begin_anew(struct ledger *row) {
  *row = (struct ledger){.last_command = row->last_command,
                         .last_command_partition = row->last_command_partition,
                         .last_command_at = row->last_command_at};
}

/* Whose row may have gone is not opened as new. */
static bool is_too_old(const struct turn *turn, bool known) {
  const struct event *event = turn->event;
  return !known && event->type == RECORD_OPEN_RESERVATION &&
         expiry_is_old(turn->context, event->time);
}

static void refuse_too_old(struct turn *turn) {
  const struct open_reservation *open = as_open_reservation(turn->event);
  refuse(turn, "Reserve", open->customer_id, open->item_id, open->content_hash, REFUSAL_TOO_OLD,
         "it lay for longer than reservations are remembered: reserve again under another id",
         turn->event->cause);
}

/* What was sold is given back within the window: after it, the rows of the hold go. A host's clock
 * has settled it, and the broker's says when it was opened and when the Cancel came: what does not
 * lie between those is not believed. */
static bool is_too_late(const struct turn *turn) {
  const struct ledger *row = &turn->row;
  if (turn->event->type != RECORD_CANCEL || row->state != LEDGER_STATE_APPROVED) return false;
  bool likely = row->settled_at >= row->opened_at && row->settled_at <= turn->event->time;
  return turn->event->time - (likely ? row->settled_at : row->opened_at) > EXPIRY_WINDOW_MS;
}

/* A hold for an opening that was refused, as its id was not free for sure, goes back. */
static enum ledger_action action_of(const struct turn *turn) {
  enum ledger_input input = input_of(turn->event, &turn->row);
  if (is_about_another(turn)) {
    if (input == INPUT_OPEN_SAME) return REFUSE_DOUBTED;
    if (input == INPUT_HELD_SAME) return RELEASE_STRAY;
  }
  if (input == INPUT_CANCEL_OWN && is_too_late(turn)) return REFUSE_ENDED;
  return mutated(ledger_table[input][turn->row.state]);
}

static void decide(struct turn *turn) {
  const struct ledger *known = row_get(turn->context, &payment_rows[ROW_LEDGER], turn->row_key);
  if (known) turn->row = *known;
  if (was_decided(turn, known != NULL)) return;
  bool opens = turn->event->type == RECORD_OPEN_RESERVATION;
  if (opens && expiry_is_free(turn->context, settled_at(&turn->row), turn->event->time))
    begin_anew(&turn->row);
  if (is_too_old(turn, known != NULL)) {
    refuse_too_old(turn);
    return;
  }
  act(turn, action_of(turn));
  if (!has_changed(known, &turn->row)) return;
  bool rests = is_settled(turn->row.state) && (!known || known->state != turn->row.state);
  if (rests) turn->row.settled_at = expiry_step_time(turn->event->time, turn->row.opened_at);
  row_put(turn->context, &payment_rows[ROW_LEDGER], turn->row_key, &turn->row);
}

void payment_prefetch(struct context *context, const struct event *event) {
  row_want(context, row_key(context, &payment_rows[ROW_LEDGER], &event->key, 1));
}

void payment_decide(struct context *context, const struct event *event) {
  struct turn turn = {.context = context,
                      .event = event,
                      .reservation_id = event->key,
                      .row = {.last_command = -1, .last_command_partition = -1}};
  turn.row_key = row_key(context, &payment_rows[ROW_LEDGER], &turn.reservation_id, 1);
  decide(&turn);
}
