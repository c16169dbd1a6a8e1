/* Notices: each step once and in order, whatever the receiver does. */
#include "fake_world.h"
#include "harness.h"
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
  char little[10];
  notice_text(&notice, little, sizeof little);
  assert_int_equal(strlen(little), 9);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_step_is_told_once),
      cmocka_unit_test(a_receiver_that_is_away_holds_up_that_customer_and_nobody_else),
      cmocka_unit_test(what_the_receiver_refuses_is_a_dead_letter_and_the_next_one_goes_on),
      cmocka_unit_test(after_the_last_try_it_is_a_dead_letter),
      cmocka_unit_test(a_call_whose_process_died_is_made_again),
      cmocka_unit_test(the_text_is_in_the_customers_language),
  };
  return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
