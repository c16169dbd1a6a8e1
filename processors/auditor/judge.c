/* Judges the facts: each rule asks for one thing that Holdfast promises. Records on their way are
 * left alone. */
#include <inttypes.h>

#include "auditor/internal.h"
#include "runtime/contract/money.h"
#include "runtime/contract/expiry.h"
#include "runtime/store/store.h"

#define OVERDUE_MS (INT64_C(5) * 60 * 1000)
#define PROGRESS_ROWS 100000

struct judgement {
  struct auditor *auditor;
  struct audit_summary *summary;
  void (*progress)(void *user, int64_t rows);
  void *user;
  int64_t rows;
  struct {
    int32_t partition;
    int64_t offset, time; /* of the last place, and the highest time */
  } sent; /* of the commands that lie in a partition, in the order of their places */
};

static void blame(struct judgement *judgement, enum audit_rule rule, struct str subject,
                  const struct facts *facts, const char *what) {
  struct audit_violation violation = {.rule = rule, .subject = subject, .topic = -1, .offset = -1};
  if (facts) {
    violation.topic = facts->last_topic;
    violation.partition = facts->last_partition;
    violation.offset = facts->last_offset;
  }
  snprintf(violation.text, sizeof violation.text, "%s", what);
  judgement->auditor->report(judgement->auditor->user, &violation);
  judgement->summary->violations++;
}

/* ---- a reservation ---- */

static bool is_armed(const struct facts *facts, enum deadline_kind kind) {
  return facts->deadline_at[kind] > facts->deadline_passed[kind];
}

static bool is_asking(const struct facts *facts) {
  return facts->charges_asked > facts->charges_answered ||
         facts->refunds_asked > facts->refunds_answered;
}

/* Something will come for it: a deadline, or the provider's answer. */
static bool waits(const struct facts *facts) {
  switch (facts->status) {
    case STATUS_HELD:
    case STATUS_PAYMENT_DEFERRED:
      return is_asking(facts) || is_armed(facts, DEADLINE_KIND_HOLD_END) ||
             is_armed(facts, DEADLINE_KIND_RETRY);
    case STATUS_REFUNDING: return is_asking(facts) || is_armed(facts, DEADLINE_KIND_RETRY);
    case STATUS_REQUESTED:
    case STATUS_APPROVED:
    case STATUS_CANCELLED:
    case STATUS_FAILED: return false;
  }
  return false;
}

/* The topic of commands was made again after it: a command that lies now at its place, or before
 * it, was sent later. */
static bool has_gone(struct judgement *judgement, const struct command_facts *command) {
  if (judgement->sent.partition != command->partition) {
    judgement->sent.partition = command->partition;
    judgement->sent.offset = judgement->sent.time = -1;
  }
  if (command->sent) {
    judgement->sent.offset = command->offset;
    if (command->time > judgement->sent.time) judgement->sent.time = command->time;
    return false;
  }
  return command->offset == judgement->sent.offset ||
         (command->time && command->time < judgement->sent.time);
}

static void judge_command(struct judgement *judgement, const struct command_facts *command) {
  bool gone = has_gone(judgement, command);
  struct auditor *auditor = judgement->auditor;
  struct str id = {command->id, command->id_size};
  if (!command->standing) id = audit_opening_at(auditor, id, command->time); /* else it is named */
  struct facts facts = {0};
  /* Most are these: their reservation is judged by itself. */
  if (command->standing == STANDING_OPENS && command->sent && command->effects == 1) return;
  if (id.size) audit_load(auditor, audit_key(auditor, ROW_FACTS, &id, 1), &facts, sizeof facts);
  enum audit_rule rule;
  const char *wrong = audit_command_wrong(auditor, &facts, command, gone, &rule);
  if (!wrong) return;
  const struct facts place = {.last_topic = AUDIT_COMMANDS,
                              .last_partition = command->partition,
                              .last_offset = command->offset};
  blame(judgement, rule, id, &place, wrong);
}

static void judge_opens(struct judgement *judgement, struct str id, const struct facts *facts) {
  bool again = judgement->auditor->was_reset;
  if (again ? facts->hold_requests < 1 && facts->opens : facts->hold_requests != facts->opens)
    blame(judgement, RULE_COMMAND_LOST, id, facts,
          "it was opened in the ledger and asked for at the stock a different number of times");
}

static void judge_end(struct judgement *judgement, struct str id, const struct facts *facts) {
  bool settled = audit_is_outcome(facts->status);
  bool refused = facts->too_old && facts->revision == 0;
  if (!settled && !refused && !waits(facts))
    blame(judgement, RULE_OUTCOME_MISSING, id, facts,
          facts->revision == 0 ? "opened and answered, and the ledger has decided nothing"
                               : "nothing is on its way that would move it on");
  for (int kind = 0; kind < DEADLINE_KIND_COUNT; kind++) {
    if (!settled && is_armed(facts, (enum deadline_kind)kind) &&
        facts->deadline_at[kind] + OVERDUE_MS < judgement->auditor->now)
      blame(judgement, RULE_DEADLINE_LOST, id, facts, "its deadline passed minutes ago");
  }
  if (facts->outcomes != facts->decided)
    blame(judgement, RULE_NOT_TOLD, id, facts, "its outcome is not on reservation-outcomes");
  if (facts->events_revision != facts->revision)
    blame(judgement, RULE_NOT_TOLD, id, facts, "its last step is not on reservation-events");
}

static void judge_money(struct judgement *judgement, struct str id, const struct facts *facts) {
  bool charged = facts->charges_approved > 0, refunded = facts->refunds_approved > 0;
  bool delivered = facts->approved && facts->status != STATUS_CANCELLED;
  if (facts->approved && facts->payable && !charged)
    blame(judgement, RULE_NOT_CHARGED, id, facts, "approved, and its price was never charged");
  if (charged &&
      (facts->status == STATUS_FAILED || (facts->status == STATUS_CANCELLED && !facts->approved)))
    blame(judgement, RULE_CHARGED_NOT_DELIVERED, id, facts,
          "charged, and it ended without approval");
  if (charged && !facts->payable)
    blame(judgement, RULE_CHARGED_NOT_DELIVERED, id, facts, "charged, and nothing was due");
  if (facts->status == STATUS_CANCELLED && charged && !refunded)
    blame(judgement, RULE_NOT_REFUNDED, id, facts, "cancelled after it was paid, and not refunded");
  if (refunded && delivered && facts->status != STATUS_REFUNDING)
    blame(judgement, RULE_REFUNDED_NOT_CANCELLED, id, facts, "refunded, and it still stands");
  struct audit_summary *summary = judgement->summary;
  if (charged) money_add(&summary->charged_e18, &summary->charged, facts->amount);
  if (refunded) money_add(&summary->refunded_e18, &summary->refunded, facts->amount);
}

static void judge_reservation(struct judgement *judgement, struct str id,
                              const struct facts *facts) {
  struct audit_summary *summary = judgement->summary;
  if (facts->opened) summary->reservations++;
  if (facts->moving == judgement->auditor->round) {
    summary->on_the_way++;
    return;
  }
  judge_opens(judgement, id, facts);
  if (!facts->opened) return;
  summary->approved += facts->status == STATUS_APPROVED;
  summary->failed += facts->status == STATUS_FAILED;
  summary->cancelled += facts->status == STATUS_CANCELLED;
  if (waits(facts) && summary->waiting++ == 0)
    snprintf(summary->waits, sizeof summary->waits, "%.*s", STR_ARGS(id));
  judge_end(judgement, id, facts);
  judge_money(judgement, id, facts);
}

/* ---- holds, items, views ---- */

static enum hold_state wanted_state(const struct facts *facts) {
  switch (facts->status) {
    case STATUS_APPROVED:
    case STATUS_REFUNDING: return HOLD_STATE_SOLD;
    case STATUS_CANCELLED:
    case STATUS_FAILED: return HOLD_STATE_ENDED;
    case STATUS_REQUESTED:
    case STATUS_HELD:
    case STATUS_PAYMENT_DEFERRED: return HOLD_STATE_HELD;
  }
  return HOLD_STATE_HELD;
}

/* The key's parts: item, reservation, content hash. */
static void judge_hold(struct judgement *judgement, struct str key, const struct hold_facts *hold) {
  if (hold->state == HOLD_STATE_REFUSED) return;
  struct auditor *auditor = judgement->auditor;
  struct str item = str_of(key.data + 1), reservation = str_of(item.data + item.size + 1);
  int64_t hash;
  memcpy(&hash, reservation.data + reservation.size + 1, sizeof hash);
  struct facts facts;
  audit_load(auditor, audit_key(auditor, ROW_FACTS, &reservation, 1), &facts, sizeof facts);
  if (facts.moving == auditor->round) return;
  bool own = facts.opened && facts.content_hash == hash;
  enum hold_state wanted = own ? wanted_state(&facts) : HOLD_STATE_ENDED;
  if (hold->state == wanted) return;
  char text[200];
  snprintf(text, sizeof text, "its hold of %d of %.80s is %s and should be %s", (int)hold->quantity,
           item.data, hold_state_enum.symbols[hold->state], hold_state_enum.symbols[wanted]);
  blame(judgement, RULE_HOLD_LEAKED, reservation, &facts, text);
}

static void judge_item(struct judgement *judgement, struct str id, const struct item_facts *item) {
  judgement->summary->items += item->registered;
  judgement->summary->units_sold += item->sold;
  judgement->summary->units_held += item->held;
  bool same = item->level_seen == item->registered && item->level_capacity == item->capacity &&
              item->level_held == item->held && item->level_sold == item->sold;
  if (same || item->moving == judgement->auditor->round) return;
  struct facts place = {.last_topic = item->level_seen ? AUDIT_LEVELS : -1,
                        .last_partition = item->level_partition,
                        .last_offset = item->level_offset};
  char text[320];
  snprintf(text, sizeof text,
           "the table says capacity %" PRId64 ", held %" PRId64 ", sold %" PRId64
           "; the requests say %" PRId64 ", %" PRId64 ", %" PRId64,
           item->level_capacity, item->level_held, item->level_sold, item->capacity, item->held,
           item->sold);
  blame(judgement, RULE_LEVEL_DIFFERS, id, &place, text);
}

static void judge_view(struct judgement *judgement, struct str key, const struct view_facts *view) {
  if (view->moving == judgement->auditor->round) return;
  struct str customer = str_of(key.data + 1),
             reservation = str_of(customer.data + customer.size + 1);
  bool same = view->in_events == view->in_view && view->events_revision == view->view_revision &&
              view->events_status == view->view_status;
  bool may_be_gone = !view->in_view && view->events_at < judgement->auditor->latest -
                                                             EXPIRY_WINDOW_MS - EXPIRY_SLACK_MS;
  if (same || may_be_gone) return;
  if (!view->in_view && audit_was_opened_again(judgement->auditor, reservation)) return;
  char text[256];
  snprintf(text, sizeof text,
           "the history of %.64s has it at revision %d (%s), its events at revision %d (%s)",
           customer.data, (int)view->view_revision,
           view->in_view ? status_enum.symbols[view->view_status] : "absent",
           (int)view->events_revision,
           view->in_events ? status_enum.symbols[view->events_status] : "absent");
  blame(judgement, RULE_VIEW_DIFFERS, reservation, NULL, text);
}

/* The key's parts: item, option. */
static void judge_tally(struct judgement *judgement, struct str key,
                        const struct tally_facts *tally) {
  bool same = memcmp(tally->sold, tally->table, sizeof tally->sold) == 0;
  if (same || tally->moving == judgement->auditor->round) return;
  struct str item = str_of(key.data + 1);
  struct facts place = {.last_topic = AUDIT_TALLIES,
                        .last_partition = tally->partition,
                        .last_offset = tally->offset};
  char text[320], table[MONEY_TEXT_SIZE], sold[MONEY_TEXT_SIZE];
  snprintf(text, sizeof text,
           "the tally of option '%.64s' says %" PRId64 " reservations, %" PRId64
           " units, sum %s; the outcomes say %" PRId64 ", %" PRId64 ", %s",
           item.data + item.size + 1, tally->table[0], tally->table[1],
           money_text(tally->table[3], tally->table[2], table), tally->sold[0], tally->sold[1],
           money_text(tally->sold[3], tally->sold[2], sold));
  blame(judgement, RULE_TALLY_DIFFERS, item, &place, text);
}

static void judge_notices(struct judgement *judgement, struct str id,
                          const struct customer_facts *customer) {
  int64_t ahead = customer->told - customer->expected;
  judgement->summary->told += customer->told;
  if (ahead < 0) judgement->summary->to_be_told -= ahead;
  if (ahead > 0 && customer->moving != judgement->auditor->round)
    blame(judgement, RULE_NOTICE_DIFFERS, id, NULL, "told more often than anything changed");
}

/* The key's parts: charge or refund, charge key. */
static void judge_charge(struct judgement *judgement, struct str key, const void *charge) {
  struct auditor *auditor = judgement->auditor;
  struct str kind = str_of(key.data + 1), id = audit_charge_reservation(charge);
  struct facts facts = {.last_topic = -1};
  if (id.size) audit_load(auditor, audit_key(auditor, ROW_FACTS, &id, 1), &facts, sizeof facts);
  bool rests = facts.moving != auditor->round && !waits(&facts) && !is_asking(&facts);
  char text[256];
  int rule = audit_judge_charge(auditor, charge, &facts, rests, text, sizeof text);
  if (rule >= 0)
    blame(judgement, (enum audit_rule)rule, str_of(kind.data + kind.size + 1), &facts, text);
}

static bool judge_row(void *user, struct str key, struct str value) {
  struct judgement *judgement = user;
  union {
    struct facts facts;
    struct command_facts command;
    struct hold_facts hold;
    struct item_facts item;
    struct view_facts view;
    struct tally_facts tally;
    struct customer_facts customer;
    _Alignas(8) char charge[CHARGE_FACTS_MAX];
  } row;
  memset(&row, 0, sizeof row);
  memcpy(&row, value.data, value.size < sizeof row ? value.size : sizeof row);
  struct str copy = arena_copy(&judgement->auditor->scratch, key);
  struct str id = {copy.data + 1, copy.size - 2}; /* of a key with one part */
  switch ((enum audit_row)key.data[0]) {
    case ROW_FACTS: judge_reservation(judgement, id, &row.facts); break;
    case ROW_COMMAND: judge_command(judgement, &row.command); break;
    case ROW_HOLD: judge_hold(judgement, copy, &row.hold); break;
    case ROW_ITEM: judge_item(judgement, id, &row.item); break;
    case ROW_VIEW: judge_view(judgement, copy, &row.view); break;
    case ROW_TALLY: judge_tally(judgement, copy, &row.tally); break;
    case ROW_CUSTOMER: judge_notices(judgement, id, &row.customer); break;
    case ROW_MONEY: judge_charge(judgement, copy, &row.charge); break;
    case ROW_OPENINGS:
    case ROW_SOLD:
    case ROW_STEP:
    case ROW_TO_TELL:
    case ROW_ANSWER:
    case ROW_SEAT:
    case ROW_RECEIPT: break;
  }
  arena_reset(&judgement->auditor->scratch);
  if (judgement->progress && ++judgement->rows % PROGRESS_ROWS == 0)
    judgement->progress(judgement->user, judgement->rows);
  return true;
}

void auditor_judge(struct auditor *auditor, struct audit_summary *summary,
                   void (*progress)(void *user, int64_t rows), void *user) {
  audit_flush(auditor);
  *summary = auditor->summary;
  struct judgement judgement = {.auditor = auditor,
                                .summary = summary,
                                .progress = progress,
                                .user = user,
                                .sent.partition = -1};
  store_scan(auditor->store, 0, STR(""), (struct str){0}, judge_row, &judgement);
}
