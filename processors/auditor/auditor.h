/* The audit: an independent fold of the log that proves what Holdfast promises, or says what breaks
 * it and where.
 *
 * It shares no code with the filters' decisions: it takes down what each record says (facts), and
 * judges the facts by the rules below. Its state spills to RocksDB, so memory is bounded however
 * long the log is. The command `holdfast audit` feeds it from Kafka, the simulator from the log in
 * memory. Used from one thread.
 *
 * A round: auditor_begin with the offsets that each consumer has committed; every audit topic read
 * from where the last round left it (auditor_read; topics in the order of audit_topics, a partition
 * in the order of its offsets); then what waits from those offsets on, read once more
 * (auditor_mark); then auditor_judge. If a consumer had processed a record at the round's begin,
 * the effects lie in the topics that are read after it. Any other record is on its way, and is
 * neither lost nor wrong. */
#ifndef HOLDFAST_AUDITOR_H
#define HOLDFAST_AUDITOR_H

#include <stdio.h>

#include "runtime/record/message.h"

#define AUDIT_PARTITIONS_MAX 256

enum audit_topic {
  AUDIT_COMMANDS,
  AUDIT_DEAD_LETTERS,
  AUDIT_OPENINGS, /* payment-results once more, for the openings: before all that is of one */
  AUDIT_LEDGER,   /* payment-requests: before stock-requests, whose holds it answers */
  AUDIT_STOCK,
  AUDIT_RESULTS,
  AUDIT_CHARGES,
  AUDIT_DEADLINES,
  AUDIT_OUTCOMES,
  AUDIT_EVENTS,
  AUDIT_LEVELS,
  AUDIT_HISTORY,
  AUDIT_SOLD, /* the outcomes once more, as far as tally has read them */
  AUDIT_TALLIES,
  AUDIT_STEPS, /* the events once more, as far as notify has read them */
  AUDIT_NOTICES,
  AUDIT_TOPIC_COUNT
};

struct audit_source {
  const char *topic;
  const char *consumer; /* the group whose work is judged; NULL: nobody's */
  bool table;           /* only the last value of a key counts */
  bool again;           /* it was read before, for another consumer: only this one's is judged */
};
extern const struct audit_source audit_topics[AUDIT_TOPIC_COUNT];

enum audit_rule {
  RULE_UNREADABLE,
  RULE_REPEATED,
  RULE_COMMAND_LOST,
  RULE_COMMAND_FORGOTTEN,
  RULE_HOLD_UNANSWERED,
  RULE_HOLD_ANSWERED_TWICE,
  RULE_REVISION,
  RULE_OUTCOME_MISSING,
  RULE_OUTCOME_TWICE,
  RULE_NOT_TOLD,
  RULE_DEADLINE_LOST,
  RULE_OVERSOLD,
  RULE_REFUSED_WRONGLY,
  RULE_SEAT_TWICE,
  RULE_HOLD_LEAKED,
  RULE_LEVEL_DIFFERS,
  RULE_NOT_CHARGED,
  RULE_CHARGED_NOT_DELIVERED,
  RULE_CHARGED_TWICE,
  RULE_NOT_REFUNDED,
  RULE_REFUNDED_NOT_CANCELLED,
  RULE_VIEW_DIFFERS,
  RULE_STORE_DIFFERS,
  RULE_TALLY_DIFFERS,
  RULE_NOTICE_DIFFERS,
  RULE_BOOKS_UNDELIVERED,
  RULE_BOOKS_UNCHARGED,
  RULE_BOOKS_AMOUNT,
  RULE_BOOKS_UNASKED,
  AUDIT_RULE_COUNT
};

/* A rule's name and what it asks for, as --help and the docs have them. */
struct audit_rule_text {
  const char *name, *promise;
};
extern const struct audit_rule_text audit_rules[AUDIT_RULE_COUNT];

struct audit_violation {
  enum audit_rule rule;
  struct str subject; /* the reservation or the item; empty: neither */
  int topic;          /* enum audit_topic of the record that shows it; -1: no one record does */
  int32_t partition;
  int64_t offset;
  char text[320];
};

/* The counts of an audit. */
struct audit_summary {
  int64_t records, reservations, approved, failed, cancelled, waiting, on_the_way, refused_ids,
      refused_commands, dead_letters, items, units_sold, units_held, told, to_be_told, books,
      charged, charged_e18, refunded, refunded_e18, /* as money.h has sums */
      repeats, violations;
  char waits[72]; /* one of those that wait, to look at; empty: none */
};

struct auditor;

/* store: an empty one, for its rows; borrowed. report is called for each violation. */
struct store;
struct auditor *auditor_new(struct store *store,
                            void (*report)(void *user, const struct audit_violation *violation),
                            void *user);
void auditor_free(struct auditor *auditor);

/* Begins a round. now: milliseconds since 1970, for deadlines that nobody fired. */
void auditor_begin(struct auditor *auditor, int64_t now);

/* The offset that the topic's consumer has committed, and the epoch of its metadata: above 1 the
 * group was reset, and its repeated records are not held against it. */
void auditor_committed(struct auditor *auditor, enum audit_topic topic, int32_t partition,
                       int64_t offset, int64_t epoch);

/* Takes a record down. A record at or past the consumer's offset is left for the next round and
 * only marked. */
void auditor_read(struct auditor *auditor, enum audit_topic topic, int32_t partition,
                  const struct message *record);
void auditor_mark(struct auditor *auditor, enum audit_topic topic, int32_t partition,
                  const struct message *record);

/* ---- the provider's books ---- */

struct audit_book { /* an entry: the end of a key */
  struct str key;
  bool refund, approved;
  int64_t amount;
};

/* To be called before the first record: requests and answers are kept by charge key, for the
 * books. */
void auditor_keep_charges(struct auditor *auditor);

/* An entry of the books; borrowed. To be called between auditor_read and auditor_mark: the books
 * then have all that the topics said when they were read, and the records that are marked after
 * them have the requests for all that the books have. */
void auditor_book(struct auditor *auditor, const struct audit_book *book);

/* All entries were given. as_of: milliseconds since 1970; an answer that the ledger heard after it
 * may be missing in them. INT64_MAX: nothing may. */
void auditor_books_read(struct auditor *auditor, int64_t as_of);

/* The offset at which the next round reads on. */
int64_t auditor_position(const struct auditor *auditor, enum audit_topic topic, int32_t partition);

/* The topic was made again: the next round reads it from its beginning. */
void auditor_read_anew(struct auditor *auditor, enum audit_topic topic, int32_t partition);

/* Judges every reservation, hold, item and view. summary: of everything so far. progress: called
 * now and then with the rows judged; NULL: not wanted. */
void auditor_judge(struct auditor *auditor, struct audit_summary *summary,
                   void (*progress)(void *user, int64_t rows), void *user);

#endif
