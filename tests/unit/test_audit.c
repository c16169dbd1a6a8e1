/* The audit against a log that was tampered with: each row of the table takes a record away or
 * shows it twice, and names the rule that must say so. */
#include <stdio.h>

#include "auditor.h"
#include "fake_world.h"
#include "harness.h"
#include "logging.h"

#define FILTERS_MAX 16

struct tampering {
  const char *name;
  enum audit_topic topic;
  const char *type;        /* of the record */
  const char *reservation; /* its correlation; NULL: any */
  int nth;                 /* of those that fit, from 0 */
  bool twice;              /* else it is missing */
  int rule;                /* that is broken; -1: none */
};

static const struct tampering tamperings[] = {
    {"an untouched log is clean", AUDIT_COMMANDS, "none", NULL, 0, false, -1},
    {"a command whose Open is gone is lost", AUDIT_LEDGER, "OpenReservation", "r1", 0, false,
     RULE_COMMAND_LOST},
    {"a command whose RequestHold is gone is lost", AUDIT_STOCK, "RequestHold", "r2", 0, false,
     RULE_COMMAND_LOST},
    {"a hold without an answer", AUDIT_LEDGER, "StockHeld", "r1", 0, false, RULE_HOLD_UNANSWERED},
    {"an answer twice", AUDIT_LEDGER, "StockHeld", "r1", 0, true, RULE_REPEATED},
    {"a step that is missing", AUDIT_RESULTS, "StatusChanged", "r1", 0, false, RULE_REVISION},
    {"a step twice", AUDIT_RESULTS, "StatusChanged", "r1", 1, true, RULE_REVISION},
    {"an outcome twice", AUDIT_OUTCOMES, "ReservationOutcome", "r1", 0, true, RULE_OUTCOME_TWICE},
    {"an outcome that nobody was told", AUDIT_OUTCOMES, "ReservationOutcome", "r3", 0, false,
     RULE_NOT_TOLD},
    {"a step that the customer was not told", AUDIT_EVENTS, "StatusChanged", "r3", 1, false,
     RULE_NOT_TOLD},
    {"an outcome that never came", AUDIT_RESULTS, "StatusChanged", "r3", 0, false,
     RULE_OUTCOME_MISSING},
    {"a confirm that is gone leaves its hold", AUDIT_STOCK, "ConfirmHold", "r1", 0, false,
     RULE_HOLD_LEAKED},
    {"a release that is gone leaves its hold", AUDIT_STOCK, "ReleaseHold", "r2", 0, false,
     RULE_HOLD_LEAKED},
    {"units of an item that nobody registered", AUDIT_STOCK, "RegisterItem", NULL, 0, false,
     RULE_OVERSOLD},
    {"a table that lacks its item", AUDIT_LEVELS, "StockLevel", NULL, -1, false,
     RULE_LEVEL_DIFFERS},
    {"a view that lacks a reservation", AUDIT_HISTORY, "ReservationView", NULL, -1, false,
     RULE_VIEW_DIFFERS},
    {"a sale that the tally has not counted", AUDIT_TALLIES, "OptionTally", NULL, 2, false,
     RULE_TALLY_DIFFERS},
    {"a sale that was taken back and is counted", AUDIT_SOLD, "ReservationOutcome", "r2", 1, false,
     RULE_TALLY_DIFFERS},
    {"a notice that was not told, before one that was", AUDIT_NOTICES, "Notified", "r1", 1, false,
     RULE_NOTICE_DIFFERS},
    {"a notice that was told twice", AUDIT_NOTICES, "Notified", "r2", 1, true, RULE_NOTICE_DIFFERS},
    {"the last notice told twice", AUDIT_NOTICES, "Notified", "r2", 3, true, RULE_NOTICE_DIFFERS},
    {"a notice of a step that never was", AUDIT_STEPS, "StatusChanged", "r3", 1, false,
     RULE_NOTICE_DIFFERS},
};

/* ---- a small pipeline that has sold two books ---- */

struct shop {
  struct memory_cluster *cluster;
  struct codec *codec;
  struct arena arena;
  struct runtime *runtimes[FILTERS_MAX];
  int count;
};

static void settle(struct shop *shop) {
  for (bool moved = true; moved;) {
    moved = false;
    for (int i = 0; i < shop->count; i++)
      moved |= runtime_step(shop->runtimes[i], 0) == RUNTIME_BUSY;
  }
}

static void command(struct shop *shop, int type, const void *value) {
  struct record record = {type, value};
  struct str key = command_key(record);
  const struct memory_record in = {.timestamp = 1000,
                                   .key = key,
                                   .value = codec_encode(shop->codec, record, &shop->arena),
                                   .correlation_id = key};
  memory_append(shop->cluster, "reservation-commands", -1, &in);
  settle(shop);
}

static void reserve(struct shop *shop, const char *id) {
  command(shop, RECORD_RESERVE,
          &(struct reserve){.reservation_id = str_of(id),
                            .customer_id = STR("kim"),
                            .item_id = STR("book"),
                            .quantity = 1});
}

static void open_shop(struct shop *shop) {
  *shop = (struct shop){.cluster = memory_cluster_new(), .codec = codec_new(&holdfast_schemas)};
  logging_set("test", LEVEL_ERROR);
  memory_cluster_set_time(shop->cluster, 1000);
  for (const struct processor *const *p = all_processors; *p; p++)
    pipe_prepare(shop->cluster, *p, 1);
  for (const struct processor *const *p = all_processors; *p; p++) {
    struct log_failure failure;
    struct runtime_config config = {.processor = without_world(*p),
                                    .tombstone_retention_ms = INT64_MAX};
    config.log = memory_log_open(shop->cluster, (*p)->name, (*p)->input, (*p)->changelog, 0);
    shop->runtimes[shop->count] = runtime_new(&config, &failure);
    assert_non_null(shop->runtimes[shop->count++]);
  }
  command(shop, RECORD_REGISTER_ITEM,
          &(struct register_item){.item_id = STR("book"),
                                  .title = STR("book"),
                                  .kind = ITEM_KIND_BOOK,
                                  .capacity = 2,
                                  .max_per_reservation = 1,
                                  .payment = PAYMENT_DUE_NONE,
                                  .hold_seconds = 60});
  reserve(shop, "r1");
  reserve(shop, "r2");
  reserve(shop, "r3"); /* sold out */
  command(shop, RECORD_CANCEL, &(struct cancel){STR("r2"), STR("kim")});
}

static void close_shop(struct shop *shop) {
  for (int i = 0; i < shop->count; i++) runtime_free(shop->runtimes[i]);
  codec_free(shop->codec);
  arena_free(&shop->arena);
  memory_cluster_free(shop->cluster);
}

/* ---- the audit of what is left ---- */

static bool broken[AUDIT_RULE_COUNT];
static int violations;

static void report(void *user, const struct audit_violation *violation) {
  (void)user;
  broken[violation->rule] = true;
  violations++;
}

static bool fits(struct shop *shop, const struct tampering *tampering, int topic,
                 const struct memory_record *record) {
  struct record decoded;
  char error[CODEC_ERROR_SIZE];
  if (topic != (int)tampering->topic || !record->value.data ||
      !codec_decode(shop->codec, record->value, &shop->arena, &decoded, error))
    return false;
  if (strcmp(holdfast_schemas.records[decoded.type]->name, tampering->type) != 0) return false;
  return !tampering->reservation ||
         str_equal(record->correlation_id, str_of(tampering->reservation));
}

/* unread: the consumer of that topic has not begun. */
static void audit_read(struct shop *shop, const struct tampering *tampering, int unread,
                       struct audit_summary *summary) {
  char error[200];
  int code, seen = 0;
  struct store *store = store_open(NULL, "audit", (struct store_memory){.cache = 1 << 20}, error,
                                   sizeof error, &code);
  struct auditor *auditor = auditor_new(store, report, NULL);
  memset(broken, 0, sizeof broken);
  violations = 0;
  auditor_begin(auditor, 1000);
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    auditor_committed(auditor, (enum audit_topic)topic, 0, topic == unread ? 0 : INT64_MAX, 1);
    const struct memory_record *next;
    int64_t shift = 0;
    for (int64_t at = 0; (next = memory_read(shop->cluster, audit_topics[topic].topic, 0, at));
         at = next->offset + 1) {
      struct memory_record record = *next;
      bool here =
          fits(shop, tampering, topic, next) && (tampering->nth < 0 || seen++ == tampering->nth);
      record.offset += shift;
      if (!here || tampering->twice) auditor_read(auditor, (enum audit_topic)topic, 0, &record);
      if (!here || !tampering->twice) continue;
      record.offset = next->offset + ++shift;
      auditor_read(auditor, (enum audit_topic)topic, 0, &record);
    }
  }
  auditor_judge(auditor, summary, NULL, NULL);
  assert_int_equal(summary->violations, violations);
  auditor_free(auditor);
  store_close(store);
}

static void audit(struct shop *shop, const struct tampering *tampering) {
  struct audit_summary summary;
  audit_read(shop, tampering, AUDIT_TOPIC_COUNT, &summary);
}

static void whatever_is_taken_away_or_repeated_is_found(void **unused) {
  (void)unused;
  struct shop shop;
  open_shop(&shop);
  for (size_t i = 0; i < sizeof tamperings / sizeof *tamperings; i++) {
    const struct tampering *tampering = &tamperings[i];
    audit(&shop, tampering);
    if (tampering->rule < 0 && violations)
      fail_msg("%s: %d violations", tampering->name, violations);
    if (tampering->rule >= 0 && !broken[tampering->rule])
      fail_msg("%s: '%s' was not reported", tampering->name, audit_rules[tampering->rule].name);
  }
  close_shop(&shop);
}

static void what_tally_and_notify_have_not_read_breaks_nothing(void **unused) {
  (void)unused;
  struct shop shop;
  open_shop(&shop);
  struct audit_summary summary;
  audit_read(&shop, &(struct tampering){.topic = AUDIT_TALLIES, .type = "OptionTally", .nth = -1},
             AUDIT_SOLD, &summary);
  assert_int_equal(violations, 0);
  assert_int_equal(summary.on_the_way, 0); /* the sales themselves are judged */
  audit_read(&shop, &(struct tampering){.topic = AUDIT_NOTICES, .type = "Notified", .nth = -1},
             AUDIT_STEPS, &summary);
  assert_int_equal(violations, 0);
  audit_read(&shop, &(struct tampering){.topic = AUDIT_NOTICES, .type = "Notified", .nth = -1},
             AUDIT_TOPIC_COUNT, &summary);
  assert_int_equal(violations, 0); /* they may still be told */
  assert_int_equal(summary.to_be_told, 9);
  close_shop(&shop);
}

static void what_a_consumer_has_not_read_is_on_its_way(void **unused) {
  (void)unused;
  struct shop shop;
  open_shop(&shop);
  char error[200];
  int code;
  struct store *store = store_open(NULL, "audit", (struct store_memory){.cache = 1 << 20}, error,
                                   sizeof error, &code);
  struct auditor *auditor = auditor_new(store, report, NULL);
  violations = 0;
  auditor_begin(auditor, 1000);
  /* As if payment had never run: what it made is not there either. */
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    bool before = topic == AUDIT_COMMANDS || topic == AUDIT_STOCK || topic == AUDIT_LEDGER;
    auditor_committed(auditor, (enum audit_topic)topic, 0, topic == AUDIT_LEDGER ? 0 : 4, 1);
    const struct memory_record *next;
    for (int64_t at = 0;
         before && (next = memory_read(shop.cluster, audit_topics[topic].topic, 0, at));
         at = next->offset + 1)
      auditor_read(auditor, (enum audit_topic)topic, 0, next);
  }
  struct audit_summary summary;
  auditor_judge(auditor, &summary, NULL, NULL);
  assert_int_equal(summary.on_the_way, 3);
  auditor_free(auditor);
  store_close(store);
  close_shop(&shop);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whatever_is_taken_away_or_repeated_is_found),
      cmocka_unit_test(what_tally_and_notify_have_not_read_breaks_nothing),
      cmocka_unit_test(what_a_consumer_has_not_read_is_on_its_way),
  };
  return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
