/* The audit against a log that was tampered with: each row of the table takes a record away or
 * shows it twice, and names the rule that must say so. */
#include <stdio.h>

#include "../lib/shop.h"
#include "runtime/base/murmur2.h"
#include "payment/payment.h"
#include "reserve-requested/reserve-requested.h"

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

static void whatever_is_taken_away_or_repeated_is_found(void **unused) {
  (void)unused;
  struct shop shop;
  shop_open(&shop);
  shop_command(&shop, RECORD_CANCEL, &(struct cancel){STR("r1"), STR("a stranger")});
  shop_command(&shop, RECORD_RESERVE, /* of no units */
               &(struct reserve){
                   .reservation_id = STR("r4"), .customer_id = STR("kim"), .item_id = STR("book")});
  for (size_t i = 0; i < sizeof tamperings / sizeof *tamperings; i++) {
    const struct tampering *tampering = &tamperings[i];
    shop_audit(&shop, tampering);
    if (tampering->rule < 0 && shop_violations)
      fail_msg("%s: %d violations", tampering->name, shop_violations);
    if (tampering->rule >= 0 && !shop_broken[tampering->rule])
      fail_msg("%s: '%s' was not reported", tampering->name, audit_rules[tampering->rule].name);
  }
  shop_close(&shop);
}

static void what_tally_and_notify_have_not_read_breaks_nothing(void **unused) {
  (void)unused;
  struct shop shop;
  shop_open(&shop);
  struct audit_summary summary;
  shop_audit_read(&shop,
                  &(struct tampering){.topic = AUDIT_TALLIES, .type = "OptionTally", .nth = -1},
                  AUDIT_SOLD, &summary);
  assert_int_equal(shop_violations, 0);
  assert_int_equal(summary.on_the_way, 0); /* the sales themselves are judged */
  shop_audit_read(&shop, &(struct tampering){.topic = AUDIT_NOTICES, .type = "Notified", .nth = -1},
                  AUDIT_STEPS, &summary);
  assert_int_equal(shop_violations, 0);
  shop_audit_read(&shop, &(struct tampering){.topic = AUDIT_NOTICES, .type = "Notified", .nth = -1},
                  AUDIT_TOPIC_COUNT, &summary);
  assert_int_equal(shop_violations, 0); /* they may still be told */
  assert_int_equal(summary.to_be_told, 10);
  shop_close(&shop);
}

static void what_a_consumer_has_not_read_is_on_its_way(void **unused) {
  (void)unused;
  struct shop shop;
  shop_open(&shop);
  char error[200];
  int code;
  struct store *store = store_open(NULL, "audit", (struct store_memory){.cache = 1 << 20}, error,
                                   sizeof error, &code);
  struct auditor *auditor = auditor_new(store, shop_report, NULL);
  shop_violations = 0;
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
  shop_close(&shop);
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
  shop_open_filters(shop, 2, replace);
  shop_command(shop, RECORD_REGISTER_ITEM,
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
      for (int i = 0; i < 3; i++) shop_command(&shop, RECORD_RESERVE, &of_the_show);
      shop_command_to(&shop, 1 - own, 2000, type ? RECORD_CANCEL : RECORD_PAY,
                      type ? (const void *)&cancel : &pay);
      shop_audit(&shop, &untouched);
      assert_int_equal(shop_violations, lost);
      assert_int_equal(shop_broken[RULE_COMMAND_FORGOTTEN], lost);
      shop_close(&shop);
    }
  }
}

static void a_cancel_that_overtakes_its_reserve_in_another_partition_is_found(void **unused) {
  (void)unused;
  int32_t own = murmur2_partition(STR("r1"), 2);
  struct shop shop;
  open_paid_shop(&shop, careless);
  shop_command_to(&shop, 1 - own, 2000, RECORD_CANCEL, &(struct cancel){STR("r1"), STR("kim")});
  shop_command_to(&shop, own, 1500, RECORD_RESERVE, &of_the_show);
  shop_audit(&shop, &untouched);
  assert_true(shop_broken[RULE_COMMAND_FORGOTTEN]);
  shop_close(&shop);
}

static void a_command_of_another_partition_is_refused_and_the_audit_is_clean(void **unused) {
  (void)unused;
  int32_t own = murmur2_partition(STR("r1"), 2);
  struct shop shop;
  open_paid_shop(&shop, NULL);
  shop_command_to(&shop, 1 - own, 2000, RECORD_CANCEL, &(struct cancel){STR("r1"), STR("kim")});
  shop_command_to(&shop, own, 1500, RECORD_RESERVE, &of_the_show);
  struct audit_summary summary;
  shop_audit_read(&shop, &untouched, AUDIT_TOPIC_COUNT, &summary);
  assert_int_equal(shop_violations, 0);
  assert_int_equal(summary.dead_letters, 1);
  shop_close(&shop);
}

/* 64 KiB that are a whole Reserve, with more behind them: the entrance refuses it by its size, and
 * what is left of it as a dead letter could be decoded. */
static void a_dead_letter_that_is_cut_is_not_taken_for_a_command(void **unused) {
  (void)unused;
  static char filler[RECORD_SIZE_MAX];
  memset(filler, 'x', sizeof filler);
  struct shop shop;
  shop_open(&shop);
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
  shop_settle(&shop);
  struct audit_summary summary;
  shop_audit_read(&shop, &untouched, AUDIT_TOPIC_COUNT, &summary);
  assert_int_equal(summary.dead_letters, 1);
  assert_int_equal(shop_violations, 0);
  shop_close(&shop);
}

/* A client may say in its headers whatever the filters say in theirs. */
static void headers_that_a_client_makes_up_say_nothing_to_the_audit(void **unused) {
  (void)unused;
  struct shop shop;
  shop_open(&shop);
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
  shop_settle(&shop);
  struct audit_summary summary;
  shop_audit_read(&shop, &untouched, AUDIT_TOPIC_COUNT, &summary);
  assert_int_equal(shop_violations, 0);
  shop_close(&shop);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whatever_is_taken_away_or_repeated_is_found),
      cmocka_unit_test(what_tally_and_notify_have_not_read_breaks_nothing),
      cmocka_unit_test(a_dead_letter_that_is_cut_is_not_taken_for_a_command),
      cmocka_unit_test(headers_that_a_client_makes_up_say_nothing_to_the_audit),
      cmocka_unit_test(what_a_consumer_has_not_read_is_on_its_way),
      cmocka_unit_test(a_pay_or_cancel_that_the_ledger_forgets_for_its_offset_is_found),
      cmocka_unit_test(a_cancel_that_overtakes_its_reserve_in_another_partition_is_found),
      cmocka_unit_test(a_command_of_another_partition_is_refused_and_the_audit_is_clean),
  };
  return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
