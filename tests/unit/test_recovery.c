/* The table of recovery, row by row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <stdio.h>

#include "runtime/core/recovery.h"

#define NOW INT64_C(1000000000)
#define RETENTION INT64_C(86400000)

static struct recovery_plan judge(const struct store_meta *meta, const struct intent *intent,
                                  int64_t offset, const char *metadata) {
  struct recovery_facts facts = {.meta = meta,
                                 .intent = intent,
                                 .committed.offset = offset,
                                 .input_first = 0,
                                 .input_end = 60,
                                 .changelog_first = 0,
                                 .changelog_end = 700,
                                 .now = NOW,
                                 .tombstone_retention_ms = RETENTION};
  snprintf(facts.committed.metadata, sizeof facts.committed.metadata, "%s", metadata);
  return recovery_judge(&facts);
}

static struct intent an_intent(const char *id, int64_t next_input) {
  struct intent intent = {.epoch = 1, .next_input = next_input, .last_changelog = 99};
  snprintf(intent.id, sizeof intent.id, "%s", id);
  return intent;
}

static const struct store_meta current = {
    .epoch = 1, .next_input = 50, .next_changelog = 100, .written_at = NOW};

static void an_intent_at_the_committed_offset_with_the_committed_id_is_promoted(void **unused) {
  (void)unused;
  struct store_meta meta = {.epoch = 1, .next_input = 40, .next_changelog = 80, .written_at = NOW};
  struct intent intent = an_intent("p-7", 50);
  struct recovery_plan plan = judge(&meta, &intent, 50, "1;1;0;p-7;99");
  assert_int_equal(plan.intent, INTENT_PROMOTE);
  assert_int_equal(plan.action, RECOVERY_READY);
}

static void an_intent_of_another_id_is_dropped_even_at_the_committed_offset(void **unused) {
  (void)unused;
  struct store_meta meta = {.epoch = 1, .next_input = 40, .next_changelog = 80, .written_at = NOW};
  struct intent intent = an_intent("p-7", 50);
  struct recovery_plan plan = judge(&meta, &intent, 50, "1;1;0;q-1;99");
  assert_int_equal(plan.intent, INTENT_DROP);
  assert_int_equal(plan.action, RECOVERY_CATCH_UP);
}

static void an_intent_past_the_committed_offset_is_dropped(void **unused) {
  (void)unused;
  struct intent intent = an_intent("p-8", 60);
  struct recovery_plan plan = judge(&current, &intent, 50, "1;1;0;p-7;99");
  assert_int_equal(plan.intent, INTENT_DROP);
  assert_int_equal(plan.action, RECOVERY_READY);
}

static void an_intent_that_the_committed_offset_has_passed_is_dropped(void **unused) {
  (void)unused;
  struct store_meta meta = {.epoch = 1, .next_input = 30, .next_changelog = 80, .written_at = NOW};
  struct intent intent = an_intent("p-7", 40);
  struct recovery_plan plan = judge(&meta, &intent, 50, "1;1;1;q-3;99");
  assert_int_equal(plan.intent, INTENT_DROP);
  assert_int_equal(plan.action, RECOVERY_CATCH_UP);
}

static void another_epoch_is_rebuilt(void **unused) {
  (void)unused;
  assert_int_equal(judge(&current, NULL, 50, "1;2;0;-;99").action, RECOVERY_REBUILD);
}

static void a_store_that_never_had_the_partition_is_rebuilt(void **unused) {
  (void)unused;
  assert_int_equal(judge(NULL, NULL, 50, "1;1;0;p-7;99").action, RECOVERY_REBUILD);
}

static void a_store_behind_and_older_than_the_tombstones_is_rebuilt(void **unused) {
  (void)unused;
  struct store_meta meta = {
      .epoch = 1, .next_input = 40, .next_changelog = 80, .written_at = NOW - RETENTION};
  assert_int_equal(judge(&meta, NULL, 50, "1;1;0;p-7;99").action, RECOVERY_REBUILD);
}

static void an_old_store_that_is_not_behind_is_ready(void **unused) {
  (void)unused;
  struct store_meta meta = current;
  meta.written_at = 0;
  assert_int_equal(judge(&meta, NULL, 50, "1;1;0;p-7;99").action, RECOVERY_READY);
}

static void a_position_outside_the_changelog_is_rebuilt(void **unused) {
  (void)unused;
  struct store_meta meta = {.epoch = 1, .next_input = 40, .next_changelog = 701, .written_at = NOW};
  assert_int_equal(judge(&meta, NULL, 50, "1;1;0;p-7;99").action, RECOVERY_REBUILD);
}

static void a_position_at_the_end_of_what_is_not_visible_yet_is_not_outside(void **unused) {
  (void)unused;
  struct store_meta meta = {.epoch = 1, .next_input = 50, .next_changelog = 700, .written_at = NOW};
  assert_int_equal(judge(&meta, NULL, 50, "1;1;0;p-7;699").action, RECOVERY_READY);
}

/* The store is as it must be: the changelog is not. */
static void a_changelog_that_ends_at_c_or_before_is_refused(void **unused) {
  (void)unused;
  struct store_meta meta = {.epoch = 1, .next_input = 50, .next_changelog = 701, .written_at = NOW};
  assert_int_equal(judge(&meta, NULL, 50, "1;1;0;p-7;700").action, RECOVERY_REFUSE_CHANGELOG);
  assert_int_equal(judge(NULL, NULL, 50, "1;1;0;p-7;900").action, RECOVERY_REFUSE_CHANGELOG);
}

static struct recovery_plan judge_bounds(const struct recovery_facts *bounds,
                                         const char *metadata) {
  struct recovery_facts facts = *bounds;
  facts.meta = &current;
  facts.now = NOW;
  facts.tombstone_retention_ms = RETENTION;
  facts.committed.offset = 50;
  snprintf(facts.committed.metadata, sizeof facts.committed.metadata, "%s", metadata);
  return recovery_judge(&facts);
}

static void a_changelog_whose_first_records_are_gone_is_refused(void **unused) {
  (void)unused;
  struct recovery_facts bounds = {.input_end = 60, .changelog_first = 7, .changelog_end = 100};
  assert_int_equal(judge_bounds(&bounds, "1;1;0;p-7;99").action, RECOVERY_REFUSE_CHANGELOG);
  assert_int_equal(judge_bounds(&bounds, "1;1;0;p-7;99;6").action, RECOVERY_REFUSE_CHANGELOG);
}

static void a_beginning_of_the_changelog_that_was_accepted_is_not_refused(void **unused) {
  (void)unused;
  struct recovery_facts bounds = {.input_end = 60, .changelog_first = 7, .changelog_end = 100};
  assert_int_equal(judge_bounds(&bounds, "1;1;0;p-7;99;7").action, RECOVERY_READY);
}

static void a_committed_offset_past_the_end_of_the_input_is_refused(void **unused) {
  (void)unused;
  struct recovery_facts bounds = {.input_end = 49, .changelog_end = 100};
  assert_int_equal(judge_bounds(&bounds, "1;1;0;p-7;99").action, RECOVERY_REFUSE_INPUT);
}

static void a_committed_offset_before_the_input_is_refused(void **unused) {
  (void)unused;
  struct recovery_facts bounds = {.input_first = 51, .input_end = 60, .changelog_end = 100};
  assert_int_equal(judge_bounds(&bounds, "1;1;0;p-7;99").action, RECOVERY_REFUSE_INPUT);
}

static void a_committed_offset_at_the_end_of_the_input_is_ready(void **unused) {
  (void)unused;
  struct recovery_facts bounds = {.input_first = 50, .input_end = 50, .changelog_end = 100};
  assert_int_equal(judge_bounds(&bounds, "1;1;0;p-7;99").action, RECOVERY_READY);
}

static void an_equal_offset_with_a_position_past_c_is_ready(void **unused) {
  (void)unused;
  assert_int_equal(judge(&current, NULL, 50, "1;1;0;p-7;99").action, RECOVERY_READY);
}

static void an_equal_offset_with_a_position_at_c_catches_up(void **unused) {
  (void)unused; /* a timer changed rows without moving the offset */
  assert_int_equal(judge(&current, NULL, 50, "1;1;0;p-9;100").action, RECOVERY_CATCH_UP);
}

static void a_store_behind_catches_up(void **unused) {
  (void)unused;
  struct store_meta meta = {.epoch = 1, .next_input = 40, .next_changelog = 80, .written_at = NOW};
  assert_int_equal(judge(&meta, NULL, 50, "1;1;0;p-7;99").action, RECOVERY_CATCH_UP);
}

static void a_rebuild_that_has_not_ended_goes_on(void **unused) {
  (void)unused;
  struct store_meta meta = {
      .epoch = 1, .next_input = 0, .next_changelog = 100, .written_at = NOW, .rebuilding = true};
  assert_int_equal(judge(&meta, NULL, 0, "1;1;0;p-7;99").action, RECOVERY_CATCH_UP);
}

static void a_store_ahead_is_refused(void **unused) {
  (void)unused;
  assert_int_equal(judge(&current, NULL, 49, "1;1;0;p-7;99").action, RECOVERY_REFUSE_AHEAD);
}

static void no_committed_offset_is_refused(void **unused) {
  (void)unused;
  assert_int_equal(judge(&current, NULL, -1, "").action, RECOVERY_REFUSE_NO_OFFSET);
}

static void metadata_of_others_is_refused(void **unused) {
  (void)unused;
  const char *others[] = {"",
                          "hello",
                          "2;1;0;p-7;99",
                          "1;1;0;p-7",
                          "1;1;0;p-7;99;more",
                          "1;1;0;p-7;99;",
                          "1;1;0;p-7;99;-1",
                          "1;1;0;p-7;99;1;2",
                          "1;1;0;;99",
                          "1;1;0;p-7;-2"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    assert_int_equal(judge(&current, NULL, 50, others[i]).action, RECOVERY_REFUSE_METADATA);
}

static void what_is_committed_is_read_back(void **unused) {
  (void)unused;
  struct commit_metadata out, in = {.epoch = 3,
                                    .slot = 12,
                                    .intent_id = "0123456789abcdef-18446744073709551",
                                    .last_changelog = INT64_MAX};
  char text[160];
  commit_metadata_format(&in, text);
  assert_true(commit_metadata_parse(text, &out));
  assert_int_equal(out.epoch, 3);
  assert_int_equal(out.slot, 12);
  assert_string_equal(out.intent_id, in.intent_id);
  assert_true(out.last_changelog == INT64_MAX);
  assert_true(out.first_changelog == 0); /* as in commits of before there was one */
  in.first_changelog = INT64_MAX;
  commit_metadata_format(&in, text);
  assert_true(commit_metadata_parse(text, &out));
  assert_true(out.first_changelog == INT64_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_intent_at_the_committed_offset_with_the_committed_id_is_promoted),
      cmocka_unit_test(an_intent_of_another_id_is_dropped_even_at_the_committed_offset),
      cmocka_unit_test(an_intent_past_the_committed_offset_is_dropped),
      cmocka_unit_test(an_intent_that_the_committed_offset_has_passed_is_dropped),
      cmocka_unit_test(another_epoch_is_rebuilt),
      cmocka_unit_test(a_store_that_never_had_the_partition_is_rebuilt),
      cmocka_unit_test(a_store_behind_and_older_than_the_tombstones_is_rebuilt),
      cmocka_unit_test(an_old_store_that_is_not_behind_is_ready),
      cmocka_unit_test(a_position_outside_the_changelog_is_rebuilt),
      cmocka_unit_test(a_position_at_the_end_of_what_is_not_visible_yet_is_not_outside),
      cmocka_unit_test(a_changelog_that_ends_at_c_or_before_is_refused),
      cmocka_unit_test(a_changelog_whose_first_records_are_gone_is_refused),
      cmocka_unit_test(a_beginning_of_the_changelog_that_was_accepted_is_not_refused),
      cmocka_unit_test(a_committed_offset_past_the_end_of_the_input_is_refused),
      cmocka_unit_test(a_committed_offset_before_the_input_is_refused),
      cmocka_unit_test(a_committed_offset_at_the_end_of_the_input_is_ready),
      cmocka_unit_test(an_equal_offset_with_a_position_past_c_is_ready),
      cmocka_unit_test(an_equal_offset_with_a_position_at_c_catches_up),
      cmocka_unit_test(a_store_behind_catches_up),
      cmocka_unit_test(a_rebuild_that_has_not_ended_goes_on),
      cmocka_unit_test(a_store_ahead_is_refused),
      cmocka_unit_test(no_committed_offset_is_refused),
      cmocka_unit_test(metadata_of_others_is_refused),
      cmocka_unit_test(what_is_committed_is_read_back),
  };
  return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
