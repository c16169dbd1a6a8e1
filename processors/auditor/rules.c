/* The rules, and the saying of what breaks one. */
#include <stdarg.h>

#include "auditor/internal.h"

const struct audit_rule_text audit_rules[AUDIT_RULE_COUNT] = {
    [RULE_UNREADABLE] = {"unreadable", "every record between filters can be read"},
    [RULE_REPEATED] = {"repeated", "a filter writes the effects of a record once"},
    [RULE_COMMAND_LOST] = {"command-lost",
                           "every command is forwarded once, or refused and its sender told"},
    [RULE_COMMAND_FORGOTTEN] =
        {"command-forgotten",
         "a Pay or Cancel that the ledger was given is done, or rightly refused"},
    [RULE_HOLD_UNANSWERED] = {"hold-unanswered", "every request for a hold is answered"},
    [RULE_HOLD_ANSWERED_TWICE] = {"hold-answered-twice", "a hold is answered once"},
    [RULE_REVISION] = {"revision",
                       "the steps of a reservation are 1, 2, 3: none missing or changed"},
    [RULE_OUTCOME_MISSING] = {"outcome-missing", "a reservation with no step left has an outcome"},
    [RULE_OUTCOME_TWICE] = {"outcome-twice", "a reservation has one outcome"},
    [RULE_NOT_TOLD] = {"not-told", "customer and item are told each decision of the ledger"},
    [RULE_DEADLINE_LOST] = {"deadline-lost", "a deadline fires when it has passed"},
    [RULE_OVERSOLD] = {"oversold",
                       "capacity = available + held + sold, none below zero, at every point"},
    [RULE_REFUSED_WRONGLY] = {"refused-wrongly", "no unit or seat is refused while it is free"},
    [RULE_SEAT_TWICE] = {"seat-twice", "a seat has one holder at a time"},
    [RULE_HOLD_LEAKED] = {"hold-leaked", "every hold ends as its reservation does"},
    [RULE_LEVEL_DIFFERS] = {"level-differs", "stock-levels equals the fold of stock-requests"},
    [RULE_NOT_CHARGED] = {"not-charged", "an approved reservation with a price was charged"},
    [RULE_CHARGED_NOT_DELIVERED] = {"charged-not-delivered",
                                    "a failed reservation was never charged"},
    [RULE_CHARGED_TWICE] = {"charged-twice", "money moves once each way"},
    [RULE_NOT_REFUNDED] = {"not-refunded",
                           "a reservation that was cancelled after its approval was refunded"},
    [RULE_REFUNDED_NOT_CANCELLED] = {"refunded-not-cancelled",
                                     "only a cancelled reservation is refunded"},
    [RULE_STORE_DIFFERS] = {"store-differs", "a store equals the fold of its changelog"},
    [RULE_VIEW_DIFFERS] = {"view-differs", "the history equals the fold of its events"},
    [RULE_TALLY_DIFFERS] = {"tally-differs", "option-tallies equals the fold of the outcomes"},
    [RULE_NOTICE_DIFFERS] = {"notice-differs",
                             "each change of status, and each refusal, is told once, in order"},
    [RULE_BOOKS_UNDELIVERED] = {"books-undelivered",
                                "the ledger heard of all money that the provider moved"},
    [RULE_BOOKS_UNCHARGED] = {"books-uncharged",
                              "the provider moved all money that the ledger heard of"},
    [RULE_BOOKS_AMOUNT] = {"books-amount", "the provider moved the amount that was asked for"},
    [RULE_BOOKS_UNASKED] = {"books-unasked", "the provider has no key that nobody asked for"},
};

void audit_report(struct auditor *auditor, enum audit_rule rule, struct str subject,
                  const struct audit_event *event, const char *format, ...) {
  struct audit_violation violation = {.rule = rule, .subject = subject, .topic = -1, .offset = -1};
  if (event) {
    violation.topic = (int)event->topic;
    violation.partition = event->partition;
    violation.offset = event->record->offset;
  }
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(violation.text, sizeof violation.text, format, arguments);
  va_end(arguments);
  auditor->summary.violations++;
  auditor->report(auditor->user, &violation);
}
