/* The key of a charge names the opening that it pays for: the provider answers a key with what it
 * answered first, for ever, and an id may be used again once its reservation is forgotten. */
#include <stdio.h>

#include "../lib/harness.h"
#include "payment/payment.h"

#define T0 INT64_C(1000000)
#define KEY_SIZE 200

struct opening {
  const char *id, *cause;
  int64_t time, hash;
};

static void give(struct harness *h, const struct opening *o, int64_t time, int type,
                 const void *value) {
  struct record record = {type, value};
  const struct message in = {.timestamp = time,
                             .key = str_of(o->id),
                             .value = codec_encode(h->codec, record, &h->arena),
                             .causation = str_of(o->cause)};
  memory_append(h->cluster, "payment-requests", 0, &in);
  harness_wait(h, time);
}

static void open(struct harness *h, const struct opening *o) {
  const struct open_reservation open = {.reservation_id = str_of(o->id),
                                        .customer_id = STR("c"),
                                        .item_id = STR("i"),
                                        .content_hash = o->hash,
                                        .quantity = 1};
  give(h, o, o->time, RECORD_OPEN_RESERVATION, &open);
}

static void hold(struct harness *h, const struct opening *o) {
  const struct stock_held held = {.reservation_id = str_of(o->id),
                                  .item_id = STR("i"),
                                  .content_hash = o->hash,
                                  .quantity = 1,
                                  .amount = 20,
                                  .payment = PAYMENT_DUE_AT_ONCE,
                                  .hold_seconds = 60};
  give(h, o, o->time, RECORD_STOCK_HELD, &held);
}

static void settle(struct harness *h, const struct opening *o, enum charge_kind kind,
                   bool approved) {
  const struct charge_settled settled = {
      .reservation_id = str_of(o->id), .charge_key = STR("-"), .kind = kind, .approved = approved};
  give(h, o, o->time, RECORD_CHARGE_SETTLED, &settled);
}

static void cancel(struct harness *h, const struct opening *o) {
  give(h, &(struct opening){o->id, "", o->time, o->hash}, o->time, RECORD_CANCEL,
       &(struct cancel){str_of(o->id), STR("c")});
}

static void retry(struct harness *h, const struct opening *o) {
  const struct deadline_passed passed = {
      .reservation_id = str_of(o->id), .kind = DEADLINE_KIND_RETRY, .due_at = o->time};
  give(h, o, o->time, RECORD_DEADLINE_PASSED, &passed);
}

/* The key of the number-th request for a charge. */
static const char *key(struct harness *h, int number) {
  static char keys[4][KEY_SIZE];
  const struct message *record = memory_read(h->cluster, "charge-requests", 0, 0);
  for (int i = 0; i < number && record; i++)
    record = memory_read(h->cluster, "charge-requests", 0, record->offset + 1);
  struct record decoded;
  char error[CODEC_ERROR_SIZE];
  assert_non_null(record);
  assert_true(codec_decode(h->codec, record->value, &h->arena, &decoded, error));
  snprintf(keys[number % 4], KEY_SIZE, "%.*s",
           STR_ARGS(((const struct request_charge *)decoded.value)->charge_key));
  return keys[number % 4];
}

/* The key of an opening's charge, in a ledger of its own. */
static const char *key_of(const char *id, const char *cause, int64_t time, int64_t hash) {
  static char keys[2][KEY_SIZE];
  static int turn;
  struct harness h;
  const struct opening o = {id, cause, time, hash};
  harness_open(&h, "payment");
  open(&h, &o);
  hold(&h, &o);
  char *copy = keys[turn++ % 2];
  snprintf(copy, KEY_SIZE, "%s", key(&h, 0));
  harness_close(&h);
  return copy;
}

#define PLACE "reservation-commands-2-17"

static void a_charge_key_names_id_and_opening_and_is_the_same_each_time(void **unused) {
  (void)unused;
  const char *made = key_of("r", PLACE, T0, 7);
  assert_int_equal(strlen(made), strlen("r/0123456789abcdef/charge"));
  assert_int_equal(strspn(made + 2, "0123456789abcdef"), 16);
  assert_memory_equal(made, "r/", 2);
  assert_string_equal(made + 18, "/charge");
  assert_string_equal(made, key_of("r", PLACE, T0, 7));
}

static void openings_of_another_content_place_or_time_have_other_keys(void **unused) {
  (void)unused;
  assert_string_not_equal(key_of("r", PLACE, T0, 7), key_of("r", PLACE, T0, 8));
  assert_string_not_equal(key_of("r", PLACE, T0, 7), key_of("r", PLACE "0", T0, 7));
  assert_string_not_equal(key_of("r", PLACE, T0, 7), key_of("r", PLACE, T0 + 1, 7));
}

static void an_id_that_is_used_again_after_the_window_is_charged_under_another_key(void **unused) {
  (void)unused;
  struct harness h;
  const int64_t later = T0 + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS + 1000;
  const struct opening first = {"r", PLACE, T0, 7}, again = {"r", PLACE "1", later, 7},
                       other = {"x", PLACE "0", later, 7};
  harness_open(&h, "payment");
  open(&h, &first);
  hold(&h, &first);
  settle(&h, &first, CHARGE_KIND_CHARGE, true);
  /* Time goes on, and is believed; then the row goes. */
  for (int i = 0; i < 2 * (int)EXPIRY_DOUBTS; i++) {
    char id[16];
    snprintf(id, sizeof id, "until-%d", i);
    open(&h, &(struct opening){id, PLACE "0", later - EXPIRY_PROOF_MS - 2 * EXPIRY_DOUBTS + i, 7});
  }
  open(&h, &other);
  assert_null(harness_row(&h, "lr"));
  open(&h, &again);
  hold(&h, &again);
  assert_string_not_equal(key(&h, 0), key(&h, 1));
  harness_close(&h);
}

static void a_charge_is_tried_again_under_its_key_and_each_refund_has_its_own(void **unused) {
  (void)unused;
  struct harness h;
  const struct opening o = {"r", PLACE, T0, 7};
  harness_open(&h, "payment");
  open(&h, &o);
  hold(&h, &o);
  const struct charge_deferred deferred = {.reservation_id = STR("r"), .charge_key = STR("-")};
  give(&h, &o, T0, RECORD_CHARGE_DEFERRED, &deferred);
  retry(&h, &o);
  assert_string_equal(key(&h, 0), key(&h, 1));
  settle(&h, &o, CHARGE_KIND_CHARGE, true);
  cancel(&h, &o);
  settle(&h, &o, CHARGE_KIND_REFUND, false);
  retry(&h, &o);
  assert_memory_equal(key(&h, 2), key(&h, 0), strlen("r/0123456789abcdef/"));
  assert_string_equal(key(&h, 2) + 18, "/refund/0");
  assert_memory_equal(key(&h, 3), key(&h, 0), strlen("r/0123456789abcdef/"));
  assert_string_equal(key(&h, 3) + 18, "/refund/1");
  harness_close(&h);
}

static void what_an_earlier_version_has_opened_keeps_its_key(void **unused) {
  (void)unused;
  struct harness h;
  const struct opening o = {"r", PLACE, T0, 7};
  harness_open(&h, "payment");
  harness_wait(&h, T0); /* until its store is ready */
  const struct ledger row = {.customer_id = STR("c"),
                             .item_id = STR("i"),
                             .content_hash = 7,
                             .state = LEDGER_STATE_REQUESTED,
                             .opened_at = T0};
  const struct change change = {
      .key = STR("lr"),
      .value = codec_encode(h.codec, (struct record){RECORD_LEDGER, &row}, &h.arena)};
  store_put_changes(runtime_store(h.runtime), 0, &change, 1);
  store_write(runtime_store(h.runtime));
  hold(&h, &o);
  assert_string_equal(key(&h, 0), "r/charge");
  settle(&h, &o, CHARGE_KIND_CHARGE, true);
  cancel(&h, &o);
  assert_string_equal(key(&h, 1), "r/refund/0");
  harness_close(&h);
}

static void the_longest_id_fits(void **unused) {
  (void)unused;
  const char *id = "////////////////////////////////////////////////////////////////";
  assert_int_equal(strlen(id), 64);
  assert_memory_equal(key_of(id, PLACE, T0, 7), id, 64);
  assert_int_equal(strlen(key_of(id, PLACE, T0, 7)), 64 + strlen("/0123456789abcdef/charge"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_charge_key_names_id_and_opening_and_is_the_same_each_time),
      cmocka_unit_test(openings_of_another_content_place_or_time_have_other_keys),
      cmocka_unit_test(an_id_that_is_used_again_after_the_window_is_charged_under_another_key),
      cmocka_unit_test(a_charge_is_tried_again_under_its_key_and_each_refund_has_its_own),
      cmocka_unit_test(what_an_earlier_version_has_opened_keeps_its_key),
      cmocka_unit_test(the_longest_id_fits),
  };
  return cmocka_run_group_tests_name("charge key", tests, NULL, NULL);
}
