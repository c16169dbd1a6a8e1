/* The rights that a filter asks for: its declaration's, and none beside them. */
#include "../lib/harness.h"
#include "runtime/contract/processors.h"
#include "runtime/core/rights.h"

static bool has(const struct rights *rights, enum right_resource resource,
                enum right_operation operation, const char *name) {
  for (size_t i = 0; i < rights->count; i++) {
    const struct right *right = &rights->list[i];
    if (right->resource == resource && right->operation == operation &&
        strcmp(right->name, name) == 0)
      return true;
  }
  return false;
}

static bool is_written(const struct processor *processor, const char *topic) {
  for (const struct output *output = processor->outputs; output && output->topic; output++) {
    if (strcmp(output->topic, topic) == 0) return true;
  }
  return (processor->changelog && strcmp(processor->changelog, topic) == 0) ||
         (processor->open_input && strcmp(topic, "dead-letters") == 0) ||
         (processor->routes && strcmp(topic, "view-owners") == 0);
}

static void a_filter_may_write_what_it_declares_and_nothing_else(void **unused) {
  (void)unused;
  for (const struct processor *const *p = all_processors; *p; p++) {
    struct rights rights = {0};
    rights_of_filter(*p, "", &rights);
    for (const struct output *output = (*p)->outputs; output && output->topic; output++)
      assert_true(has(&rights, RIGHT_TOPIC, RIGHT_WRITE, output->topic));
    for (size_t i = 0; i < rights.count; i++) {
      const struct right *right = &rights.list[i];
      if (right->resource == RIGHT_TOPIC && right->operation == RIGHT_WRITE)
        assert_true(is_written(*p, right->name));
      assert_true(right->operation != RIGHT_ALL && right->operation != RIGHT_CREATE);
    }
  }
}

static void a_filter_reads_its_input_as_a_member_of_its_own_group(void **unused) {
  (void)unused;
  for (const struct processor *const *p = all_processors; *p; p++) {
    struct rights rights = {0};
    size_t groups = 0;
    char ids[64];
    rights_of_filter(*p, "", &rights);
    snprintf(ids, sizeof ids, "%s-", (*p)->name);
    assert_true(has(&rights, RIGHT_TOPIC, RIGHT_READ, (*p)->input));
    assert_true(has(&rights, RIGHT_GROUP, RIGHT_READ, (*p)->name));
    assert_true(has(&rights, RIGHT_TRANSACTIONAL_ID, RIGHT_WRITE, ids));
    for (size_t i = 0; i < rights.count; i++) groups += rights.list[i].resource == RIGHT_GROUP;
    assert_int_equal(groups, 1);
  }
}

static void every_resource_has_the_prefix_of_the_pipeline(void **unused) {
  (void)unused;
  for (const struct processor *const *p = all_processors; *p; p++) {
    struct rights rights = {0};
    rights_of_filter(*p, "staging-", &rights);
    for (size_t i = 0; i < rights.count; i++)
      assert_int_equal(strncmp(rights.list[i].name, "staging-", 8), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_filter_may_write_what_it_declares_and_nothing_else),
      cmocka_unit_test(a_filter_reads_its_input_as_a_member_of_its_own_group),
      cmocka_unit_test(every_resource_has_the_prefix_of_the_pipeline),
  };
  return cmocka_run_group_tests_name("rights", tests, NULL, NULL);
}
