/* Decisions of the other filters, as tables: what is said, and what comes out. */
#include <stdio.h>

#include "../lib/harness.h"
#include "runtime/base/murmur2.h"

struct line_of_play {
  int64_t time; /* 0: a second after the last */
  const char *json;
  const char *out;
};

static void play(const char *processor, const struct line_of_play *steps, size_t count) {
  struct harness h;
  harness_open(&h, processor);
  int64_t time = 1000;
  for (size_t i = 0; i < count; i++) {
    time = steps[i].time ? steps[i].time : time + 1000;
    const char *out =
        steps[i].json ? harness_json(&h, time, steps[i].json) : harness_wait(&h, time);
    if (strcmp(out, steps[i].out) != 0)
      fail_msg("%s, step %zu %s: expected '%s', got '%s'", processor, i, steps[i].json,
               steps[i].out, out);
  }
  harness_close(&h);
}
#define PLAY(processor, steps) play(processor, steps, sizeof steps / sizeof *steps)

/* ---- reserve-requested ---- */

#define OPENED "OpenReservation RequestHold StatusChanged(REQUESTED)"
#define REFUSED(command, why) "CommandRefused(" command ",INVALID) dead-letter(" why ")"
#define RESERVE(rest) \
  "{\"type\":\"Reserve\",\"reservation_id\":\"r\",\"customer_id\":\"c\",\"item_id\":\"i\"," rest "}"
#define ITEM(rest) \
  "{\"type\":\"RegisterItem\",\"item_id\":\"i\",\"title\":\"t\",\"payment\":\"NONE\"," rest "}"
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

/* ---- stock-check ---- */

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

/* ---- deadline ---- */

static void a_due_time_passes_once_and_not_before(void **unused) {
  (void)unused;
#define SET(kind, at) \
  "{\"type\":\"SetDeadline\",\"reservation_id\":\"r\",\"kind\":\"" kind "\",\"due_at\":" at "}"
  const struct line_of_play steps[] = {
      {1000, SET("HOLD_END", "5000"), "-"},
      {1000, SET("RETRY", "3000"), "-"},
      {2999, NULL, "-"},
      {3000, NULL, "DeadlinePassed(RETRY)"},
      {3001, NULL, "-"},
      {3500, SET("HOLD_END", "6000"), "-"},
      {5000, NULL, "-"},
      {6000, NULL, "DeadlinePassed(HOLD_END)"},
      {9000, SET("WATCHDOG", "9500"), "-"},
      {9100, "{\"type\":\"ClearDeadlines\",\"reservation_id\":\"r\"}", "-"},
      {9999, NULL, "-"},
      {10000, SET("RETRY", "500"), "DeadlinePassed(RETRY)"},
  };
  PLAY("deadline", steps);
}

/* Only the clock of the moment counts: what has passed stays passed, what is due again waits. */
static void a_clock_that_steps_loses_no_deadline_and_repeats_none(void **unused) {
  (void)unused;
  const struct line_of_play steps[] = {
      {10000, SET("HOLD_END", "50000"), "-"},
      {10000, SET("RETRY", "20000"), "-"},
      {20000, NULL, "DeadlinePassed(RETRY)"},
      {5000, NULL, "-"}, /* back, before the one that has passed */
      {20000, NULL, "-"},
      {6000, SET("RETRY", "7000"), "-"}, /* back again, and due earlier than the last one was */
      {6999, NULL, "-"},
      {7000, NULL, "DeadlinePassed(RETRY)"},
      {49999, NULL, "-"},
      {9000000, NULL, "DeadlinePassed(HOLD_END)"}, /* far ahead */
      {8000, NULL, "-"},
      {9000000, NULL, "-"},
  };
  PLAY("deadline", steps);
}

/* ---- approved-failed ---- */

static void outcomes_and_holds_follow_the_status(void **unused) {
  (void)unused;
#define STATUS(status, hold)                                                                      \
  "{\"type\":\"StatusChanged\",\"reservation_id\":\"r\",\"customer_id\":\"c\",\"item_id\":\"i\"," \
  "\"content_hash\":7,\"revision\":1,\"status\":\"" status                                        \
  "\",\"reason\":\"NONE\",\"quantity\":1,\"seats\":[],\"option\":\"\",\"amount\":0,\"screen\":"   \
  "\"\",\"until\":0,\"hold\":\"" hold "\"}"
  const struct line_of_play steps[] = {
      {0, STATUS("HELD", "KEEP"), "StatusChanged(HELD)"},
      {0, STATUS("PAYMENT_DEFERRED", "KEEP"), "StatusChanged(PAYMENT_DEFERRED)"},
      {0, STATUS("APPROVED", "CONFIRM"),
       "StatusChanged(APPROVED,CONFIRM) ConfirmHold ReservationOutcome(APPROVED)"},
      {0, STATUS("REFUNDING", "KEEP"), "StatusChanged(REFUNDING)"},
      {0, STATUS("CANCELLED", "RELEASE"),
       "StatusChanged(CANCELLED,RELEASE) ReleaseHold ReservationOutcome(CANCELLED)"},
      {0, STATUS("FAILED", "KEEP"), "StatusChanged(FAILED) ReservationOutcome(FAILED)"},
      {0,
       "{\"type\":\"ReleaseHold\",\"reservation_id\":\"r\",\"item_id\":\"i\",\"content_hash\":7}",
       "ReleaseHold"},
      {0,
       "{\"type\":\"CommandRefused\",\"sender_id\":\"c\",\"command\":\"Pay\",\"reservation_id\":"
       "\"r\",\"item_id\":\"\",\"content_hash\":0,\"refusal\":\"NOT_DUE\",\"detail\":\"\"}",
       "CommandRefused(Pay,NOT_DUE)"},
  };
  PLAY("approved-failed", steps);
}

/* ---- history ---- */

#define EVENT(customer, hash, revision, status)                                                   \
  "{\"type\":\"StatusChanged\",\"reservation_id\":\"r\",\"customer_id\":\"" customer              \
  "\",\"item_id\":\"i\",\"content_hash\":" hash ",\"revision\":" revision ",\"status\":\"" status \
  "\",\"reason\":\"NONE\",\"quantity\":1,\"seats\":[],\"option\":\"\",\"amount\":0,\"screen\":"   \
  "\"\",\"until\":0,\"hold\":\"KEEP\"}"
#define REUSED(customer, hash)                                                                   \
  "{\"type\":\"CommandRefused\",\"sender_id\":\"" customer                                       \
  "\",\"command\":\"Reserve\",\"reservation_id\":\"r\",\"item_id\":\"i\",\"content_hash\":" hash \
  ",\"refusal\":\"ID_REUSED\",\"detail\":\"\"}"

static long long number(struct harness *h, const char *key, const char *field) {
  json_t *row = harness_row(h, key), *value = json_object_get(row, field);
  long long result = json_is_array(value)     ? (long long)json_array_size(value)
                     : json_is_boolean(value) ? json_is_true(value)
                                              : json_integer_value(value);
  if (!row) result = -1;
  json_decref(row);
  return result;
}

static void a_view_ignores_what_it_has_seen(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "history");
  harness_json(&h, 1, EVENT("c", "7", "0", "REQUESTED"));
  harness_json(&h, 2, EVENT("c", "7", "1", "HELD"));
  harness_json(&h, 3, EVENT("c", "7", "1", "HELD"));
  harness_json(&h, 4, EVENT("c", "7", "0", "REQUESTED"));
  harness_json(&h, 5, EVENT("c", "7", "2", "APPROVED"));
  assert_int_equal(number(&h, "vc/r", "timeline"), 3);
  assert_int_equal(number(&h, "vc/r", "revision"), 2);
  harness_close(&h);
}

static void an_id_that_was_reused_shows_in_the_senders_list_and_not_in_the_owners(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "history");
  harness_json(&h, 1, EVENT("owner", "7", "0", "REQUESTED"));
  harness_json(&h, 2, EVENT("thief", "8", "0", "REQUESTED"));
  harness_json(&h, 3, REUSED("thief", "8"));
  harness_json(&h, 4, EVENT("owner", "9", "0", "REQUESTED")); /* the owner's own second content */
  harness_json(&h, 5, REUSED("owner", "9"));
  harness_json(&h, 6, EVENT("owner", "7", "1", "APPROVED"));
  assert_int_equal(number(&h, "vowner/r", "refused"), 0);
  assert_int_equal(number(&h, "vowner/r", "timeline"), 2);
  assert_int_equal(number(&h, "cowner", "refusals"), 1);
  assert_int_equal(number(&h, "vthief/r", "refused"), 1);
  assert_int_equal(number(&h, "or/thief", "customer_id"),
                   -1); /* found by its id it is the owner's */
  assert_int_equal(number(&h, "or/owner", "customer_id"), 0);
  harness_close(&h);
}

static void a_refusal_is_shown_once_and_another_at_its_place_in_a_new_topic_too(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "history");
  const struct command_refused refused = {.sender_id = STR("c"),
                                          .command = STR("Pay"),
                                          .reservation_id = STR("r"),
                                          .refusal = REFUSAL_UNKNOWN_RESERVATION,
                                          .place = STR("reservation-commands-0-7")};
  harness_send(&h, 10, "c", RECORD_COMMAND_REFUSED, &refused);
  harness_send(&h, 10, "c", RECORD_COMMAND_REFUSED, &refused); /* a reset says it again */
  assert_int_equal(number(&h, "cc", "refusals"), 1);
  harness_send(&h, 11, "c", RECORD_COMMAND_REFUSED, &refused);
  assert_int_equal(number(&h, "cc", "refusals"), 2);
  harness_close(&h);
}

static void a_timeline_and_the_refusals_are_bounded(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "history");
  for (int i = 0; i < 250; i++) {
    char event[512];
    snprintf(event, sizeof event, EVENT("c", "7", "%d", "PAYMENT_DEFERRED"), i);
    harness_json(&h, i + 1, event);
    harness_json(&h, i + 1, REUSED("c", "1"));
  }
  assert_int_equal(number(&h, "vc/r", "timeline"), 100);
  assert_int_equal(number(&h, "cc", "refusals"), 20);
  json_t *row = harness_row(&h, "vc/r"), *timeline = json_object_get(row, "timeline");
  assert_int_equal(json_integer_value(json_object_get(json_array_get(timeline, 0), "revision")), 0);
  assert_int_equal(json_integer_value(json_object_get(json_array_get(timeline, 99), "revision")),
                   249);
  json_decref(row);
  harness_close(&h);
}

/* ---- tally ---- */

#define OUTCOME(id, revision, status, option, amount)                                              \
  "{\"type\":\"ReservationOutcome\",\"reservation_id\":\"" id                                      \
  "\",\"customer_id\":\"c\",\"item_id\":\"match\",\"revision\":" #revision ",\"status\":\"" status \
  "\",\"reason\":\"NONE\",\"quantity\":1,\"seats\":[],\"option\":\"" option                        \
  "\",\"amount\":" #amount ",\"screen\":\"\"}"

static void a_bet_is_counted_once_and_taken_back_once(void **unused) {
  (void)unused;
  const struct line_of_play steps[] = {
      {0, OUTCOME("a", 2, "APPROVED", "KT", 1000), "Tallied(yes) OptionTally"},
      {0, OUTCOME("a", 2, "APPROVED", "KT", 1000), "-"}, /* said again */
      {0, OUTCOME("b", 2, "APPROVED", "KT", 100), "Tallied(yes) OptionTally"},
      {0, OUTCOME("c", 2, "APPROVED", "AA", 7), "Tallied(yes) OptionTally"},
      {0, OUTCOME("d", 1, "FAILED", "AA", 7), "-"},
      {0, OUTCOME("e", 1, "CANCELLED", "AA", 7), "-"}, /* never approved */
      {0, OUTCOME("a", 4, "CANCELLED", "KT", 1000), "Tallied(no) OptionTally"},
      {0, OUTCOME("a", 4, "CANCELLED", "KT", 1000), "-"},
      {0, OUTCOME("a", 2, "APPROVED", "KT", 1000), "-"}, /* older */
  };
  struct harness h;
  harness_open(&h, "tally");
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
    assert_string_equal(harness_json(&h, 1000, steps[i].json), steps[i].out);
  json_t *kt = harness_row(&h, "tmatch/KT"), *aa = harness_row(&h, "tmatch/AA");
  assert_int_equal(json_integer_value(json_object_get(kt, "count")), 1);
  assert_int_equal(json_integer_value(json_object_get(kt, "sum")), 100);
  assert_int_equal(json_integer_value(json_object_get(aa, "sum")), 7);
  json_decref(kt);
  json_decref(aa);
  harness_close(&h);
}

/* As much as one reservation may cost: a million units of 10^12. */
static void a_tally_of_the_largest_amounts_is_never_wrong(void **unused) {
  (void)unused;
  struct harness h;
  harness_open(&h, "tally");
  struct reservation_outcome outcome = {.customer_id = STR("c"),
                                        .item_id = STR("i"),
                                        .revision = 2,
                                        .quantity = 1000000,
                                        .amount = INT64_C(1000000000000000000) - 1};
  for (int cancelled = 0; cancelled < 2; cancelled++) {
    outcome.status = cancelled ? STATUS_CANCELLED : STATUS_APPROVED;
    outcome.revision++;
    for (int i = 0; i < 26 - 25 * cancelled; i++) {
      outcome.reservation_id = (struct str){"abcdefghijklmnopqrstuvwxyz" + i, 1};
      harness_send(&h, 1000, "i", RECORD_RESERVATION_OUTCOME, &outcome);
    }
    json_t *row = harness_row(&h, "ti/");
    int64_t left = 26 - cancelled;
    assert_int_equal(json_integer_value(json_object_get(row, "sum_e18")), left - 1);
    assert_int_equal(json_integer_value(json_object_get(row, "sum")),
                     INT64_C(1000000000000000000) - left);
    json_decref(row);
  }
  harness_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(commands_are_checked_at_the_entrance),
      cmocka_unit_test(what_is_no_command_at_all_is_a_dead_letter_and_the_next_one_goes_on),
      cmocka_unit_test(
          a_command_is_taken_from_the_partition_of_its_key_and_refused_from_every_other),
      cmocka_unit_test(units_are_taken_at_the_hold_and_given_back_once),
      cmocka_unit_test(a_release_under_another_content_leaves_the_good_hold_alone),
      cmocka_unit_test(a_receipt_counts_once),
      cmocka_unit_test(a_seat_has_one_holder_at_a_time),
      cmocka_unit_test(the_best_seats_are_together_in_the_first_row_that_has_them_near_its_middle),
      cmocka_unit_test(an_option_must_be_one_of_the_items),
      cmocka_unit_test(a_due_time_passes_once_and_not_before),
      cmocka_unit_test(a_clock_that_steps_loses_no_deadline_and_repeats_none),
      cmocka_unit_test(outcomes_and_holds_follow_the_status),
      cmocka_unit_test(a_bet_is_counted_once_and_taken_back_once),
      cmocka_unit_test(a_tally_of_the_largest_amounts_is_never_wrong),
      cmocka_unit_test(a_view_ignores_what_it_has_seen),
      cmocka_unit_test(an_id_that_was_reused_shows_in_the_senders_list_and_not_in_the_owners),
      cmocka_unit_test(a_refusal_is_shown_once_and_another_at_its_place_in_a_new_topic_too),
      cmocka_unit_test(a_timeline_and_the_refusals_are_bounded),
  };
  return cmocka_run_group_tests_name("filters", tests, NULL, NULL);
}
