/* Keys: their partitions. */
#include "../lib/harness.h"
#include "runtime/base/murmur2.h"

/* The hashes are those of Apache Kafka's own UtilsTest.testMurmur2, taken positive. */
static void keys_go_to_the_partition_that_jvm_clients_choose(void **unused) {
  (void)unused;
  assert_int_equal(murmur2_partition(STR("21"), INT32_MAX), (-973932308 & 0x7fffffff) % INT32_MAX);
  assert_int_equal(murmur2_partition(STR("foobar"), INT32_MAX),
                   (-790332482 & 0x7fffffff) % INT32_MAX);
  assert_int_equal(murmur2_partition(STR("a-little-bit-long-string"), INT32_MAX),
                   (-985981536 & 0x7fffffff) % INT32_MAX);
  assert_int_equal(murmur2_partition(STR("abc"), INT32_MAX), 479470107 % INT32_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keys_go_to_the_partition_that_jvm_clients_choose),
  };
  return cmocka_run_group_tests_name("murmur2", tests, NULL, NULL);
}
