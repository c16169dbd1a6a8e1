/* Commands that the ledger has decided before: it knows them by place and time. */
#include <stdio.h>

#include "../lib/ledger_inputs.h"
#include "payment/payment.h"

#define T0 LEDGER_TIME

static void a_command_is_a_repeat_where_it_lies_in_the_same_partition_not_behind_and_not_later(
    void **unused) {
  (void)unused;
  static const struct {
    const char *what;
    struct command_place last, next; /* partition -1, time 0: an earlier version kept it */
    bool repeat;
  } cases[] = {
      {"the entrance was reset", {1, 50, 900}, {1, 50, 900}, true},
      {"the entrance was reset, and reads one of before", {1, 50, 900}, {1, 49, 800}, true},
      {"the next one", {1, 50, 900}, {1, 51, 901}, false},
      {"the next one at the same time", {1, 50, 900}, {1, 51, 900}, false},
      {"the broker's clock was set back", {1, 50, 900}, {1, 51, 100}, false},
      {"the topic was made again", {1, 50, 900}, {1, 0, 901}, false},
      {"the topic was made again, and grew to the same offset", {1, 50, 900}, {1, 50, 901}, false},
      {"a client with another partitioner", {1, 50, 900}, {0, 3, 950}, false},
      {"a client with another partitioner, whose time is before", {1, 50, 900}, {0, 3, 850}, false},
      {"an earlier version's row, and the next one", {-1, 50, 0}, {1, 51, 900}, false},
      {"an earlier version's row, and a reset", {-1, 50, 0}, {1, 50, 900}, true},
      {"a place that says nothing", {1, 50, 900}, {-1, -1, 900}, false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct ledger row = {.last_command = cases[i].last.offset,
                               .last_command_partition = cases[i].last.partition,
                               .last_command_at = cases[i].last.time};
    if (ledger_has_decided(&row, &cases[i].next) != cases[i].repeat)
      fail_msg("%s: %s", cases[i].what, cases[i].repeat ? "taken for new" : "taken for a repeat");
  }
}

/* A Pay of another is refused each time that it is decided, and changes nothing. */
static void commands_at_their_places(const char *what, const struct command_place *places,
                                     const char *expected) {
  struct harness h;
  harness_open(&h, "payment");
  for (size_t i = 0; expected[i]; i++) {
    char cause[64];
    snprintf(cause, sizeof cause, "reservation-commands-%d-%d", (int)places[i].partition,
             (int)places[i].offset);
    h.cause = str_of(cause);
    if (i == 0) ledger_give(&h, "r", "open");
    const char *out = i == 0 ? "-"
                             : harness_send(&h, places[i].time, "r", RECORD_PAY,
                                            &(struct pay){STR("r"), STR("x")});
    bool taken = strstr(out, "CommandRefused(Pay,UNKNOWN_RESERVATION)") != NULL;
    if (taken != (expected[i] == 't')) fail_msg("%s: command %zu gave '%s'", what, i, out);
  }
  harness_close(&h);
}

static void the_ledger_remembers_the_place_and_the_time_of_the_last_command(void **unused) {
  (void)unused;
  /* 't': taken, 'r': a repeat; the first opens the reservation, at T0 */
  commands_at_their_places(
      "a reset",
      (struct command_place[]){{1, 5, 0}, {1, 6, T0 + 1}, {1, 6, T0 + 1}, {1, 7, T0 + 2}}, "rtrt");
  commands_at_their_places(
      "a topic made again, then a reset",
      (struct command_place[]){{1, 5, 0}, {1, 0, T0 + 1}, {1, 0, T0 + 1}, {1, 1, T0 + 2}}, "rtrt");
  commands_at_their_places(
      "two partitions", (struct command_place[]){{1, 5, 0}, {0, 2, T0 + 1}, {1, 6, T0 + 2}}, "rtt");
  commands_at_their_places(
      "a clock set back, then a reset",
      (struct command_place[]){
          {1, 5, 0}, {1, 6, T0 + 9}, {1, 7, T0 - 9}, {1, 6, T0 + 9}, {1, 7, T0 - 9}, {1, 8, T0}},
      "rttrrt");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(
          a_command_is_a_repeat_where_it_lies_in_the_same_partition_not_behind_and_not_later),
      cmocka_unit_test(the_ledger_remembers_the_place_and_the_time_of_the_last_command),
  };
  return cmocka_run_group_tests_name("payment_repeats", tests, NULL, NULL);
}
