/* Decisions of reserve-requested: what is said, and what comes out. */
#include "../lib/play.h"
#include "runtime/base/murmur2.h"

#define OPENED "OpenReservation RequestHold StatusChanged(REQUESTED)"
#define RESERVE(rest) \
  "{\"type\":\"Reserve\",\"reservation_id\":\"r\",\"customer_id\":\"c\",\"item_id\":\"i\"," rest "}"
#define LONG_ID "0123456789012345678901234567890123456789012345678901234567890123x"

static void commands_are_checked_at_the_entrance(void **unused) {
  (void)unused;
  const struct line_of_play steps[] = {
      {0, RESERVE("\"quantity\":5"), OPENED},
      {0, RESERVE("\"seats\":[\"A-1\",\"A-2\"]"), OPENED},
      {0, RESERVE("\"seats\":[\"A-1\",\"A-2\"],\"quantity\":2"), OPENED},
      {0, RESERVE("\"quantity\":0"),
       "dead-letter(quantity must be from 1 to 1000000) CommandRefused(Reserve,INVALID)"},
      {0, RESERVE("\"quantity\":-1"),
       "dead-letter(quantity must be from 1 to 1000000) CommandRefused(Reserve,INVALID)"},
      {0, RESERVE("\"quantity\":1000001"),
       "dead-letter(quantity must be from 1 to 1000000) CommandRefused(Reserve,INVALID)"},
      {0, RESERVE("\"seats\":[\"A-1\",\"A-1\"]"),
       "dead-letter(a seat is named twice) CommandRefused(Reserve,INVALID)"},
      {0, RESERVE("\"seats\":[\"A-1\"],\"quantity\":2"), OPENED},
      {0, RESERVE("\"seats\":[\"A-1\",\"A-2\"],\"quantity\":1"),
       "dead-letter(quantity is less than the seats that are named) "
       "CommandRefused(Reserve,INVALID)"},
      {0, RESERVE("\"seats\":[\"\"]"),
       "dead-letter(a seat must have 1 to 64 printable bytes) CommandRefused(Reserve,INVALID)"},
      {0, RESERVE("\"quantity\":1,\"amount\":-5"),
       "dead-letter(amount must be from 0 to 1000000000000) CommandRefused(Reserve,INVALID)"},
      {0, RESERVE("\"quantity\":1,\"amount\":1000000000001"),
       "dead-letter(amount must be from 0 to 1000000000000) CommandRefused(Reserve,INVALID)"},
      {0,
       "{\"type\":\"Reserve\",\"reservation_id\":\"\",\"customer_id\":\"c\",\"item_id\":\"i\","
       "\"quantity\":1}",
       "dead-letter(reservation_id must have 1 to 64 printable bytes) "
       "CommandRefused(Reserve,INVALID)"},
      {0,
       "{\"type\":\"Reserve\",\"reservation_id\":\"" LONG_ID
       "\",\"customer_id\":\"c\",\"item_id\":\"i\",\"quantity\":1}",
       "dead-letter(reservation_id must have 1 to 64 printable bytes) "
       "CommandRefused(Reserve,INVALID)"},
      {0,
       "{\"type\":\"Reserve\",\"reservation_id\":\"r\",\"customer_id\":\"" LONG_ID
       "\",\"item_id\":\"i\",\"quantity\":1}",
       "dead-letter(customer_id must have 1 to 64 printable bytes)"},
      {0, "{\"type\":\"Pay\",\"reservation_id\":\"r\",\"customer_id\":\"c\"}", "Pay"},
      {0, "{\"type\":\"Pay\",\"reservation_id\":\"r\",\"customer_id\":\"\"}",
       "dead-letter(customer_id must have 1 to 64 printable bytes)"},
      {0, "{\"type\":\"Cancel\",\"reservation_id\":\"r\",\"customer_id\":\"c\"}", "Cancel"},
      {0,
       "{\"type\":\"RegisterCustomer\",\"customer_id\":\"c\",\"name\":\"김\",\"contact\":\"010\"}",
       "RegisterCustomer"},
      {0, "{\"type\":\"RegisterCustomer\",\"customer_id\":\"c\",\"name\":\"\",\"contact\":\"010\"}",
       "dead-letter(name must have 1 to 256 printable bytes) "
       "CommandRefused(RegisterCustomer,INVALID)"},
      {0, ITEM("\"kind\":\"BOOK\",\"capacity\":5"), "RegisterItem(BOOK)"},
      {0, ITEM("\"kind\":\"MOVIE\",\"capacity\":5"),
       "dead-letter(a MOVIE needs its screen) CommandRefused(RegisterItem,INVALID)"},
      {0, ITEM("\"kind\":\"MOVIE\",\"capacity\":5,\"screen\":\"2\""), "RegisterItem(MOVIE)"},
      {0, ITEM("\"kind\":\"BOOK\",\"capacity\":-5"),
       "dead-letter(capacity must not be negative) CommandRefused(RegisterItem,INVALID)"},
      {0, ITEM("\"kind\":\"BOOK\",\"price\":-5"),
       "dead-letter(price must be from 0 to 1000000000000) CommandRefused(RegisterItem,INVALID)"},
      {0, ITEM("\"kind\":\"BOOK\",\"hold_seconds\":0"),
       "dead-letter(hold_seconds must be from 1 to 31536000) CommandRefused(RegisterItem,INVALID)"},
      {0, ITEM("\"kind\":\"BOOK\",\"capacity\":5,\"rows\":[{\"row\":\"A\",\"seats\":5}]"),
       "dead-letter(an item has counted units (capacity) or named seats (rows), not both) "
       "CommandRefused(RegisterItem,INVALID)"},
      {0,
       ITEM("\"kind\":\"BOOK\",\"rows\":[{\"row\":\"A\",\"seats\":5},{\"row\":\"A\",\"seats\":5}]"),
       "dead-letter(a row is named twice) CommandRefused(RegisterItem,INVALID)"},
      {0, ITEM("\"kind\":\"BOOK\",\"rows\":[{\"row\":\"A\",\"seats\":5,\"first\":9001}]"),
       "dead-letter(a row's first seat is 1 to 9000) CommandRefused(RegisterItem,INVALID)"},
      {0, ITEM("\"kind\":\"BOOK\",\"rows\":[{\"row\":\"A\",\"seats\":5,\"first\":0}]"),
       "dead-letter(a row's first seat is 1 to 9000) CommandRefused(RegisterItem,INVALID)"},
      {0, ITEM("\"kind\":\"SPORTS\",\"options\":[\"KT\",\"KT\"]"),
       "dead-letter(an option is named twice) CommandRefused(RegisterItem,INVALID)"},
      {0, "{\"type\":\"ReceiveStock\",\"item_id\":\"i\",\"receipt_id\":\"q\",\"quantity\":0}",
       "dead-letter(quantity must be at least 1) CommandRefused(ReceiveStock,INVALID)"},
      {0, "{\"type\":\"CloseItem\",\"item_id\":\"i\"}", "CloseItem"},
  };
  struct harness h;
  harness_open(&h, "reserve-requested");
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    const char *out = harness_json(&h, 1000, steps[i].json);
    if (strcmp(out, steps[i].out) != 0)
      fail_msg("%s: expected '%s', got '%s'", steps[i].json, steps[i].out, out);
  }
  harness_close(&h);
}

static void what_is_no_command_at_all_is_a_dead_letter_and_the_next_one_goes_on(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "reserve-requested");
  static char large[100000];
  assert_string_equal(harness_bytes(&h, "r", STR("not Avro")),
                      "dead-letter(not Avro's single-object encoding: it begins with C3 01 and the "
                      "schema's fingerprint)");
  assert_non_null(strstr(harness_bytes(&h, "r", (struct str){large, sizeof large}),
                         "dead-letter(100000 bytes are more than the limit"));
  assert_string_equal(harness_bytes(&h, "r", (struct str){0}),
                      "dead-letter(a record without a value)");
  assert_string_equal(
      harness_send(&h, 1, "r", RECORD_CLEAR_DEADLINES, &(struct clear_deadlines){STR("r")}),
      "dead-letter(a ClearDeadlines does not belong on this topic)");
  assert_non_null(
      strstr(harness_send(&h, 1, "another", RECORD_PAY, &(struct pay){STR("r"), STR("c")}),
             "dead-letter(the record must be keyed by"));
  assert_string_equal(harness_send(&h, 1, "r", RECORD_PAY, &(struct pay){STR("r"), STR("c")}),
                      "Pay");
  const struct message *raw = memory_read(h.cluster, "dead-letters", 0, 0);
  assert_true(str_equal(raw->value, STR("not Avro")));
  assert_true(str_equal(raw->key, STR("r")));
  harness_close(&h);
}

/* Commands of one key that lie in two partitions have no order among them. */
static void a_command_is_taken_from_the_partition_of_its_key_and_refused_from_every_other(
    void **unused) {
  (void)unused;
  const struct reserve reserve = {
      .reservation_id = STR("r"), .customer_id = STR("c"), .item_id = STR("i"), .quantity = 1};
  const struct pay pay = {STR("r"), STR("c")};
  const struct cancel cancel = {STR("r"), STR("c")};
  const struct close_item close = {.item_id = STR("i")};
  const struct placed {
    const char *key, *taken, *refused;
    int type;
    const void *value;
  } placed[] = {
      {"r", OPENED, "CommandRefused(Reserve,INVALID)", RECORD_RESERVE, &reserve},
      {"r", "Pay", "CommandRefused(Pay,INVALID)", RECORD_PAY, &pay},
      {"r", "Cancel", "CommandRefused(Cancel,INVALID)", RECORD_CANCEL, &cancel},
      {"i", "CloseItem", "CommandRefused(CloseItem,INVALID)", RECORD_CLOSE_ITEM, &close},
  };
  struct harness h;
  harness_open_on(&h, "reserve-requested", 3);
  for (size_t i = 0; i < sizeof placed / sizeof *placed; i++) {
    int32_t own = murmur2_partition(str_of(placed[i].key), 3);
    for (int32_t p = 0; p < 3; p++) {
      const char *out =
          harness_send_to(&h, p, 1000, placed[i].key, placed[i].type, placed[i].value);
      if (p == own) {
        assert_string_equal(out, placed[i].taken);
        continue;
      }
      assert_non_null(strstr(out, placed[i].refused));
      assert_non_null(strstr(out, "dead-letter("));
      assert_non_null(strstr(out, "set its 'partitioner' to murmur2_random"));
      assert_null(strchr(strstr(out, placed[i].refused), ' ')); /* and nothing else */
    }
  }
  /* What is wrong with the command itself is said first: it would be refused anywhere. */
  int32_t other = (murmur2_partition(STR("r"), 3) + 1) % 3;
  assert_non_null(
      strstr(harness_send_to(&h, other, 1000, "r", RECORD_PAY, &(struct pay){STR("r"), STR("")}),
             "dead-letter(customer_id must have"));
  harness_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(commands_are_checked_at_the_entrance),
      cmocka_unit_test(what_is_no_command_at_all_is_a_dead_letter_and_the_next_one_goes_on),
      cmocka_unit_test(
          a_command_is_taken_from_the_partition_of_its_key_and_refused_from_every_other),
  };
  return cmocka_run_group_tests_name("reserve-requested", tests, NULL, NULL);
}
