/* The audit of what comes a second time: an id that is used again, a topic that was made again. */
#include "../lib/fake_world.h"
#include "../lib/shop.h"
#include "runtime/base/murmur2.h"

/* ---- an id that is used again, long after ---- */

#define MINUTE INT64_C(60000)
#define LONG_AFTER (500 * 24 * 60 * MINUTE) /* more than a window and its slack */

/* Sent, and not yet read. */
static void put_reserve(struct shop *shop, int64_t time, const char *id) {
  memory_cluster_set_time(shop->cluster, time);
  shop_put_command(shop, -1, time, RECORD_RESERVE,
                   &(struct reserve){.reservation_id = str_of(id),
                                     .customer_id = STR("kim"),
                                     .item_id = STR("book"),
                                     .quantity = 1});
}

static void reserve_at(struct shop *shop, int64_t time, const char *id) {
  put_reserve(shop, time, id);
  shop_settle(shop);
}

/* r1 is sold, forgotten, and sold again; so many others come between that the time is believed. */
static void open_shop_twice(struct shop *shop) {
  const struct receive_stock more = {
      .item_id = STR("book"), .receipt_id = STR("more"), .quantity = 1};
  shop_open(shop);
  for (int i = 0; i < 150; i++)
    reserve_at(shop, LONG_AFTER + i * 10 * MINUTE, arena_format(&shop->arena, "f%d", i).data);
  shop_command_to(shop, -1, LONG_AFTER + 1600 * MINUTE, RECORD_RECEIVE_STOCK, &more);
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
  shop_audit_read(&shop, &untouched, AUDIT_TOPIC_COUNT, &summary);
  assert_int_equal(shop_violations, 0);
  assert_int_equal(summary.reservations, 154);
  assert_int_equal(summary.approved, 3); /* r1, f0, r1 */
  for (size_t i = 0; i < sizeof harms / sizeof *harms; i++) {
    shop_audit(&shop, &harms[i]);
    if (!shop_broken[harms[i].rule])
      fail_msg("%s: '%s' was not reported", harms[i].name, audit_rules[harms[i].rule].name);
  }
  shop_close(&shop);
}

/* The stock has seen so many openings that it calls the id free, and the ledger has not: it refuses
 * the first of a Reserve that comes again and again, takes a later one, and then hears of the hold
 * that the first was given. */
static void a_hold_for_the_opening_before_the_one_that_counts_is_its_hold(void **unused) {
  (void)unused;
  struct shop shop;
  shop_open_filters(&shop, 2, NULL);
  shop_sell(&shop);
  int64_t time = LONG_AFTER;
  for (int i = 0; i < 400; i++, time += 10 * MINUTE) {
    const char *id = arena_format(&shop.arena, "f%d", i).data;
    if (murmur2_partition(str_of(id), 2) != murmur2_partition(STR("r1"), 2))
      reserve_at(&shop, time, id);
  }
  const struct receive_stock more = {
      .item_id = STR("book"), .receipt_id = STR("more"), .quantity = 1};
  shop_command_to(&shop, -1, time, RECORD_RECEIVE_STOCK, &more);
  for (int i = 0; i < 150; i++, time += 10 * MINUTE) put_reserve(&shop, time, "r1");
  shop_settle(&shop);
  struct audit_summary summary;
  shop_audit_read(&shop, &untouched, AUDIT_TOPIC_COUNT, &summary);
  assert_int_equal(shop_violations, 0);
  assert_int_equal(summary.approved, 3); /* r1, f, r1 */
  shop_close(&shop);
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
  shop_command_to(shop, -1, 5000, RECORD_RECEIVE_STOCK, &more);
  for (int i = 0; i < 8; i++) { /* past the end of the topic of before */
    const struct reserve reserve = {.reservation_id = str_of((const char *[]){
                                        "n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"}[i]),
                                    .customer_id = STR("kim"),
                                    .item_id = STR("book"),
                                    .quantity = 1};
    shop_command_to(shop, -1, 5000 + i, RECORD_RESERVE, &reserve);
  }
  shop_command_to(shop, -1, 6000, RECORD_CANCEL, &(struct cancel){STR("r1"), STR("kim")});
  shop_command_to(shop, -1, 6001, RECORD_CANCEL, &strange);
}

static void places_of_a_topic_made_again_contradict_nothing(void **unused) {
  (void)unused;
  struct shop shop;
  shop_open(&shop);
  make_commands_again(&shop);
  sell_again(&shop);
  shop_audit(&shop, &untouched);
  assert_int_equal(shop_violations, 0);
  shop_close(&shop);
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
  shop_open(&shop);
  struct store *store = store_open(NULL, "audit", (struct store_memory){.cache = 1 << 20}, error,
                                   sizeof error, &code);
  struct auditor *auditor = auditor_new(store, shop_report, NULL);
  shop_violations = 0;
  read_round(&shop, auditor);
  make_commands_again(&shop);
  auditor_read_anew(auditor, AUDIT_COMMANDS, 0);
  sell_again(&shop);
  read_round(&shop, auditor);
  assert_int_equal(shop_violations, 0);
  assert_int_equal(auditor_position(auditor, AUDIT_COMMANDS, 0), 11);
  auditor_free(auditor);
  store_close(store);
  shop_close(&shop);
}

static void what_breaks_after_a_topic_was_made_again_is_found(void **unused) {
  (void)unused;
  static const struct tampering harms[] = {
      {"a shop_command that nobody sent", AUDIT_COMMANDS, "Cancel", "r1", 0, false,
       RULE_COMMAND_LOST},
      {"a Reserve that nobody sent", AUDIT_COMMANDS, "Reserve", "n3", 0, false, RULE_COMMAND_LOST},
      {"an Open that is gone", AUDIT_LEDGER, "OpenReservation", "n0", 0, false, RULE_COMMAND_LOST},
      {"an Open twice", AUDIT_LEDGER, "OpenReservation", "n0", 0, true, RULE_REPEATED},
      {"an Open of before twice", AUDIT_LEDGER, "OpenReservation", "r1", 0, true, RULE_REPEATED},
      {"a hold asked for twice", AUDIT_STOCK, "RequestHold", "n7", 0, true, RULE_REPEATED},
      {"a Cancel that nothing came of", AUDIT_RESULTS, "StatusChanged", "r1", 2, false,
       RULE_COMMAND_FORGOTTEN}};
  struct shop shop;
  shop_open(&shop);
  make_commands_again(&shop);
  sell_again(&shop);
  for (size_t i = 0; i < sizeof harms / sizeof *harms; i++) {
    shop_audit(&shop, &harms[i]);
    if (!shop_broken[harms[i].rule])
      fail_msg("%s: '%s' was not reported", harms[i].name, audit_rules[harms[i].rule].name);
  }
  shop_close(&shop);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_hold_for_the_opening_before_the_one_that_counts_is_its_hold),
      cmocka_unit_test(an_id_that_is_used_again_is_another_reservation),
      cmocka_unit_test(places_of_a_topic_made_again_contradict_nothing),
      cmocka_unit_test(an_audit_that_follows_goes_on_with_a_topic_made_again),
      cmocka_unit_test(what_breaks_after_a_topic_was_made_again_is_found),
  };
  return cmocka_run_group_tests_name("audit_again", tests, NULL, NULL);
}
