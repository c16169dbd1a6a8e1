/* Notices: each step once and in order, whatever the receiver does. */
#include "../lib/fake_world.h"
#include "../lib/harness.h"
#include "notify/notify.h"

static void open_notify(struct harness *h) {
  fake_world_state = (struct fake_world_state){0};
  harness_open_processor(h, without_world(find_processor("notify")));
}

static const char *step(struct harness *h, int64_t time, const char *customer, int revision,
                        int answer) {
  const struct status_changed changed = {.reservation_id = STR("r"),
                                         .customer_id = str_of(customer),
                                         .item_id = STR("i"),
                                         .revision = revision,
                                         .status = revision ? STATUS_HELD : STATUS_REQUESTED};
  fake_world_state.answer = answer;
  return harness_send(h, time, customer, RECORD_STATUS_CHANGED, &changed);
}

static const char *wait_for(struct harness *h, int64_t time, int answer) {
  fake_world_state.answer = answer;
  return harness_wait(h, time);
}

#define REQUESTED "Notified(REQUESTED,yes)"
#define HELD "Notified(HELD,yes)"
#define GIVEN_UP "Notified(REQUESTED,no) dead-letter()"

static void each_step_is_told_once(void **unused) {
  (void)unused;
  struct harness h;
  open_notify(&h);
  assert_string_equal(step(&h, 1000, "kim", 0, NOTICE_TAKEN), REQUESTED);
  assert_string_equal(step(&h, 1000, "kim", 1, NOTICE_TAKEN), HELD);
  assert_string_equal(step(&h, 2000, "kim", 1, NOTICE_TAKEN), "-"); /* said again by a reset */
  assert_string_equal(step(&h, 2000, "kim", 0, NOTICE_TAKEN), "-");
  assert_string_equal(step(&h, 2500, "kim", 2, NOTICE_TAKEN), "-"); /* the status is as it was */
  assert_string_equal(step(&h, 3000, "lee", 0, NOTICE_TAKEN), REQUESTED); /* another's of that id */
  assert_int_equal(fake_world_state.calls, 3);
  harness_close(&h);
}

static void a_receiver_that_is_away_holds_up_that_customer_and_nobody_else(void **unused) {
  (void)unused;
  struct harness h;
  open_notify(&h);
  assert_string_equal(step(&h, 1000, "kim", 0, NOTICE_FAILED), "-");
  assert_string_equal(step(&h, 1100, "kim", 1, NOTICE_TAKEN), "-"); /* behind the first */
  assert_string_equal(step(&h, 1200, "lee", 0, NOTICE_TAKEN), REQUESTED);
  assert_string_equal(wait_for(&h, 1900, NOTICE_TAKEN), "-");
  assert_string_equal(wait_for(&h, 2000, NOTICE_FAILED), "-"); /* a second later, and then two */
  assert_string_equal(wait_for(&h, 3900, NOTICE_TAKEN), "-");
  assert_string_equal(wait_for(&h, 4000, NOTICE_TAKEN), REQUESTED " " HELD);
  harness_close(&h);
}

static void a_notice_that_a_wrong_clock_put_years_ahead_is_tried_at_once(void **unused) {
  (void)unused;
  struct harness h;
  const int64_t years = INT64_C(3650) * 86400 * 1000;
  open_notify(&h);
  assert_string_equal(step(&h, 1000 + years, "kim", 0, NOTICE_FAILED), "-");
  assert_string_equal(wait_for(&h, 5000, NOTICE_TAKEN), REQUESTED);
  harness_close(&h);
}

static void what_the_receiver_refuses_is_a_dead_letter_and_the_next_one_goes_on(void **unused) {
  (void)unused;
  struct harness h;
  open_notify(&h);
  assert_string_equal(step(&h, 1000, "kim", 0, NOTICE_REFUSED), GIVEN_UP);
  assert_string_equal(step(&h, 1000, "kim", 1, NOTICE_TAKEN), HELD);
  harness_close(&h);
}

static void after_the_last_try_it_is_a_dead_letter(void **unused) {
  (void)unused;
  struct harness h;
  open_notify(&h);
  step(&h, 1000, "kim", 0, NOTICE_FAILED);
  int64_t time = 1000;
  for (int try = 1; try < NOTICE_TRIES - 1; try++) {
    time += notice_back_off(try);
    assert_string_equal(wait_for(&h, time, NOTICE_FAILED), "-");
  }
  time += notice_back_off(NOTICE_TRIES - 1);
  assert_string_equal(wait_for(&h, time, NOTICE_FAILED), GIVEN_UP);
  assert_int_equal(fake_world_state.calls, NOTICE_TRIES);
  assert_true(time > INT64_C(20) * 3600 * 1000); /* it was tried for most of a day */
  harness_close(&h);
}

static void a_call_whose_process_died_is_made_again(void **unused) {
  (void)unused;
  struct harness h;
  open_notify(&h);
  assert_string_equal(step(&h, 1000, "kim", 0, -1), "-");
  assert_string_equal(wait_for(&h, 1000 + NOTICE_CALL_LIMIT_MS, NOTICE_TAKEN), REQUESTED);
  assert_int_equal(fake_world_state.calls, 2);
  harness_close(&h);
}

/* ---- commands that were refused ---- */

static const char *refuse(struct harness *h, int64_t time, const char *sender, const char *place,
                          int answer) {
  const struct command_refused refused = {.sender_id = str_of(sender),
                                          .command = STR("Reserve"),
                                          .reservation_id = STR("r"),
                                          .refusal = REFUSAL_ID_REUSED,
                                          .place = str_of(place)};
  fake_world_state.answer = answer;
  return harness_send(h, time, sender, RECORD_COMMAND_REFUSED, &refused);
}

#define REFUSED "Notified(Reserve,REQUESTED,yes)"

static void a_refused_command_is_told_to_its_sender_once(void **unused) {
  (void)unused;
  static const struct {
    const char *why;
    int64_t time;
    const char *sender, *place, *out;
  } rows[] = {
      {"it is new", 1000, "kim", "commands-0-1", REFUSED},
      {"a reset says it again", 1000, "kim", "commands-0-1", "-"},
      {"the next command", 1000, "kim", "commands-0-2", REFUSED},
      {"a reset says the first again", 1000, "kim", "commands-0-1", "-"},
      {"another partition", 1000, "kim", "commands-1-1", REFUSED},
      {"the topic was made again, its places begin anew", 2000, "kim", "commands-0-1", REFUSED},
      {"another sender", 1000, "lee", "commands-0-1", REFUSED},
      {"an earlier version named no place and told nobody", 1000, "kim", "", "-"},
  };
  struct harness h;
  open_notify(&h);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *out = refuse(&h, rows[i].time, rows[i].sender, rows[i].place, NOTICE_TAKEN);
    if (strcmp(out, rows[i].out) != 0) fail_msg("%s: %s", rows[i].why, out);
  }
  harness_close(&h);
}

static void who_used_a_taken_id_hears_that_it_was_asked_for_and_then_that_it_was_refused(
    void **unused) {
  (void)unused;
  struct harness h;
  open_notify(&h);
  assert_string_equal(step(&h, 1000, "lee", 0, NOTICE_FAILED), "-");
  assert_string_equal(refuse(&h, 1000, "lee", "commands-0-2", NOTICE_TAKEN), "-"); /* it waits */
  assert_string_equal(wait_for(&h, 2000, NOTICE_TAKEN), REQUESTED " " REFUSED);
  assert_string_equal(step(&h, 3000, "lee", 0, NOTICE_TAKEN), "-");
  harness_close(&h);
}

/* A row is there, and has this text in this member; NULL: the row is not there. */
static bool row_says(struct harness *h, const char *key, const char *member, const char *text) {
  json_t *row = harness_row(h, key);
  const char *found = row ? json_string_value(json_object_get(row, member)) : NULL;
  bool says = text ? found && strcmp(found, text) == 0 : !row;
  json_decref(row);
  return says;
}

static void what_was_refused_is_forgotten_a_window_later(void **unused) {
  (void)unused;
  struct harness h;
  open_notify(&h);
  const char *row = "s/kim/commands-0-1/00000000000003e8";
  refuse(&h, 1000, "kim", "commands-0-1", NOTICE_TAKEN);
  assert_true(row_says(&h, row, "type", "NoticeSent"));
  /* Time goes on, and is believed; then the row goes. */
  const int64_t later = 1000 + EXPIRY_WINDOW_MS + EXPIRY_SLACK_MS + 1;
  for (int i = 0; i < 2 * (int)EXPIRY_DOUBTS; i++) {
    char id[16];
    snprintf(id, sizeof id, "until-%d", i);
    step(&h, later - EXPIRY_PROOF_MS - 2 * EXPIRY_DOUBTS + i, id, 0, NOTICE_TAKEN);
  }
  step(&h, later, "lee", 0, NOTICE_TAKEN);
  assert_true(row_says(&h, row, "type", NULL));
  assert_true(row_says(&h, "ckim", "type", NULL)); /* nor is the stranger known */
  assert_string_equal(refuse(&h, 1000, "kim", "commands-0-1", NOTICE_TAKEN), "-");
  harness_close(&h);
}

/* ---- whom a notice names ---- */

static void for_who_never_signed_up_the_id_stands_in(void **unused) {
  (void)unused;
  struct harness h;
  open_notify(&h);
  const struct register_customer known = {STR("kim"), STR("Kim Y."), STR("kim@example.org"),
                                          STR("ko")};
  harness_send(&h, 1000, "kim", RECORD_REGISTER_CUSTOMER, &known);
  step(&h, 1000, "kim", 0, -1);
  step(&h, 1000, "lee", 0, -1);
  refuse(&h, 1000, "park", "commands-0-1", -1);
  static const char *const rows[][3] = {{"nkim/0000000000000000", "Kim Y.", "kim@example.org"},
                                        {"nlee/0000000000000000", "lee", "lee"},
                                        {"npark/0000000000000000", "park", "park"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    assert_true(row_says(&h, rows[i][0], "name", rows[i][1]));
    assert_true(row_says(&h, rows[i][0], "contact", rows[i][2]));
  }
  harness_close(&h);
}

#define LONG "\xf0\x9f\x8e\xab\xf0\x9f\x8e\xab\xf0\x9f\x8e\xab\xf0\x9f\x8e\xab"
#define OF_64_BYTES LONG LONG LONG LONG

static const struct notice notices[] = {
    {.customer_id = STR("kim"), .reservation_id = STR("r"), .content_hash = 7, .opened_at = 1000},
    {.customer_id = STR("lee"), .reservation_id = STR("r"), .content_hash = 7, .opened_at = 1000},
    {.customer_id = STR("lee"), .reservation_id = STR("r"), .content_hash = 8, .opened_at = 1000},
    {.customer_id = STR("lee"), .reservation_id = STR("r"), .content_hash = 8, .opened_at = 2000},
    {.customer_id = STR("lee"), .reservation_id = STR("r"), .content_hash = 8, .revision = 1},
    {.customer_id = STR("lee"), .reservation_id = STR("r:1"), .content_hash = 8},
    {.customer_id = STR(OF_64_BYTES),
     .reservation_id = STR(OF_64_BYTES),
     .content_hash = 8,
     .revision = INT32_MAX},
    {.customer_id = STR("lee"),
     .reservation_id = STR("r"),
     .content_hash = 8,
     .command = STR("Reserve"),
     .place = STR("commands-0-1"),
     .at = 1000},
    {.customer_id = STR("lee"),
     .reservation_id = STR("r"),
     .content_hash = 8,
     .command = STR("Reserve"),
     .place = STR("commands-0-2"),
     .at = 1000},
    {.customer_id = STR("lee"),
     .reservation_id = STR("r"),
     .content_hash = 8,
     .command = STR("Reserve"),
     .place = STR("commands-0-2"),
     .at = 2000},
    {.customer_id = STR("lee"), .command = STR("CloseItem"), .place = STR("commands-0-3")},
};
#define NOTICES (sizeof notices / sizeof *notices)

static void no_two_notices_have_one_id_and_each_keeps_its_own(void **unused) {
  (void)unused;
  static char ids[NOTICES][NOTICE_ID_SIZE];
  for (size_t i = 0; i < NOTICES; i++) {
    notice_id(&notices[i], ids[i]);
    for (size_t j = 0; j < i; j++) assert_string_not_equal(ids[i], ids[j]);
    static const char fits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%:";
    assert_int_equal(strspn(ids[i], fits), strlen(ids[i]));
    char again[NOTICE_ID_SIZE];
    struct notice tried = notices[i]; /* what changes from try to try, or with a sign-up */
    tried.attempts = 7;
    tried.due_at = 99;
    tried.number = 3;
    tried.name = STR("Kim");
    notice_id(&tried, again);
    assert_string_equal(ids[i], again);
  }
  assert_int_equal(strncmp(ids[0], "r:0:", 4), 0); /* it can be searched for by people */
  assert_int_equal(strncmp(ids[7], "r:refused:", 10), 0);
  char earlier[NOTICE_ID_SIZE];
  notice_id(&(struct notice){.customer_id = STR("kim"), .reservation_id = STR("r"), .revision = 2},
            earlier);
  assert_string_equal(earlier, "r:2"); /* a row of an earlier version was called with it */
}

static void the_text_is_in_the_customers_language(void **unused) {
  (void)unused;
  char text[200];
  struct notice notice = {.customer_id = STR("c1"),
                          .name = STR("김"),
                          .language = STR("ko"),
                          .reservation_id = STR("r1"),
                          .item_id = STR("film"),
                          .quantity = 2,
                          .status = STATUS_FAILED,
                          .reason = REASON_SOLD_OUT};
  notice_text(&notice, text, sizeof text);
  assert_string_equal(text, "김님, film 예약에 실패했습니다: 매진되었습니다 (r1).");
  notice.language = STR("fr"); /* none of ours */
  notice.name = STR("");
  notice_text(&notice, text, sizeof text);
  assert_string_equal(text, "c1, your reservation of film failed: it is sold out (r1).");
  for (int status = 0; status < STATUS_COUNT; status++) {
    for (int reason = 0; reason < REASON_COUNT; reason++) {
      notice.status = (enum status)status;
      notice.reason = (enum reason)reason;
      notice_text(&notice, text, sizeof text);
      assert_null(strchr(text, '{'));
    }
  }
  notice.command = STR("Cancel");
  notice.refusal = REFUSAL_ALREADY_ENDED;
  notice_text(&notice, text, sizeof text);
  assert_string_equal(text, "c1, your Cancel (r1) was refused: the reservation has ended.");
  notice.reservation_id = STR("");
  notice.language = STR("ko");
  notice_text(&notice, text, sizeof text);
  assert_string_equal(text, "c1님, Cancel 요청(film)이 거절되었습니다: 이미 종료된 예약입니다.");
  for (int refusal = 0; refusal < REFUSAL_COUNT; refusal++) {
    notice.refusal = (enum refusal)refusal;
    notice_text(&notice, text, sizeof text);
    assert_null(strchr(text, '{'));
  }
  char little[10];
  notice_text(&notice, little, sizeof little);
  assert_int_equal(strlen(little), 9);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_step_is_told_once),
      cmocka_unit_test(a_receiver_that_is_away_holds_up_that_customer_and_nobody_else),
      cmocka_unit_test(a_notice_that_a_wrong_clock_put_years_ahead_is_tried_at_once),
      cmocka_unit_test(what_the_receiver_refuses_is_a_dead_letter_and_the_next_one_goes_on),
      cmocka_unit_test(after_the_last_try_it_is_a_dead_letter),
      cmocka_unit_test(a_call_whose_process_died_is_made_again),
      cmocka_unit_test(a_refused_command_is_told_to_its_sender_once),
      cmocka_unit_test(
          who_used_a_taken_id_hears_that_it_was_asked_for_and_then_that_it_was_refused),
      cmocka_unit_test(what_was_refused_is_forgotten_a_window_later),
      cmocka_unit_test(for_who_never_signed_up_the_id_stands_in),
      cmocka_unit_test(no_two_notices_have_one_id_and_each_keeps_its_own),
      cmocka_unit_test(the_text_is_in_the_customers_language),
  };
  return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
