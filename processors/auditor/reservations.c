/* The facts of a reservation, from the records about it in the order of their partition. */
#include <xxhash.h>

#include "auditor/internal.h"

static struct str facts_key(struct auditor *auditor, struct str reservation) {
  return audit_key(auditor, ROW_FACTS, &reservation, 1);
}

static struct facts facts_of(struct auditor *auditor, struct str reservation) {
  struct facts facts;
  audit_load(auditor, facts_key(auditor, reservation), &facts, sizeof facts);
  return facts;
}

static void keep_facts(struct auditor *auditor, struct str reservation, struct facts *facts,
                       const struct audit_event *event) {
  facts->last_topic = (int32_t)event->topic;
  facts->last_partition = event->partition;
  facts->last_offset = event->record->offset;
  audit_save(auditor, facts_key(auditor, reservation), facts, sizeof *facts);
}

bool audit_valid_id(struct str id) {
  return id.size >= 1 && id.size <= RESERVATION_MAX;
}

bool audit_is_outcome(enum status status) {
  return status == STATUS_APPROVED || status == STATUS_CANCELLED || status == STATUS_FAILED;
}

void audit_mark_reservation(struct auditor *auditor, struct str reservation) {
  struct facts facts = facts_of(auditor, reservation);
  facts.moving = auditor->round;
  audit_save(auditor, facts_key(auditor, reservation), &facts, sizeof facts);
}

/* ---- what the ledger was given ---- */

static void opened(struct facts *facts, const struct open_reservation *open) {
  facts->opens++;
  if (facts->opened) return;
  facts->opened = true;
  facts->content_hash = open->content_hash;
  facts->customer = XXH3_64bits(open->customer_id.data, open->customer_id.size);
}

static void held(struct facts *facts, const struct stock_held *answer) {
  if (!facts->opened || answer->content_hash != facts->content_hash) return;
  facts->payable = answer->payment != PAYMENT_DUE_NONE && answer->amount > 0;
  facts->by_customer = answer->payment == PAYMENT_DUE_BY_CUSTOMER;
  facts->amount = answer->amount;
}

static void settled(struct auditor *auditor, struct facts *facts, const struct audit_event *event,
                    const struct charge_settled *answer) {
  bool charge = answer->kind == CHARGE_KIND_CHARGE;
  if (charge)
    facts->charges_answered++;
  else
    facts->refunds_answered++;
  if (!answer->approved) return;
  int32_t *approved = charge ? &facts->charges_approved : &facts->refunds_approved;
  if (++*approved == 1) return;
  *approved = 1;
  if (auditor->was_reset) {
    auditor->summary.repeats++;
  } else {
    audit_report(auditor, RULE_CHARGED_TWICE, answer->reservation_id, event, "a second approved %s",
                 charge ? "charge" : "refund");
  }
}

void audit_given(struct auditor *auditor, const struct audit_event *event) {
  struct str reservation = audit_reservation_of(auditor, event);
  struct facts facts = facts_of(auditor, reservation);
  const void *value = event->value.value;
  switch (event->value.type) {
    case RECORD_OPEN_RESERVATION:
      opened(&facts, value);
      audit_command_given(auditor, event, &facts);
      break;
    case RECORD_PAY:
    case RECORD_CANCEL: audit_command_given(auditor, event, &facts); break;
    case RECORD_STOCK_HELD: held(&facts, value); break;
    case RECORD_CHARGE_SETTLED:
      settled(auditor, &facts, event, value);
      audit_heard(auditor, event);
      break;
    case RECORD_CHARGE_DEFERRED:
      audit_heard(auditor, event);
      ++*(((const struct charge_deferred *)value)->kind == CHARGE_KIND_CHARGE
              ? &facts.charges_answered
              : &facts.refunds_answered);
      break;
    case RECORD_DEADLINE_PASSED: {
      const struct deadline_passed *passed = value;
      if (facts.deadline_passed[passed->kind] >= passed->due_at && auditor->was_reset) {
        auditor->summary.repeats++;
      } else if (facts.deadline_passed[passed->kind] >= passed->due_at) {
        audit_report(auditor, RULE_REPEATED, reservation, event, "its deadline %s fires again",
                     deadline_kind_enum.symbols[passed->kind]);
      } else {
        facts.deadline_passed[passed->kind] = passed->due_at;
      }
      break;
    }
    default: break;
  }
  keep_facts(auditor, reservation, &facts, event);
}

/* ---- what it decided, and who was told ---- */

static uint32_t print_of(const struct status_changed *changed) {
  int64_t numbers[] = {changed->status, changed->reason, changed->amount, changed->hold,
                       changed->content_hash};
  return (uint32_t)XXH3_64bits(numbers, sizeof numbers) | 1;
}

/* False: this revision was seen before, or is not the next one. */
static bool next_revision(struct auditor *auditor, struct facts *facts, int32_t *last,
                          const struct audit_event *event, const struct status_changed *changed) {
  uint32_t print = print_of(changed), *known = NULL;
  if (changed->revision >= 0 && changed->revision < PRINTS_MAX)
    known = &facts->prints[changed->revision];
  if (known && *known && *known != print) {
    audit_report(auditor, RULE_REVISION, changed->reservation_id, event,
                 "revision %d says %s, and said otherwise before", (int)changed->revision,
                 status_enum.symbols[changed->status]);
  }
  if (known) *known = print;
  if (changed->revision == *last + 1) {
    *last = changed->revision;
    return true;
  }
  if (changed->revision <= *last && auditor->was_reset) {
    auditor->summary.repeats++;
    return false;
  }
  audit_report(auditor, RULE_REVISION, changed->reservation_id, event,
               "revision %d (%s) comes after revision %d", (int)changed->revision,
               status_enum.symbols[changed->status], (int)*last);
  if (changed->revision < *last) return false;
  *last = changed->revision;
  return true;
}

static void decided(struct auditor *auditor, const struct audit_event *event) {
  const struct status_changed *changed = event->value.value;
  struct facts facts = facts_of(auditor, changed->reservation_id);
  if (next_revision(auditor, &facts, &facts.revision, event, changed)) {
    facts.status = changed->status;
    facts.reason = changed->reason;
    bool takes_back = changed->status == STATUS_CANCELLED && facts.approved;
    if (audit_is_outcome(changed->status)) {
      facts.decided++;
      facts.settled_at = event->record->timestamp;
    }
    if (audit_is_outcome(changed->status) && !takes_back) facts.ends++;
    if (changed->status == STATUS_HELD) facts.held = true;
    if (changed->status == STATUS_APPROVED) facts.approved = true;
    if (facts.ends > 1) {
      audit_report(auditor, RULE_OUTCOME_TWICE, changed->reservation_id, event,
                   "%s is its outcome number %d", status_enum.symbols[changed->status],
                   (int)facts.ends);
    }
  }
  keep_facts(auditor, changed->reservation_id, &facts, event);
}

static void refused(struct auditor *auditor, const struct audit_event *event) {
  const struct command_refused *refused = event->value.value;
  auditor->summary.refused_commands++;
  if (!audit_valid_id(refused->reservation_id)) return;
  struct facts facts = facts_of(auditor, refused->reservation_id);
  audit_command_refused(auditor, event, &facts);
  facts.too_old |= refused->refusal == REFUSAL_TOO_OLD;
  auditor->summary.refused_ids += refused->refusal == REFUSAL_ID_REUSED;
  keep_facts(auditor, refused->reservation_id, &facts, event);
}

void audit_decided(struct auditor *auditor, const struct audit_event *event) {
  if (event->value.type == RECORD_STATUS_CHANGED) decided(auditor, event);
  if (event->value.type == RECORD_COMMAND_REFUSED) refused(auditor, event);
}

void audit_outcome_told(struct auditor *auditor, const struct audit_event *event) {
  const struct reservation_outcome *outcome = event->value.value;
  struct facts facts = facts_of(auditor, outcome->reservation_id);
  if (outcome->revision > facts.told_last) {
    facts.told_last = outcome->revision;
    facts.outcomes++;
  } else if (auditor->was_reset) {
    auditor->summary.repeats++;
  } else {
    audit_report(auditor, RULE_OUTCOME_TWICE, outcome->reservation_id, event,
                 "its outcome %s (revision %d) was told before",
                 status_enum.symbols[outcome->status], (int)outcome->revision);
  }
  keep_facts(auditor, outcome->reservation_id, &facts, event);
}

void audit_step_told(struct auditor *auditor, const struct audit_event *event) {
  if (event->value.type != RECORD_STATUS_CHANGED) return;
  const struct status_changed *changed = event->value.value;
  if (changed->revision == 0) return; /* as often as its Reserve was sent */
  struct facts facts = facts_of(auditor, changed->reservation_id);
  next_revision(auditor, &facts, &facts.events_revision, event, changed);
  keep_facts(auditor, changed->reservation_id, &facts, event);
}

/* A refusal that names no command, or one that is not there, is somebody's of the reservation. */
void audit_refusal_told(struct auditor *auditor, const struct audit_event *event) {
  struct str reservation = audit_reservation_of(auditor, event);
  if (audit_command_told(auditor, event) || !audit_valid_id(reservation)) return;
  struct facts facts = facts_of(auditor, reservation);
  facts.unnamed_refusals++;
  audit_save(auditor, facts_key(auditor, reservation), &facts, sizeof facts);
}

/* ---- what it asked for ---- */

void audit_hold_asked(struct auditor *auditor, const struct audit_event *event) {
  struct str reservation = audit_reservation_of(auditor, event);
  struct facts facts = facts_of(auditor, reservation);
  facts.hold_requests++;
  keep_facts(auditor, reservation, &facts, event);
}

void audit_charge_asked(struct auditor *auditor, const struct audit_event *event) {
  const struct request_charge *request = event->value.value;
  struct facts facts = facts_of(auditor, request->reservation_id);
  if (request->kind == CHARGE_KIND_CHARGE)
    facts.charges_asked++;
  else
    facts.refunds_asked++;
  keep_facts(auditor, request->reservation_id, &facts, event);
  audit_asked(auditor, event);
}

void audit_deadline_set(struct auditor *auditor, const struct audit_event *event) {
  struct str reservation = audit_reservation_of(auditor, event);
  struct facts facts = facts_of(auditor, reservation);
  if (event->value.type == RECORD_SET_DEADLINE) {
    const struct set_deadline *set = event->value.value;
    facts.deadline_at[set->kind] = set->due_at;
  } else {
    memset(facts.deadline_at, 0, sizeof facts.deadline_at);
  }
  keep_facts(auditor, reservation, &facts, event);
}
