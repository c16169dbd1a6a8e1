/* Shared by the auditor's files, from the top down:
 *
 *   dispatch.c      hands each record to its files: the rounds of auditor.h
 *   judge.c         judges the rows
 *   order.c         every output once
 *   reservations.c  the facts of a reservation: the ledger's inputs, decisions and requests
 *   stock.c         folds items, holds and seats
 *   told.c          views, tallies and notices
 *   books.c         the provider's books
 *   commands.c      each command, from its sender to its end
 *   openings.c      the reservations of one id
 *   rules.c         the rules, and the saying of what breaks one
 *   rows.c          rows by their keys, and the memory that they take
 *   topics.c        the topics that are read, and their consumers
 *   place.c         "topic-partition-offset"
 */
#ifndef HOLDFAST_AUDIT_INTERNAL_H
#define HOLDFAST_AUDIT_INTERNAL_H

#include "auditor.h"
#include "place.h"
#include "runtime/record/codec.h"
#include "gen/records.h"
#include "runtime/core/staging.h"

#define AUDIT_ID_MAX 64
#define RESERVATION_MAX (AUDIT_ID_MAX + 3) /* see openings.c */
#define PRINTS_MAX 12 /* revisions whose content is remembered, to tell a repeat from a change */

/* Rows are these structs, as they lie in memory: they live as long as one audit. */

enum audit_row {
  ROW_FACTS = 'f',    /* reservation */
  ROW_COMMAND = 'q',  /* partition, offset and time of a command */
  ROW_HOLD = 'h',     /* item, reservation, content hash */
  ROW_ANSWER = 'a',   /* partition and offset of a RequestHold */
  ROW_ITEM = 'i',     /* item */
  ROW_SEAT = 's',     /* item, seat: the row is there while somebody has it */
  ROW_RECEIPT = 'r',  /* item, receipt */
  ROW_VIEW = 'v',     /* customer, reservation */
  ROW_SOLD = 'o',     /* item, reservation */
  ROW_TALLY = 't',    /* item, option */
  ROW_STEP = 'e',     /* customer, reservation */
  ROW_TO_TELL = 'n',  /* customer, number: expected or told, until it is both */
  ROW_CUSTOMER = 'c', /* customer */
  ROW_MONEY = 'm',    /* charge or refund, charge key */
  ROW_OPENINGS = 'p'  /* id of reservations */
};

struct facts {
  int64_t content_hash; /* of the first that was opened */
  int64_t opens, hold_requests;
  int32_t opening_partition; /* of the command that opened it */
  int64_t opening_offset, opening_time;
  int32_t own_pays;         /* given to the ledger after the opening */
  int32_t unnamed_refusals; /* of an earlier version, which named no command */
  int32_t revision, events_revision;
  enum status status;
  enum reason reason;
  uint64_t customer; /* a hash */
  bool opened, held, approved, payable, by_customer;
  bool too_old;       /* refused: it lay for longer than the window */
  int64_t settled_at; /* time of the last outcome */
  int32_t ends;       /* outcomes that the ledger decided: APPROVED, or an end before it */
  int32_t outcomes;   /* told on reservation-outcomes, by revision once each */
  int32_t told_last;  /* the last revision there */
  int32_t decided;    /* outcomes the ledger decided, CANCELLED after APPROVED too */
  int64_t amount;
  int32_t charges_asked, charges_answered, charges_approved;
  int32_t refunds_asked, refunds_answered, refunds_approved;
  int64_t deadline_at[DEADLINE_KIND_COUNT], deadline_passed[DEADLINE_KIND_COUNT]; /* 0: none */
  uint32_t prints[PRINTS_MAX];
  int32_t moving;     /* the round in which something about it waited */
  int32_t last_topic; /* of the last record about it */
  int32_t last_partition;
  int64_t last_offset;
};

/* The standing of a command to its reservation, when the ledger is given it first. */
enum command_standing {
  STANDING_NONE, /* the ledger was not given it */
  STANDING_OPENS,
  STANDING_OPENS_AGAIN, /* the same Reserve */
  STANDING_OPENS_OTHER, /* another under the same id */
  STANDING_OWN,         /* of the customer who opened it */
  STANDING_STRANGER,    /* of another */
  STANDING_BEFORE       /* nobody has opened it yet */
};

struct command_facts {
  int64_t offset, time;
  uint64_t sender; /* a hash of the customer */
  int32_t partition;
  int32_t type;             /* enum record_type; -1: nobody could read it */
  uint16_t refusals;        /* by the ledger: a bit for each enum refusal */
  uint8_t standing, status; /* status: of the reservation when it was refused */
  uint8_t effects;          /* forwardings and refusals by the entrance */
  bool sent;                /* it lies in reservation-commands, and the entrance has read it */
  bool dead, has_sender;
  bool told; /* its sender heard of its refusal */
  uint8_t id_size;
  char id[RESERVATION_MAX]; /* the reservation; a row ends with its last byte */
};

struct hold_facts {
  enum hold_state state;
  int32_t quantity;
  uint16_t seats_size; /* the seats follow, one after another, each ended by a NUL */
};
#define HOLD_SEATS_MAX ((size_t)16 * 1024)

struct item_facts {
  int64_t capacity, held, sold; /* folded from what was asked and answered */
  bool registered, seated;
  bool level_seen;
  int64_t level_capacity, level_held, level_sold, level_offset;
  int32_t level_partition, moving;
};

struct view_facts {
  bool in_events, in_view, refused;
  int32_t events_revision, view_revision;
  enum status events_status, view_status;
  int64_t events_at; /* time of the last step */
  int32_t moving;
};

struct tally_facts {
  /* Reservations, units, sum and its whole 10^18: as the outcomes have it, and as told */
  int64_t sold[4], table[4];
  int64_t offset;
  int32_t partition, moving;
};

struct customer_facts {
  int64_t expected, told; /* notices */
  bool differs;
  bool unsure; /* an id was used again: nobody else knows whether its opening was to be told */
  int32_t moving;
};

struct auditor {
  struct store *store;
  struct staging staging;
  struct arena arena;   /* of what is staged */
  struct arena scratch; /* of one record */
  struct codec *codec;
  void (*report)(void *user, const struct audit_violation *violation);
  void *user;
  int64_t now;
  int64_t latest; /* the highest time of a command */
  int32_t round;
  struct {
    int64_t committed;
    int64_t position; /* taken down up to here */
    int64_t seen;     /* looked at up to here, with the records that wait for their consumer */
  } partitions[AUDIT_TOPIC_COUNT][AUDIT_PARTITIONS_MAX];
  bool keeps_charges;   /* to be compared with the provider's books */
  int64_t books_as_of;  /* the books were read, and are of that time; 0: they were not */
  bool was_reset;       /* some group was: repeats are counted, not blamed */
  struct order *orders; /* order.c: a table, open-addressed by key */
  size_t order_count, order_capacity;
  struct audit_summary summary;
};

/* A record's place and content while it is taken down. */
struct audit_event {
  enum audit_topic topic;
  int32_t partition;
  const struct message *record;
  struct record value;
};

/* A text of the record; data NULL: it has no such field. */
static inline struct str audit_text(const struct auditor *auditor, struct record record,
                                    struct str name) {
  const struct field *field =
      schema_field(codec_schemas(auditor->codec)->records[record.type], name);
  return field ? *(const struct str *)((const char *)record.value + field->offset)
               : (struct str){0};
}

static inline struct str audit_reservation_of(const struct auditor *auditor,
                                              const struct audit_event *event) {
  return audit_text(auditor, event->value, STR("reservation_id"));
}

/* ---- rows.c ---- */
struct str audit_key(struct auditor *auditor, enum audit_row kind, const struct str *parts,
                     size_t count);

/* Copies the row to out (zeroed where there is none) and returns its size; at most size bytes. */
size_t audit_load(struct auditor *auditor, struct str key, void *out, size_t size);
void audit_save(struct auditor *auditor, struct str key, const void *row, size_t size);
void audit_drop(struct auditor *auditor, struct str key);
void audit_flush(struct auditor *auditor);

/* After each record that was taken down: keeps memory bounded. */
void audit_after_record(struct auditor *auditor);

/* ---- rules.c ---- */
void audit_report(struct auditor *auditor, enum audit_rule rule, struct str subject,
                  const struct audit_event *event, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* ---- commands.c ---- */

/* In the order in which the auditor meets them: in reservation-commands; as the entrance's first
 * output for it; given to the ledger, before anything else of the record is taken down but its
 * opening; refused on payment-results; told on reservation-events. */
void audit_command_sent(struct auditor *auditor, const struct audit_event *event, bool readable);
void audit_command_effect(struct auditor *auditor, const struct audit_event *event,
                          int64_t partition, int64_t offset);
void audit_command_given(struct auditor *auditor, const struct audit_event *event,
                         struct facts *facts);
void audit_command_refused(struct auditor *auditor, const struct audit_event *event,
                           struct facts *facts);
bool audit_command_told(struct auditor *auditor, const struct audit_event *event);

/* The fault in it, as a sentence, and the broken rule; NULL: none. facts: of its reservation. gone:
 * it lay in a topic that was made again since. */
const char *audit_command_wrong(const struct auditor *auditor, const struct facts *facts,
                                const struct command_facts *command, bool gone,
                                enum audit_rule *rule);

/* ---- openings.c ---- */
void audit_note_opening(struct auditor *auditor, const struct audit_event *event);

/* The name of the reservation that had that id then. */
struct str audit_opening_at(struct auditor *auditor, struct str id, int64_t time);

/* A time at which its opening was the last one, for a hold or what follows from it. The stock may
 * call an id free a slack before the ledger does, and then holds for the opening that the ledger
 * takes next; the reservation before ended a window before both. */
int64_t audit_hold_time(int64_t time);

/* Puts the name of its reservation in the place of the id that the record says. */
void audit_name_opening(struct auditor *auditor, struct audit_event *event);
struct str audit_id_of(struct str reservation);
bool audit_was_opened_again(struct auditor *auditor, struct str reservation);

/* ---- stock.c ---- */
void audit_answer(struct auditor *auditor, const struct audit_event *event);
void audit_stock(struct auditor *auditor, const struct audit_event *event);
void audit_level(struct auditor *auditor, const struct audit_event *event);
void audit_mark_item(struct auditor *auditor, const struct audit_event *event);

/* ---- told.c ---- */
void audit_to_view(struct auditor *auditor, const struct audit_event *event);
void audit_viewed(struct auditor *auditor, const struct audit_event *event);
void audit_mark_view(struct auditor *auditor, const struct audit_event *event);
void audit_sold(struct auditor *auditor, const struct audit_event *event);
void audit_tally(struct auditor *auditor, const struct audit_event *event);
void audit_mark_tally(struct auditor *auditor, const struct audit_event *event);
void audit_to_tell(struct auditor *auditor, const struct audit_event *event);
void audit_told(struct auditor *auditor, const struct audit_event *event);
void audit_mark_customer(struct auditor *auditor, const struct audit_event *event);

/* ---- books.c ---- */
#define CHARGE_FACTS_MAX 176 /* bytes of the row */
void audit_asked(struct auditor *auditor, const struct audit_event *event);
void audit_heard(struct auditor *auditor, const struct audit_event *event);
void audit_mark_charge(struct auditor *auditor, const struct audit_event *event);
/* Empty: nobody asked. Borrows from the row */
struct str audit_charge_reservation(const void *row);

/* facts: of its reservation. rests: nothing is on its way that would move that on. Returns the rule
 * that is broken, with a sentence about it, or -1. */
int audit_judge_charge(const struct auditor *auditor, const void *row, const struct facts *facts,
                       bool rests, char *text, size_t size);

/* ---- reservations.c ---- */
bool audit_valid_id(struct str id);
bool audit_is_outcome(enum status status);
void audit_mark_reservation(struct auditor *auditor, struct str reservation);

/* By topic: payment-requests, payment-results, reservation-outcomes, reservation-events (a step,
 * and a refusal), then what the ledger asks the stock, the provider and the clock for. */
void audit_given(struct auditor *auditor, const struct audit_event *event);
void audit_decided(struct auditor *auditor, const struct audit_event *event);
void audit_outcome_told(struct auditor *auditor, const struct audit_event *event);
void audit_step_told(struct auditor *auditor, const struct audit_event *event);
void audit_refusal_told(struct auditor *auditor, const struct audit_event *event);
void audit_hold_asked(struct auditor *auditor, const struct audit_event *event);
void audit_charge_asked(struct auditor *auditor, const struct audit_event *event);
void audit_deadline_set(struct auditor *auditor, const struct audit_event *event);

/* ---- order.c ---- */
void audit_check_order(struct auditor *auditor, const struct audit_event *event);

#endif
