/* Money moves once per charge key. The row is committed as CALLING before the first call is made,
 * so a death at any moment leaves word that a call may have counted: from then on only the
 * provider's own answer, by the same key, ends it. */
#include "charge.h"

#include <string.h>

#include "runtime/contract/back_off.h"
#include "breaker.h"

int64_t charge_back_off(int32_t attempts) {
  return back_off(500, 30000, attempts);
}

static void put(struct context *context, struct str key, struct charge *row,
                enum charge_state state, int64_t due_at) {
  row->state = state;
  row->due_at = due_at;
  row_put(context, &charge_rows[ROW_CHARGE], key, row);
}

static void call(struct context *context, struct str key, struct charge *row,
                 enum charge_state state, int64_t now) {
  row->attempts++;
  row->settled_at = 0;
  row->phase = breaker_begins(context, now);
  put(context, key, row, state, now + CALL_LIMIT_MS);
  call_world(context, key);
}

static struct str charge_key_of(struct str row_key) {
  return (struct str){row_key.data + 1, row_key.size - 1}; /* behind the prefix */
}

/* Nothing is out for it, and it may be that nothing comes any more: from here its row can go. */
static void rest(struct context *context, struct str key, struct charge *row,
                 enum charge_state state, int64_t now) {
  row->settled_at = now;
  put(context, key, row, state, 0);
}

static void tell_settled(struct context *context, struct str key, const struct charge *row) {
  const struct charge_settled settled = {.reservation_id = row->reservation_id,
                                         .charge_key = charge_key_of(key),
                                         .kind = row->kind,
                                         .approved = row->state == CHARGE_STATE_APPROVED};
  emit(context, TO_PAYMENT_REQUESTS, row->reservation_id, RECORD_CHARGE_SETTLED, &settled);
}

static void defer(struct context *context, struct str key, struct charge *row, int64_t now,
                  int64_t retry_at) {
  rest(context, key, row, CHARGE_STATE_DEFERRED, now);
  const struct charge_deferred deferred = {.reservation_id = row->reservation_id,
                                           .charge_key = charge_key_of(key),
                                           .kind = row->kind,
                                           .retry_at = retry_at};
  emit(context, TO_PAYMENT_REQUESTS, row->reservation_id, RECORD_CHARGE_DEFERRED, &deferred);
}

/* Its row may have gone, so nothing is done by this request; and as it may be new, and a clock
 * wrong, the ledger hears of it. If the request is a repeat, the ledger has the answer and ignores
 * this. */
static void put_off(struct context *context, const struct event *event) {
  const struct request_charge *request = as_request_charge(event);
  const struct charge_deferred deferred = {.reservation_id = request->reservation_id,
                                           .charge_key = request->charge_key,
                                           .kind = request->kind,
                                           .retry_at = event->now + CHARGE_TOO_OLD_RETRY_MS};
  emit(context, TO_PAYMENT_REQUESTS, request->reservation_id, RECORD_CHARGE_DEFERRED, &deferred);
}

/* An earlier version charged under a key without the opening's name. If a reset ledger asks for
 * that charge again, the row under the former key has the answer: another key would move the money
 * again. An id has one opening within the window. */
static struct str key_of(struct context *context, const struct request_charge *request) {
  const struct row_kind *kind = &charge_rows[ROW_CHARGE];
  struct str id = request->reservation_id, name = request->charge_key;
  struct str key = row_key(context, kind, &name, 1);
  const size_t opening = id.size + strlen("/0123456789abcdef");
  if (name.size <= opening || row_get(context, kind, key)) return key;
  struct str former = scratch_format(context, "%.*s%.*s", STR_ARGS(id), (int)(name.size - opening),
                                     name.data + opening);
  struct str former_key = row_key(context, kind, &former, 1);
  const struct charge *row = row_get(context, kind, former_key);
  if (!row) return key;
  bool same = !row->settled_at || request->opened_at < row->settled_at + EXPIRY_WINDOW_MS;
  return same ? former_key : key;
}

/* The deliberately broken versions: no request of before is remembered, and no call that may have
 * counted. */
static struct charge mutated(struct charge row) {
  if (MUTANT("repeated-request-charged")) row.attempt = -1;
  if (MUTANT("unknown-charge-given-up") && row.state == CHARGE_STATE_UNKNOWN)
    row.state = CHARGE_STATE_CALLING;
  return row;
}

static void request(struct context *context, const struct event *event) {
  const struct request_charge *request = as_request_charge(event);
  struct str key = key_of(context, request);
  const struct charge *known = row_get(context, &charge_rows[ROW_CHARGE], key);
  struct charge row = {.reservation_id = request->reservation_id,
                       .customer_id = request->customer_id,
                       .kind = request->kind,
                       .amount = request->amount,
                       .state = CHARGE_STATE_DEFERRED,
                       .traceparent = event->traceparent,
                       .correlation_id = event->correlation_id};
  if (known) row = mutated(*known);
  if (!known && expiry_has_gone(context, event->time, request->opened_at)) {
    put_off(context, event);
    return;
  }
  /* Said again, because a filter was reset: nothing is begun by that, not even what was given
   * up. */
  bool again = known && request->attempt > 0 && request->attempt <= row.attempt;
  row.attempt = request->attempt;
  int64_t retry_at;
  switch (row.state) {
    case CHARGE_STATE_DEFERRED:
      if (again) return;
      if (breaker_holds_back(context, event->now, &retry_at)) {
        defer(context, key, &row, event->now, retry_at);
      } else {
        call(context, key, &row, CHARGE_STATE_CALLING, event->now);
      }
      return;
    case CHARGE_STATE_APPROVED:
    case CHARGE_STATE_DECLINED:
      tell_settled(context, key, &row);
      return; /* asked before: answered from the row */
    case CHARGE_STATE_CALLING:
    case CHARGE_STATE_UNKNOWN: return; /* its answer will come */
  }
}

static void answer(struct context *context, const struct event *event) {
  struct charge row = mutated(*as_charge(event));
  enum call_result result = event->answer & CALL_RESULT;
  bool answered = result == CALL_APPROVED || result == CALL_DECLINED;
  breaker_took(context, row.phase, event->now, answered && !(event->answer & CALL_SLOW));
  if (row.state != CHARGE_STATE_CALLING && row.state != CHARGE_STATE_UNKNOWN)
    return; /* a second answer to the same key */
  int64_t retry_at = event->now + charge_back_off(row.attempts);
  if (answered) {
    rest(context, event->key, &row,
         result == CALL_APPROVED ? CHARGE_STATE_APPROVED : CHARGE_STATE_DECLINED, event->now);
    tell_settled(context, event->key, &row);
  } else if (result == CALL_NOT_MADE && row.state == CHARGE_STATE_CALLING) {
    defer(context, event->key, &row, event->now, retry_at);
  } else { /* this call, or an earlier one, may have counted */
    put(context, event->key, &row, CHARGE_STATE_UNKNOWN, retry_at);
  }
}

/* The time of a call's end has passed without an answer, or the time of the next try has come. */
static void due(struct context *context, const struct event *event) {
  if (event->type == RECORD_BREAKER) {
    breaker_due(context, event->now);
    return;
  }
  struct charge row = *as_charge(event);
  int64_t retry_at;
  if (breaker_holds_back(context, event->now, &retry_at)) {
    put(context, event->key, &row, CHARGE_STATE_UNKNOWN, retry_at);
  } else if (call_fits(context)) {
    call(context, event->key, &row, CHARGE_STATE_UNKNOWN, event->now);
  } /* else it stays due */
}

int64_t charge_opening(const struct event *event) {
  return as_request_charge(event)->opened_at;
}

void charge_decide(struct context *context, const struct event *event) {
  switch (event->source) {
    case EVENT_RECORD: request(context, event); break;
    case EVENT_ANSWER: answer(context, event); break;
    case EVENT_DUE: due(context, event); break;
  }
}
