/* The ledger: every status of a reservation is decided and numbered here, by the table of ledger.c.
 * actions.c has what each action does, say.c what is said. */
#include "turn.h"

static bool is_command(int type) {
  return type == RECORD_OPEN_RESERVATION || type == RECORD_PAY || type == RECORD_CANCEL;
}

static bool was_decided(struct turn *turn, bool known) {
  if (!is_command(turn->event->type)) return false;
  const struct command_place command = command_place_of(turn->event);
  if (known && ledger_has_decided(&turn->row, &command)) return true;
  if (command.offset >= 0) ledger_note_command(&turn->row, &command);
  return false;
}

/* The deliberately broken versions. */
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

/* The other fields of a row change only with one of these. */
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

/* A reservation whose row may have gone is not opened as new. */
static bool is_too_old(const struct turn *turn, bool known) {
  const struct event *event = turn->event;
  return !known && event->type == RECORD_OPEN_RESERVATION &&
         expiry_is_old(turn->context, event->time);
}

/* A sale can be given back within the window: after it, the rows of the hold go. The time of its
 * settling is a host's; the times of its opening and of the Cancel are the broker's. A host's time
 * that does not lie between those is not believed. */
static bool is_too_late(const struct turn *turn) {
  const struct ledger *row = &turn->row;
  if (turn->event->type != RECORD_CANCEL || row->state != LEDGER_STATE_APPROVED) return false;
  bool likely = row->settled_at >= row->opened_at && row->settled_at <= turn->event->time;
  return turn->event->time - (likely ? row->settled_at : row->opened_at) > EXPIRY_WINDOW_MS;
}

/* A hold for an opening that was refused, as its id was not free for sure, goes back. */
static enum ledger_action action_of(const struct turn *turn) {
  enum ledger_input input = ledger_input_of(turn->event, &turn->row);
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
    ledger_refuse_reserve(
        turn, REFUSAL_TOO_OLD,
        "it lay for longer than reservations are remembered: reserve again under another id");
    return;
  }
  ledger_act(turn, action_of(turn));
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
