/* Staging: a batch's changes. */
#include <stdio.h>

#include "../lib/harness.h"
#include "runtime/core/staging.h"

static void staging_keeps_the_last_value_in_the_order_of_first_change(void **unused) {
  (void)unused;
  struct staging staging = {0};
  static char keys[5000][8];
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 5000; i++) {
      snprintf(keys[i], sizeof keys[i], "k%d", i);
      struct change change = {.key = str_of(keys[i]), .value = round ? STR("new") : STR("old")};
      staging_put(&staging, -1, i % 3, &change, 0);
    }
  }
  assert_int_equal(staging.count, 5000);
  assert_true(str_equal(staging.entries[4999].change.key, STR("k4999")));
  assert_true(str_equal(staging_find(&staging, -1, 1, STR("k4"))->change.value, STR("new")));
  assert_null(staging_find(&staging, -1, 0, STR("k4")));
  assert_null(staging_find(&staging, 0, 1, STR("k4")));
  staging_clear(&staging);
  assert_null(staging_find(&staging, -1, 1, STR("k4")));
  staging_free(&staging);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(staging_keeps_the_last_value_in_the_order_of_first_change),
  };
  return cmocka_run_group_tests_name("staging", tests, NULL, NULL);
}
