/* The audit against a log that was tampered with: each row of the table takes a record away or
 * shows it twice, and names the rule that must say so. */
#include <stdio.h>

#include "auditor/auditor.h"
#include "../lib/fake_world.h"
#include "../lib/harness.h"
#include "runtime/base/report.h"
#include "runtime/base/murmur2.h"
#include "payment/payment.h"
#include "reserve-requested/reserve-requested.h"

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
    {"a command that was forwarded and that nobody sent", AUDIT_COMMANDS, "Cancel", "r2", 0, false,
     RULE_COMMAND_LOST},
    {"a Cancel that the ledger was not given", AUDIT_LEDGER, "Cancel", "r2", 0, false,
     RULE_COMMAND_LOST},
    {"a Cancel that nothing came of", AUDIT_RESULTS, "StatusChanged", "r2", 2, false,
     RULE_COMMAND_FORGOTTEN},
    {"a stranger's Cancel that was not refused", AUDIT_RESULTS, "CommandRefused", "r1", 0, false,
     RULE_COMMAND_FORGOTTEN},
    {"a refusal that its sender was not told", AUDIT_EVENTS, "CommandRefused", "r1", 0, false,
     RULE_NOT_TOLD},
    {"an invalid command that is no dead letter", AUDIT_DEAD_LETTERS, "Reserve", "r4", 0, false,
     RULE_COMMAND_LOST},
    {"an invalid command whose sender was not told", AUDIT_EVENTS, "CommandRefused", "r4", 0, false,
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
    {"a refusal that was not told", AUDIT_NOTICES, "Notified", "r5", 0, false, RULE_NOTICE_DIFFERS},
    {"a refusal that was told twice", AUDIT_NOTICES, "Notified", "r5", 0, true,
     RULE_NOTICE_DIFFERS},
    {"a notice of a refusal that never was", AUDIT_STEPS, "CommandRefused", "r5", 0, false,
     RULE_NOTICE_DIFFERS},
    {"a refusal that a reset says again", AUDIT_STEPS, "CommandRefused", "r5", 0, true, -1},
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
  int32_t partitions;
};

static void settle(struct shop *shop) {
  for (bool moved = true; moved;) {
    moved = false;
    for (int i = 0; i < shop->count; i++)
      moved |= runtime_step(shop->runtimes[i], 0) == RUNTIME_BUSY;
  }
}

static void command_to(struct shop *shop, int32_t partition, int64_t time, int type,
                       const void *value) {
  struct record record = {type, value};
  struct str key = command_key(record);
  const struct message in = {.timestamp = time,
                             .key = key,
                             .value = codec_encode(shop->codec, record, &shop->arena),
                             .correlation_id = key};
  memory_append(shop->cluster, "reservation-commands", partition, &in);
  settle(shop);
}

static void command(struct shop *shop, int type, const void *value) {
  command_to(shop, -1, 1000, type, value);
}

static void reserve(struct shop *shop, const char *id) {
  command(shop, RECORD_RESERVE,
          &(struct reserve){.reservation_id = str_of(id),
                            .customer_id = STR("kim"),
                            .item_id = STR("book"),
                            .quantity = 1});
}

/* replace: what a filter is to be taken for; NULL: itself. */
static void open_filters(struct shop *shop, int32_t partitions,
                         const struct processor *(*replace)(const struct processor *)) {
  *shop = (struct shop){.cluster = memory_cluster_new(),
                        .codec = codec_new(&holdfast_schemas),
                        .partitions = partitions};
  report_as("test", LEVEL_ERROR);
  memory_cluster_set_time(shop->cluster, 1000);
  for (const struct processor *const *p = all_processors; *p; p++)
    pipe_prepare(shop->cluster, *p, partitions);
  for (const struct processor *const *p = all_processors; *p; p++) {
    struct failure failure;
    const struct processor *other = replace ? replace(*p) : NULL;
    struct runtime_config config = {.processor = other ? other : without_world(*p),
                                    .tombstone_retention_ms = INT64_MAX};
    config.log = memory_log_open(shop->cluster, (*p)->name, (*p)->input, (*p)->changelog, 0);
    shop->runtimes[shop->count] = runtime_new(&config, &failure);
    assert_non_null(shop->runtimes[shop->count++]);
  }
}

static void open_shop(struct shop *shop) {
  open_filters(shop, 1, NULL);
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
  reserve(shop, "r3");                                                   /* sold out */
  command(shop, RECORD_CANCEL, &(struct cancel){STR("r5"), STR("kim")}); /* refused: unknown */
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
                 const struct message *record) {
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
  for (int i = 0; i < AUDIT_TOPIC_COUNT * shop->partitions; i++) {
    enum audit_topic topic = (enum audit_topic)(i / shop->partitions);
    int32_t p = i % shop->partitions;
    auditor_committed(auditor, topic, p, (int)topic == unread ? 0 : INT64_MAX, 1);
    const struct message *next;
    int64_t shift = 0;
    for (int64_t at = 0; (next = memory_read(shop->cluster, audit_topics[topic].topic, p, at));
         at = next->offset + 1) {
      struct message record = *next;
      bool here = fits(shop, tampering, (int)topic, next) &&
                  (tampering->nth < 0 || seen++ == tampering->nth);
      record.offset += shift;
      if (!here || tampering->twice) auditor_read(auditor, topic, p, &record);
      if (!here || !tampering->twice) continue;
      record.offset = next->offset + ++shift;
      auditor_read(auditor, topic, p, &record);
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
  command(&shop, RECORD_CANCEL, &(struct cancel){STR("r1"), STR("a stranger")});
  command(&shop, RECORD_RESERVE, /* of no units */
          &(struct reserve){
              .reservation_id = STR("r4"), .customer_id = STR("kim"), .item_id = STR("book")});
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
  assert_int_equal(summary.to_be_told, 10);
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
    const struct message *next;
    for (int64_t at = 0;
         before && (next = memory_read(shop.cluster, audit_topics[topic].topic, 0, at));
         at = next->offset + 1)
      auditor_read(auditor, (enum audit_topic)topic, 0, next);
  }
  struct audit_summary summary;
  auditor_judge(auditor, &summary, NULL, NULL);
  assert_int_equal(summary.on_the_way, 4);
  auditor_free(auditor);
  store_close(store);
  close_shop(&shop);
}

/* ---- a client with another partitioner, and filters that do not see it ---- */

static void decide_whatever_the_partition(struct context *context, const struct event *event) {
  struct event blind = *event;
  blind.misplaced = false;
  reserve_requested_decide(context, &blind);
}

/* As a ledger that compares the offsets of two partitions. */
static void forget_what_lies_elsewhere(struct context *context, const struct event *event) {
  char own[64];
  snprintf(own, sizeof own, "reservation-commands-%d-", (int)murmur2_partition(event->key, 2));
  bool wish = event->type == RECORD_PAY || event->type == RECORD_CANCEL;
  if (!wish || str_starts_with(event->cause, str_of(own))) payment_decide(context, event);
}

static const struct processor *careless(const struct processor *processor) {
  static struct processor entrance;
  if (!processor->open_input) return NULL;
  entrance = *processor;
  entrance.decide = decide_whatever_the_partition;
  return &entrance;
}

static const struct processor *forgetful(const struct processor *processor) {
  static struct processor ledger;
  if (strcmp(processor->name, "payment") != 0) return careless(processor);
  ledger = *processor;
  ledger.decide = forget_what_lies_elsewhere;
  return &ledger;
}

static void open_paid_shop(struct shop *shop,
                           const struct processor *(*replace)(const struct processor *)) {
  open_filters(shop, 2, replace);
  command(shop, RECORD_REGISTER_ITEM,
          &(struct register_item){.item_id = STR("show"),
                                  .title = STR("show"),
                                  .kind = ITEM_KIND_CONCERT,
                                  .capacity = 2,
                                  .max_per_reservation = 1,
                                  .price = 5,
                                  .payment = PAYMENT_DUE_BY_CUSTOMER,
                                  .hold_seconds = 60});
}

static const struct reserve of_the_show = {
    .reservation_id = STR("r1"), .customer_id = STR("kim"), .item_id = STR("show"), .quantity = 1};

static void a_pay_or_cancel_that_the_ledger_forgets_for_its_offset_is_found(void **unused) {
  (void)unused;
  const struct pay pay = {STR("r1"), STR("kim")};
  const struct cancel cancel = {STR("r1"), STR("kim")};
  int32_t own = murmur2_partition(STR("r1"), 2);
  for (int type = 0; type < 2; type++) {
    for (int lost = 0; lost < 2; lost++) {
      struct shop shop;
      open_paid_shop(&shop, lost ? forgetful : careless);
      /* Said three times: the offsets of its partition are above those of the other. */
      for (int i = 0; i < 3; i++) command(&shop, RECORD_RESERVE, &of_the_show);
      command_to(&shop, 1 - own, 2000, type ? RECORD_CANCEL : RECORD_PAY,
                 type ? (const void *)&cancel : &pay);
      audit(&shop, &tamperings[0]);
      assert_int_equal(violations, lost);
      assert_int_equal(broken[RULE_COMMAND_FORGOTTEN], lost);
      close_shop(&shop);
    }
  }
}

static void a_cancel_that_overtakes_its_reserve_in_another_partition_is_found(void **unused) {
  (void)unused;
  int32_t own = murmur2_partition(STR("r1"), 2);
  struct shop shop;
  open_paid_shop(&shop, careless);
  command_to(&shop, 1 - own, 2000, RECORD_CANCEL, &(struct cancel){STR("r1"), STR("kim")});
  command_to(&shop, own, 1500, RECORD_RESERVE, &of_the_show);
  audit(&shop, &tamperings[0]);
  assert_true(broken[RULE_COMMAND_FORGOTTEN]);
  close_shop(&shop);
}

static void a_command_of_another_partition_is_refused_and_the_audit_is_clean(void **unused) {
  (void)unused;
  int32_t own = murmur2_partition(STR("r1"), 2);
  struct shop shop;
  open_paid_shop(&shop, NULL);
  command_to(&shop, 1 - own, 2000, RECORD_CANCEL, &(struct cancel){STR("r1"), STR("kim")});
  command_to(&shop, own, 1500, RECORD_RESERVE, &of_the_show);
  struct audit_summary summary;
  audit_read(&shop, &tamperings[0], AUDIT_TOPIC_COUNT, &summary);
  assert_int_equal(violations, 0);
  assert_int_equal(summary.dead_letters, 1);
  close_shop(&shop);
}

/* 64 KiB that are a whole Reserve, with more behind them: the entrance refuses it by its size, and
 * what is left of it as a dead letter could be decoded. */
static void a_dead_letter_that_is_cut_is_not_taken_for_a_command(void **unused) {
  (void)unused;
  static char filler[RECORD_SIZE_MAX];
  memset(filler, 'x', sizeof filler);
  struct shop shop;
  open_shop(&shop);
  struct reserve large = {.reservation_id = STR("r9"), .customer_id = STR("kim")};
  struct str bytes = {0};
  for (size_t size = RECORD_SIZE_MAX; bytes.size != RECORD_SIZE_MAX; size--) {
    large.item_id = (struct str){filler, size};
    bytes = codec_encode(shop.codec, (struct record){RECORD_RESERVE, &large}, &shop.arena);
  }
  char *longer = arena_zalloc(&shop.arena, bytes.size + 1);
  memcpy(longer, bytes.data, bytes.size);
  memory_append(
      shop.cluster, "reservation-commands", -1,
      &(struct message){
          .timestamp = 1000, .key = large.reservation_id, .value = {longer, bytes.size + 1}});
  settle(&shop);
  struct audit_summary summary;
  audit_read(&shop, &tamperings[0], AUDIT_TOPIC_COUNT, &summary);
  assert_int_equal(summary.dead_letters, 1);
  assert_int_equal(violations, 0);
  close_shop(&shop);
}

/* A client may say in its headers whatever the filters say in theirs. */
static void headers_that_a_client_makes_up_say_nothing_to_the_audit(void **unused) {
  (void)unused;
  struct shop shop;
  open_shop(&shop);
  struct pay pay = {STR("r1"), STR("kim")};
  struct str bytes = codec_encode(shop.codec, (struct record){RECORD_PAY, &pay}, &shop.arena);
  static const char *const sources[] = {"reserve-requested/0", "reserve-requested/0",
                                        "x/99999999999999999999", "/", "x/-"};
  for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
    memory_append(shop.cluster, "reservation-commands", -1,
                  &(struct message){.timestamp = 1000,
                                    .key = STR("r1"),
                                    .value = bytes,
                                    .source = str_of(sources[i]),
                                    .causation = STR("reservation-commands-0-1")});
  settle(&shop);
  struct audit_summary summary;
  audit_read(&shop, &tamperings[0], AUDIT_TOPIC_COUNT, &summary);
  assert_int_equal(violations, 0);
  close_shop(&shop);
}

/* ---- an id that is used again, long after ---- */

#define MINUTE INT64_C(60000)
#define LONG_AFTER (500 * 24 * 60 * MINUTE) /* more than a window and its slack */

static void reserve_at(struct shop *shop, int64_t time, const char *id) {
  memory_cluster_set_time(shop->cluster, time);
  command_to(shop, -1, time, RECORD_RESERVE,
             &(struct reserve){.reservation_id = str_of(id),
                               .customer_id = STR("kim"),
                               .item_id = STR("book"),
                               .quantity = 1});
}

/* r1 is sold, forgotten, and sold again; so many others come between that the time is believed. */
static void open_shop_twice(struct shop *shop) {
  const struct receive_stock more = {
      .item_id = STR("book"), .receipt_id = STR("more"), .quantity = 1};
  open_shop(shop);
  for (int i = 0; i < 150; i++)
    reserve_at(shop, LONG_AFTER + i * 10 * MINUTE, arena_format(&shop->arena, "f%d", i).data);
  command_to(shop, -1, LONG_AFTER + 1600 * MINUTE, RECORD_RECEIVE_STOCK, &more);
  reserve_at(shop, LONG_AFTER + 1700 * MINUTE, "r1");
}

static void an_id_that_is_used_again_is_another_reservation(void **unused) {
  (void)unused;
  static const struct tampering harms[] = {
      {"a hold of the second without an answer", AUDIT_LEDGER, "StockHeld", "r1", 1, false,
       RULE_HOLD_UNANSWERED},
      {"a confirm of the second that is gone", AUDIT_STOCK, "ConfirmHold", "r1", 1, false,
       RULE_HOLD_LEAKED},
      {"a confirm of the first that is gone", AUDIT_STOCK, "ConfirmHold", "r1", 0, false,
       RULE_HOLD_LEAKED},
      {"an outcome of the second twice", AUDIT_OUTCOMES, "ReservationOutcome", "r1", 1, true,
       RULE_OUTCOME_TWICE},
      {"a step of the second that is missing", AUDIT_EVENTS, "StatusChanged", "r1", 4, false,
       RULE_REVISION},
      {"a sale of the second that was not told", AUDIT_OUTCOMES, "ReservationOutcome", "r1", 1,
       false, RULE_NOT_TOLD}};
  struct shop shop;
  open_shop_twice(&shop);
  struct audit_summary summary;
  audit_read(&shop, &tamperings[0], AUDIT_TOPIC_COUNT, &summary);
  assert_int_equal(violations, 0);
  assert_int_equal(summary.reservations, 154);
  assert_int_equal(summary.approved, 3); /* r1, f0, r1 */
  for (size_t i = 0; i < sizeof harms / sizeof *harms; i++) {
    audit(&shop, &harms[i]);
    if (!broken[harms[i].rule])
      fail_msg("%s: '%s' was not reported", harms[i].name, audit_rules[harms[i].rule].name);
  }
  close_shop(&shop);
}

/* ---- the topic of commands, deleted and made again ---- */

static void open_filter(struct shop *shop, int place, const struct processor *processor) {
  struct failure failure;
  struct runtime_config config = {.processor = without_world(processor),
                                  .tombstone_retention_ms = INT64_MAX};
  config.log =
      memory_log_open(shop->cluster, processor->name, processor->input, processor->changelog, 0);
  shop->runtimes[place] = runtime_new(&config, &failure);
  assert_non_null(shop->runtimes[place]);
}

/* As `holdfast topics apply --recreate` does it: the offsets go with the topic, and the first
 * commit is made again. */
static void make_commands_again(struct shop *shop) {
  int place = 0;
  while (!all_processors[place]->open_input) place++;
  const struct processor *entrance = all_processors[place];
  runtime_free(shop->runtimes[place]);
  memory_topic_recreate(shop->cluster, entrance->input, false);
  pipe_prepare(shop->cluster, entrance, shop->partitions);
  open_filter(shop, place, entrance);
}

static void sell_again(struct shop *shop) {
  const struct receive_stock more = {
      .item_id = STR("book"), .receipt_id = STR("more"), .quantity = 9};
  const struct cancel strange = {STR("r1"), STR("a stranger")};
  memory_cluster_set_time(shop->cluster, 5000);
  command_to(shop, -1, 5000, RECORD_RECEIVE_STOCK, &more);
  for (int i = 0; i < 8; i++) { /* past the end of the topic of before */
    const struct reserve reserve = {.reservation_id = str_of((const char *[]){
                                        "n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"}[i]),
                                    .customer_id = STR("kim"),
                                    .item_id = STR("book"),
                                    .quantity = 1};
    command_to(shop, -1, 5000 + i, RECORD_RESERVE, &reserve);
  }
  command_to(shop, -1, 6000, RECORD_CANCEL, &(struct cancel){STR("r1"), STR("kim")});
  command_to(shop, -1, 6001, RECORD_CANCEL, &strange);
}

static void places_of_a_topic_made_again_contradict_nothing(void **unused) {
  (void)unused;
  struct shop shop;
  open_shop(&shop);
  make_commands_again(&shop);
  sell_again(&shop);
  audit(&shop, &tamperings[0]);
  assert_int_equal(violations, 0);
  close_shop(&shop);
}

static void read_round(struct shop *shop, struct auditor *auditor) {
  auditor_begin(auditor, 1000);
  for (enum audit_topic topic = 0; topic < AUDIT_TOPIC_COUNT; topic++) {
    auditor_committed(auditor, topic, 0, INT64_MAX, 1);
    const struct message *next;
    for (int64_t at = auditor_position(auditor, topic, 0);
         (next = memory_read(shop->cluster, audit_topics[topic].topic, 0, at));
         at = next->offset + 1)
      auditor_read(auditor, topic, 0, next);
  }
  struct audit_summary summary;
  auditor_judge(auditor, &summary, NULL, NULL);
}

static void an_audit_that_follows_goes_on_with_a_topic_made_again(void **unused) {
  (void)unused;
  char error[200];
  int code;
  struct shop shop;
  open_shop(&shop);
  struct store *store = store_open(NULL, "audit", (struct store_memory){.cache = 1 << 20}, error,
                                   sizeof error, &code);
  struct auditor *auditor = auditor_new(store, report, NULL);
  violations = 0;
  read_round(&shop, auditor);
  make_commands_again(&shop);
  auditor_read_anew(auditor, AUDIT_COMMANDS, 0);
  sell_again(&shop);
  read_round(&shop, auditor);
  assert_int_equal(violations, 0);
  assert_int_equal(auditor_position(auditor, AUDIT_COMMANDS, 0), 11);
  auditor_free(auditor);
  store_close(store);
  close_shop(&shop);
}

static void what_breaks_after_a_topic_was_made_again_is_found(void **unused) {
  (void)unused;
  static const struct tampering harms[] = {
      {"a command that nobody sent", AUDIT_COMMANDS, "Cancel", "r1", 0, false, RULE_COMMAND_LOST},
      {"a Reserve that nobody sent", AUDIT_COMMANDS, "Reserve", "n3", 0, false, RULE_COMMAND_LOST},
      {"an Open that is gone", AUDIT_LEDGER, "OpenReservation", "n0", 0, false, RULE_COMMAND_LOST},
      {"an Open twice", AUDIT_LEDGER, "OpenReservation", "n0", 0, true, RULE_REPEATED},
      {"an Open of before twice", AUDIT_LEDGER, "OpenReservation", "r1", 0, true, RULE_REPEATED},
      {"a hold asked for twice", AUDIT_STOCK, "RequestHold", "n7", 0, true, RULE_REPEATED},
      {"a Cancel that nothing came of", AUDIT_RESULTS, "StatusChanged", "r1", 2, false,
       RULE_COMMAND_FORGOTTEN}};
  struct shop shop;
  open_shop(&shop);
  make_commands_again(&shop);
  sell_again(&shop);
  for (size_t i = 0; i < sizeof harms / sizeof *harms; i++) {
    audit(&shop, &harms[i]);
    if (!broken[harms[i].rule])
      fail_msg("%s: '%s' was not reported", harms[i].name, audit_rules[harms[i].rule].name);
  }
  close_shop(&shop);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whatever_is_taken_away_or_repeated_is_found),
      cmocka_unit_test(what_tally_and_notify_have_not_read_breaks_nothing),
      cmocka_unit_test(a_dead_letter_that_is_cut_is_not_taken_for_a_command),
      cmocka_unit_test(headers_that_a_client_makes_up_say_nothing_to_the_audit),
      cmocka_unit_test(an_id_that_is_used_again_is_another_reservation),
      cmocka_unit_test(places_of_a_topic_made_again_contradict_nothing),
      cmocka_unit_test(an_audit_that_follows_goes_on_with_a_topic_made_again),
      cmocka_unit_test(what_breaks_after_a_topic_was_made_again_is_found),
      cmocka_unit_test(what_a_consumer_has_not_read_is_on_its_way),
      cmocka_unit_test(a_pay_or_cancel_that_the_ledger_forgets_for_its_offset_is_found),
      cmocka_unit_test(a_cancel_that_overtakes_its_reserve_in_another_partition_is_found),
      cmocka_unit_test(a_command_of_another_partition_is_refused_and_the_audit_is_clean),
  };
  return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
