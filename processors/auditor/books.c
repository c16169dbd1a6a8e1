/* The provider's books against the ledger: the requests under each charge key, the answers that the
 * ledger heard, and the entries of the books. Keys are taken as they stand in the requests. */
#include <inttypes.h>
#include <stdio.h>

#include "auditor/internal.h"

enum heard { HEARD_NOTHING, HEARD_APPROVED, HEARD_DECLINED, HEARD_DEFERRED };

struct charge_facts { /* of a charge key */
  char reservation[RESERVATION_MAX];
  size_t reservation_size;
  enum heard heard; /* by the ledger, last */
  int64_t heard_at;
  int64_t amount, book_amount;
  int64_t opened_at; /* of the reservation's opening that asked; 0: not said */
  bool asked, in_books, book_approved, shared;
  int32_t moving;
};
_Static_assert(sizeof(struct charge_facts) <= CHARGE_FACTS_MAX, "the judge's copy is too small");

/* A key is the provider's together with what it is for: charges and refunds are places of their
 * own there. */
static struct str charge_row(struct auditor *auditor, enum charge_kind kind, struct str key) {
  struct str parts[] = {kind == CHARGE_KIND_CHARGE ? STR("charge") : STR("refund"), key};
  return audit_key(auditor, ROW_MONEY, parts, 2);
}

void auditor_keep_charges(struct auditor *auditor) {
  auditor->keeps_charges = true;
}

void audit_asked(struct auditor *auditor, const struct audit_event *event) {
  if (!auditor->keeps_charges) return;
  const struct request_charge *request = event->value.value;
  struct charge_facts charge;
  struct str key = charge_row(auditor, request->kind, request->charge_key);
  audit_load(auditor, key, &charge, sizeof charge);
  charge.asked = true;
  charge.shared |= charge.opened_at && request->opened_at && charge.opened_at != request->opened_at;
  if (request->opened_at) charge.opened_at = request->opened_at;
  charge.amount = request->amount;
  charge.reservation_size = request->reservation_id.size;
  if (charge.reservation_size > sizeof charge.reservation) charge.reservation_size = 0;
  memcpy(charge.reservation, request->reservation_id.data, charge.reservation_size);
  audit_save(auditor, key, &charge, sizeof charge);
}

void audit_mark_charge(struct auditor *auditor, const struct audit_event *event) {
  if (!auditor->keeps_charges) return;
  const struct request_charge *request = event->value.value;
  struct charge_facts charge;
  struct str key = charge_row(auditor, request->kind, request->charge_key);
  audit_load(auditor, key, &charge, sizeof charge);
  charge.moving = auditor->round;
  audit_save(auditor, key, &charge, sizeof charge);
}

void audit_heard(struct auditor *auditor, const struct audit_event *event) {
  if (!auditor->keeps_charges) return;
  bool settled = event->value.type == RECORD_CHARGE_SETTLED;
  const struct charge_settled *answer = event->value.value;
  const struct charge_deferred *deferred = event->value.value;
  struct charge_facts charge;
  struct str key = settled ? charge_row(auditor, answer->kind, answer->charge_key)
                           : charge_row(auditor, deferred->kind, deferred->charge_key);
  audit_load(auditor, key, &charge, sizeof charge);
  charge.heard = !settled ? HEARD_DEFERRED : answer->approved ? HEARD_APPROVED : HEARD_DECLINED;
  charge.heard_at = event->record->timestamp;
  audit_save(auditor, key, &charge, sizeof charge);
}

void auditor_book(struct auditor *auditor, const struct audit_book *book) {
  struct charge_facts charge;
  struct str key =
      charge_row(auditor, book->refund ? CHARGE_KIND_REFUND : CHARGE_KIND_CHARGE, book->key);
  audit_load(auditor, key, &charge, sizeof charge);
  auditor->summary.books += !charge.in_books;
  charge.in_books = true;
  charge.book_approved = book->approved;
  charge.book_amount = book->amount;
  audit_save(auditor, key, &charge, sizeof charge);
  audit_after_record(auditor);
}

void auditor_books_read(struct auditor *auditor, int64_t as_of) {
  auditor->books_as_of = as_of;
}

/* ---- judging ---- */

struct str audit_charge_reservation(const void *row) {
  const struct charge_facts *charge = row;
  return (struct str){charge->reservation, charge->reservation_size};
}

/* The books have moved money, and the ledger has not heard so: false where that may still come. */
static bool is_unheard(const struct charge_facts *charge, bool rests) {
  return charge->book_approved && charge->heard != HEARD_APPROVED &&
         (rests || charge->heard == HEARD_DECLINED);
}

static bool is_missing(const struct auditor *auditor, const struct charge_facts *charge) {
  return charge->heard == HEARD_APPROVED && !charge->book_approved &&
         charge->heard_at <= auditor->books_as_of;
}

int audit_judge_charge(const struct auditor *auditor, const void *row, const struct facts *facts,
                       bool rests, char *text, size_t size) {
  const struct charge_facts *charge = row;
  if (charge->moving == auditor->round || !auditor->books_as_of) return -1;
  if (charge->in_books && !charge->asked) {
    snprintf(text, size, "the provider %s %" PRId64 " under it, and nobody asked for that",
             charge->book_approved ? "moved" : "declined", charge->book_amount);
    return RULE_BOOKS_UNASKED;
  }
  if (charge->in_books && charge->book_amount != charge->amount) {
    snprintf(text, size, "the provider has %" PRId64 " under it, and %" PRId64 " was asked for",
             charge->book_amount, charge->amount);
    return RULE_BOOKS_AMOUNT;
  }
  if (charge->shared && charge->heard == HEARD_APPROVED) {
    snprintf(text, size,
             "two openings of the reservation asked for money under it, and the provider moves it "
             "once");
    return RULE_BOOKS_UNCHARGED;
  }
  if (is_missing(auditor, charge)) {
    snprintf(text, size, "the ledger heard that %" PRId64 " was moved, and the provider's books %s",
             charge->amount, charge->in_books ? "say that it was declined" : "do not have it");
    return RULE_BOOKS_UNCHARGED;
  }
  if (is_unheard(charge, rests)) {
    snprintf(text, size, "the provider moved %" PRId64 ", the ledger %s, and the reservation is %s",
             charge->book_amount,
             charge->heard == HEARD_DECLINED   ? "heard that it was declined"
             : charge->heard == HEARD_DEFERRED ? "heard that it was not"
                                               : "heard nothing",
             status_enum.symbols[facts->status]);
    return RULE_BOOKS_UNDELIVERED;
  }
  return -1;
}
