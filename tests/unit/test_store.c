/* The store: rows, intents, and whose directory it is. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "../lib/harness.h"

static char error[512];
static int code;

static struct store *open_memory(void) {
  struct store *store =
      store_open(NULL, "test", (struct store_memory){.cache = 1 << 20}, error, sizeof error, &code);
  assert_non_null(store);
  return store;
}

static void an_intent_comes_back_as_it_was_written(void **unused) {
  (void)unused;
  struct store *store = open_memory();
  struct arena arena = {0};
  const struct change changes[] = {
      {STR("k1"), STR("v1"), 0}, {STR("k2"), {0}, 0}, {STR("k3"), STR(""), 77}};
  struct intent in = {.id = "p-1",
                      .epoch = 2,
                      .next_input = 9,
                      .last_changelog = -1,
                      .changes = changes,
                      .change_count = 3},
                out;
  store_put_intent(store, 5, &in);
  store_write(store);
  assert_false(store_intent(store, 4, &arena, &out));
  assert_true(store_intent(store, 5, &arena, &out));
  assert_string_equal(out.id, "p-1");
  assert_int_equal(out.change_count, 3);
  assert_null(out.changes[1].value.data);
  assert_non_null(out.changes[2].value.data);
  assert_int_equal(out.changes[2].due_at, 77);
  assert_null(store_get(store, 5, STR("k1"), &arena).data); /* an intent is not a row */
  store_put_changes(store, 5, out.changes, out.change_count);
  store_put_meta(store, 5, &(struct store_meta){.epoch = 2, .next_input = 9});
  store_write(store);
  assert_false(store_intent(store, 5, &arena, &out));
  assert_true(str_equal(store_get(store, 5, STR("k1"), &arena), STR("v1")));
  arena_free(&arena);
  store_close(store);
}

static bool count_rows(void *user, struct str key, struct str value) {
  (void)value;
  snprintf((char *)user + strlen(user), 100, "%.*s,", STR_ARGS(key));
  return true;
}

static void rows_are_scanned_by_partition_and_prefix_in_order(void **unused) {
  (void)unused;
  struct store *store = open_memory();
  const struct change rows[] = {{STR("b2"), STR("x"), 0},
                                {STR("a1"), STR("x"), 0},
                                {STR("b1"), STR("x"), 0},
                                {STR("b10"), STR("x"), 0},
                                {STR("c"), STR("x"), 0}};
  store_put_changes(store, 1, rows, 5);
  store_put_changes(store, 2, rows, 1);
  store_write(store);
  char seen[200] = "";
  store_scan(store, 1, STR("b"), (struct str){0}, count_rows, seen);
  assert_string_equal(seen, "b1,b10,b2,");
  seen[0] = '\0';
  store_scan(store, 1, STR("b"), STR("b1"), count_rows, seen);
  assert_string_equal(seen, "b10,b2,");
  store_put_changes(store, 1, rows, 1);
  store_wipe(store, 1); /* and what was collected before it */
  store_write(store);
  seen[0] = '\0';
  store_scan(store, 1, STR(""), (struct str){0}, count_rows, seen);
  assert_string_equal(seen, "");
  store_scan(store, 2, STR(""), (struct str){0}, count_rows, seen);
  assert_string_equal(seen, "b2,");
  store_close(store);
}

static void what_is_written_behind_is_there_for_whoever_reads_after_it(void **unused) {
  (void)unused;
  char text[16];
  struct store *store = open_memory();
  struct arena arena = {0};
  for (int i = 0; i < 500; i++) {
    int size = snprintf(text, sizeof text, "%d", i);
    const struct change change = {STR("k"), {text, (size_t)size}, 1000 - i};
    store_put_changes(store, i % 3, &change, 1);
    store_put_meta(store, i % 3, &(struct store_meta){.next_input = i});
    store_write_behind(store);
    struct store_meta meta;
    switch (i % 4) { /* each reader waits by itself */
      case 0:
        assert_true(
            str_equal(store_get(store, i % 3, STR("k"), &arena), (struct str){text, (size_t)size}));
        break;
      case 1:
        assert_true(store_meta(store, i % 3, &meta));
        assert_int_equal(meta.next_input, i);
        break;
      case 2: assert_int_equal(store_due(store, i % 3, 0, 0, NULL, NULL), 1000 - i); break;
      default: break; /* and so does the next write, which comes after it */
    }
  }
  store_close(store);
  arena_free(&arena);
}

static void a_directory_belongs_to_one_owner_and_one_process(void **unused) {
  (void)unused;
  char directory[] = "/tmp/holdfast-test-XXXXXX", path[64];
  assert_non_null(mkdtemp(directory));
  snprintf(path, sizeof path, "%s/a/b", directory);
  struct store *store =
      store_open(path, "stock-check of cluster one", (struct store_memory){.cache = 1 << 20}, error,
                 sizeof error, &code);
  assert_non_null(store);
  assert_null(store_open(path, "stock-check of cluster one",
                         (struct store_memory){.cache = 1 << 20}, error, sizeof error, &code));
  assert_non_null(strstr(error, "in use by another process"));
  assert_int_equal(code, EX_TEMPFAIL);
  store_close(store);
  assert_null(store_open(path, "payment of cluster one", (struct store_memory){.cache = 1 << 20},
                         error, sizeof error, &code));
  assert_non_null(strstr(error, "belongs to 'stock-check of cluster one'"));
  assert_int_equal(code, EX_CONFIG);
  assert_null(store_open(path, "stock-check of cluster two",
                         (struct store_memory){.cache = 1 << 20}, error, sizeof error, &code));
  assert_non_null(strstr(error, "and this is 'stock-check of cluster two': see --brokers"));
  assert_int_equal(code, EX_CONFIG);
  assert_null(store_open("/proc/nowhere/store", "x", (struct store_memory){.cache = 1 << 20}, error,
                         sizeof error, &code));
  assert_non_null(strstr(error, "cannot make the state directory"));
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", directory);
  assert_int_equal(system(command), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_intent_comes_back_as_it_was_written),
      cmocka_unit_test(rows_are_scanned_by_partition_and_prefix_in_order),
      cmocka_unit_test(what_is_written_behind_is_there_for_whoever_reads_after_it),
      cmocka_unit_test(a_directory_belongs_to_one_owner_and_one_process),
  };
  return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
