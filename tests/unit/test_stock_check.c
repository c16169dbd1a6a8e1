/* Decisions of stock-check: what is said, and what comes out. */
#include "../lib/play.h"

#define HOLD(id, rest)                                                                        \
  "{\"type\":\"RequestHold\",\"reservation_id\":\"" id                                        \
  "\",\"customer_id\":\"c\",\"item_id\":\"i\",\"content_hash\":7,\"option\":\"\",\"amount\":" \
  "0," rest "}"
#define COUNTED(id, n) HOLD(id, "\"seats\":[],\"quantity\":" n)
#define CONFIRM(id) \
  "{\"type\":\"ConfirmHold\",\"reservation_id\":\"" id "\",\"item_id\":\"i\",\"content_hash\":7}"
#define RELEASE(id) \
  "{\"type\":\"ReleaseHold\",\"reservation_id\":\"" id "\",\"item_id\":\"i\",\"content_hash\":7}"

static void units_are_taken_at_the_hold_and_given_back_once(void **unused) {
  (void)unused;
  const struct line_of_play steps[] = {
      {0, COUNTED("r0", "1"), "StockRefused(UNKNOWN_ITEM)"},
      {0, ITEM("\"kind\":\"BOOK\",\"capacity\":3,\"max_per_reservation\":2"), "StockLevel"},
      {0, ITEM("\"kind\":\"BOOK\",\"capacity\":3,\"max_per_reservation\":2"), "-"},
      {0, ITEM("\"kind\":\"BOOK\",\"capacity\":4,\"max_per_reservation\":2"),
       "CommandRefused(RegisterItem,ITEM_DIFFERS)"},
      {0, COUNTED("r0", "1"), "-"}, /* refused once, refused for ever */
      {0, COUNTED("r1", "3"), "StockRefused(OVER_LIMIT)"},
      {0, COUNTED("r2", "2"), "StockHeld StockLevel"},
      {0, COUNTED("r2", "2"), "-"},
      {0, COUNTED("r3", "2"), "StockRefused(SOLD_OUT)"},
      {0, COUNTED("r4", "1"), "StockHeld StockLevel"},
      {0, COUNTED("r5", "1"), "StockRefused(SOLD_OUT)"},
      {0, CONFIRM("r2"), "StockLevel"},
      {0, CONFIRM("r2"), "-"},
      {0, RELEASE("r4"), "StockLevel"},
      {0, RELEASE("r4"), "-"},
      {0, CONFIRM("r4"), "-"},
      {0, COUNTED("r6", "1"), "StockHeld StockLevel"},
      {0, RELEASE("r2"), "StockLevel"}, /* sold, then cancelled */
      {0, RELEASE("r2"), "-"},
      {0, RELEASE("nobody"), "-"},
      {0, COUNTED("r2", "2"), "-"}, /* ended is final */
      {0, COUNTED("r7", "2"), "StockHeld StockLevel"},
      {0, "{\"type\":\"CloseItem\",\"item_id\":\"i\"}", "StockLevel"},
      {0, COUNTED("r8", "1"), "StockRefused(CLOSED)"},
      {0, CONFIRM("r7"), "StockLevel"},
  };
  PLAY("stock-check", steps);
}

static void a_release_under_another_content_leaves_the_good_hold_alone(void **unused) {
  (void)unused;
  const struct line_of_play steps[] = {
      {0, ITEM("\"kind\":\"BOOK\",\"capacity\":3"), "StockLevel"},
      {0, COUNTED("r1", "1"), "StockHeld StockLevel"},
      {0,
       "{\"type\":\"ReleaseHold\",\"reservation_id\":\"r1\",\"item_id\":\"i\",\"content_hash\":8}",
       "-"},
      {0, CONFIRM("r1"), "StockLevel"},
  };
  PLAY("stock-check", steps);
}

static void a_receipt_counts_once(void **unused) {
  (void)unused;
  const struct line_of_play steps[] = {
      {0, "{\"type\":\"ReceiveStock\",\"item_id\":\"i\",\"receipt_id\":\"q\",\"quantity\":1}",
       "CommandRefused(ReceiveStock,UNKNOWN_ITEM)"},
      {0, ITEM("\"kind\":\"BOOK\",\"capacity\":0"), "StockLevel"},
      {0, "{\"type\":\"ReceiveStock\",\"item_id\":\"i\",\"receipt_id\":\"q\",\"quantity\":1}",
       "StockLevel"},
      {0, "{\"type\":\"ReceiveStock\",\"item_id\":\"i\",\"receipt_id\":\"q\",\"quantity\":1}", "-"},
      {0,
       "{\"type\":\"ReceiveStock\",\"item_id\":\"i\",\"receipt_id\":\"q2\",\"quantity\":"
       "2147483647}",
       "CommandRefused(ReceiveStock,OVERFLOW)"},
      {0, COUNTED("r1", "1"), "StockHeld StockLevel"},
      {0, COUNTED("r2", "1"), "StockRefused(SOLD_OUT)"},
      {0, ITEM("\"kind\":\"BOOK\",\"capacity\":0"),
       "-"}, /* what was received is not another content */
      {0, "{\"type\":\"CloseItem\",\"item_id\":\"j\"}", "CommandRefused(CloseItem,UNKNOWN_ITEM)"},
  };
  PLAY("stock-check", steps);
}

static void a_seat_has_one_holder_at_a_time(void **unused) {
  (void)unused;
  const struct line_of_play steps[] = {
      {0,
       ITEM("\"kind\":\"MUSICAL\",\"max_per_reservation\":3,\"rows\":[{\"row\":\"A\",\"seats\":2},{"
            "\"row\":\"B-1\",\"seats\":12,\"first\":101}]"),
       "StockLevel SeatRow SeatRow"},
      {0, HOLD("r1", "\"quantity\":2,\"seats\":[\"A-1\",\"B-1-112\"]"),
       "StockHeld SeatRow SeatRow StockLevel"},
      {0, HOLD("r12", "\"quantity\":1,\"seats\":[\"B-1-100\"]"), "StockRefused(UNKNOWN_SEAT)"},
      {0, HOLD("r13", "\"quantity\":1,\"seats\":[\"B-1-113\"]"), "StockRefused(UNKNOWN_SEAT)"},
      {0, HOLD("r14", "\"quantity\":1,\"seats\":[\"B-1-1\"]"), "StockRefused(UNKNOWN_SEAT)"},
      {0, HOLD("r2", "\"quantity\":2,\"seats\":[\"A-2\",\"A-1\"]"), "StockRefused(SEAT_TAKEN)"},
      {0, HOLD("r3", "\"quantity\":1,\"seats\":[\"A-3\"]"), "StockRefused(UNKNOWN_SEAT)"},
      {0, HOLD("r4", "\"quantity\":1,\"seats\":[\"A-01\"]"), "StockRefused(UNKNOWN_SEAT)"},
      {0, HOLD("r5", "\"quantity\":1,\"seats\":[\"A-\"]"), "StockRefused(UNKNOWN_SEAT)"},
      {0, HOLD("r6", "\"quantity\":1,\"seats\":[\"-1\"]"), "StockRefused(UNKNOWN_SEAT)"},
      {0, HOLD("r8", "\"quantity\":4,\"seats\":[\"A-1\",\"A-2\",\"B-1-101\",\"B-1-102\"]"),
       "StockRefused(OVER_LIMIT)"},
      {0, HOLD("r9", "\"quantity\":1,\"seats\":[\"A-2\"]"), "StockHeld StockLevel SeatRow"},
      {0, RELEASE("r1"), "SeatRow SeatRow StockLevel"},
      {0, HOLD("r10", "\"quantity\":1,\"seats\":[\"A-1\"]"), "StockHeld SeatRow StockLevel"},
      {0, "{\"type\":\"ReceiveStock\",\"item_id\":\"i\",\"receipt_id\":\"q\",\"quantity\":1}",
       "CommandRefused(ReceiveStock,NOT_COUNTED)"},
      {0, HOLD("r11", "\"quantity\":1,\"seats\":[]"), "StockHeld SeatRow StockLevel"}, /* any */
      {0, RELEASE("r11"), "SeatRow StockLevel"},
  };
  struct harness h;
  harness_open(&h, "stock-check");
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    const char *out = harness_json(&h, 1000, steps[i].json);
    if (strlen(out) != strlen(steps[i].out))
      fail_msg("%s: expected '%s', got '%s'", steps[i].json, steps[i].out, out);
  }
  json_t *row = harness_row(&h, "si/A"), *item = harness_row(&h, "ii");
  assert_string_equal(json_string_value(json_object_get(row, "seats")), "xx");
  assert_int_equal(json_integer_value(json_object_get(item, "held")), 2);
  assert_int_equal(json_integer_value(json_object_get(item, "capacity")), 14);
  json_decref(row);
  json_decref(item);
  harness_close(&h);
}

/* What is found for each wish, of a hall in which the named seats are taken. */
static void the_best_seats_are_together_in_the_first_row_that_has_them_near_its_middle(
    void **unused) {
  (void)unused;
  static const struct {
    const char *taken[4];
    int count;
    const char *named[3];
    const char *found; /* NULL: refused, as reason says */
    const char *reason;
  } table[] = {
      {{0}, 1, {0}, "A-3", 0},
      {{0}, 2, {0}, "A-2 A-3", 0},
      {{0}, 3, {0}, "A-2 A-3 A-4", 0},
      {{0}, 5, {0}, "A-1 A-2 A-3 A-4 A-5", 0},
      {{0}, 6, {0}, "B-9 B-10 B-11 B-12 B-13 B-14", 0}, /* the first row is too short */
      {{"A-3"}, 1, {0}, "A-2", 0},
      {{"A-3"}, 2, {0}, "A-1 A-2", 0},
      {{"A-3"}, 3, {0}, "B-10 B-11 B-12", 0},
      {{"A-2", "A-4", "B-11", "B-12"}, 2, {0}, "B-9 B-10", 0},
      {{"A-2", "A-4", "B-10", "B-13"}, 3, {0}, NULL, "StockRefused(NOT_ADJACENT)"},
      {{0}, 7, {0}, NULL, "StockRefused(NOT_ADJACENT)"},
      {{0}, 12, {0}, NULL, "StockRefused(SOLD_OUT)"},
      {{0}, 13, {0}, NULL, "StockRefused(OVER_LIMIT)"},
      {{0}, 2, {"A-1"}, "A-1 A-2", 0}, /* with those that are named among them */
      {{0}, 3, {"A-5"}, "A-3 A-4 A-5", 0},
      {{0}, 3, {"A-2"}, "A-2 A-3 A-4", 0},
      {{0}, 4, {"A-4", "A-2"}, "A-1 A-2 A-3 A-4", 0},
      {{0}, 2, {"B-14"}, "B-13 B-14", 0},
      {{"A-3"}, 2, {"A-2"}, "A-1 A-2", 0},
      {{"A-3"}, 3, {"A-2"}, NULL, "StockRefused(NOT_ADJACENT)"}, /* not in another row */
      {{"A-3"}, 4, {"A-2", "A-4"}, NULL, "StockRefused(NOT_ADJACENT)"},
      {{0}, 3, {"A-5", "B-9"}, NULL, "StockRefused(NOT_ADJACENT)"},
      {{0}, 6, {"A-1"}, NULL, "StockRefused(NOT_ADJACENT)"},
      {{"A-2"}, 2, {"A-2"}, NULL, "StockRefused(SEAT_TAKEN)"},
      {{0}, 2, {"A-6"}, NULL, "StockRefused(UNKNOWN_SEAT)"},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    struct harness h;
    harness_open(&h, "stock-check");
    harness_json(&h, 1000,
                 ITEM("\"kind\":\"MUSICAL\",\"max_per_reservation\":12,\"rows\":[{\"row\":\"A\","
                      "\"seats\":5},{\"row\":\"B\",\"seats\":6,\"first\":9}]"));
    for (int t = 0; t < 4 && table[i].taken[t]; t++) {
      struct request_hold hold = {.reservation_id = str_of(table[i].taken[t]),
                                  .customer_id = STR("c"),
                                  .item_id = STR("i"),
                                  .quantity = 1};
      const struct str seat = str_of(table[i].taken[t]);
      hold.seats.count = 1;
      hold.seats.items = &seat;
      assert_memory_equal(harness_send(&h, 1000, "i", RECORD_REQUEST_HOLD, &hold), "StockHeld ",
                          strlen("StockHeld "));
    }
    struct request_hold wish = {.reservation_id = STR("wish"),
                                .customer_id = STR("c"),
                                .item_id = STR("i"),
                                .quantity = table[i].count};
    struct str named[3];
    for (; table[i].named[wish.seats.count]; wish.seats.count++)
      named[wish.seats.count] = str_of(table[i].named[wish.seats.count]);
    wish.seats.items = named;
    const char *out = harness_send(&h, 1000, "i", RECORD_REQUEST_HOLD, &wish);
    if (!table[i].found) {
      if (strcmp(out, table[i].reason) != 0)
        fail_msg("line %zu: expected %s, got %s", i, table[i].reason, out);
      harness_close(&h);
      continue;
    }
    json_t *row = harness_row(&h, "hi/wish/0000000000000000"), *seat;
    char found[200] = "";
    size_t number;
    json_array_foreach(json_object_get(row, "seats"), number, seat) {
      if (number) strcat(found, " ");
      strcat(found, json_string_value(seat));
    }
    if (strcmp(found, table[i].found) != 0)
      fail_msg("line %zu: expected %s, got %s", i, table[i].found, found);
    json_decref(row);
    harness_close(&h);
  }
}

static void an_option_must_be_one_of_the_items(void **unused) {
  (void)unused;
#define BET(id, team)                                                                \
  "{\"type\":\"RequestHold\",\"reservation_id\":\"" id                               \
  "\",\"customer_id\":\"c\",\"item_id\":\"i\",\"content_hash\":7,\"option\":\"" team \
  "\",\"amount\":500,\"seats\":[],\"quantity\":1}"
  const struct line_of_play steps[] = {
      {0, ITEM("\"kind\":\"SPORTS\",\"capacity\":9,\"options\":[\"KT\",\"AA\"]"), "StockLevel"},
      {0, BET("r1", "KT"), "StockHeld StockLevel"},
      {0, BET("r2", "LG"), "StockRefused(UNKNOWN_OPTION)"},
      {0, BET("r3", ""), "StockRefused(UNKNOWN_OPTION)"},
  };
  PLAY("stock-check", steps);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(units_are_taken_at_the_hold_and_given_back_once),
      cmocka_unit_test(a_release_under_another_content_leaves_the_good_hold_alone),
      cmocka_unit_test(a_receipt_counts_once),
      cmocka_unit_test(a_seat_has_one_holder_at_a_time),
      cmocka_unit_test(the_best_seats_are_together_in_the_first_row_that_has_them_near_its_middle),
      cmocka_unit_test(an_option_must_be_one_of_the_items),
  };
  return cmocka_run_group_tests_name("stock-check", tests, NULL, NULL);
}
