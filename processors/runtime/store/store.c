/* Rows and due rows of the partitions, as keys and values of RocksDB. */
#include <endian.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "runtime/base/background.h"
#include "runtime/base/report.h"
#include "runtime/base/mutant.h"
#include "runtime/store/internal.h"

#define KEY_HEAD 5
#define GET_MANY 256 /* keys at once: their blocks are pinned together */
#define DUE_HEAD (KEY_HEAD + 8)

void store_must(char *error, const char *what) {
  if (!error) return;
  report_error("store: %s failed: %s; the filter ends and recovers at its next start", what, error);
  _exit(EX_IOERR); /* nothing of this process is to be tidied up over a store in that state */
}

void store_count_nothing(void) {
  rocksdb_set_perf_level(rocksdb_disable);
}

static void key_head(char *key, int32_t partition, enum section section) {
  uint32_t big = htobe32((uint32_t)partition);
  memcpy(key, &big, 4);
  key[4] = (char)section;
}

struct str store_key(struct store *store, int32_t partition, enum section section,
                     struct str rest) {
  store->key = xgrow(store->key, &store->key_capacity, KEY_HEAD + rest.size, 1);
  key_head(store->key, partition, section);
  if (rest.size) memcpy(store->key + KEY_HEAD, rest.data, rest.size);
  return (struct str){store->key, KEY_HEAD + rest.size};
}

static struct str due_key(struct store *store, int32_t partition, struct str key, int64_t due_at) {
  store->key = xgrow(store->key, &store->key_capacity, DUE_HEAD + key.size, 1);
  key_head(store->key, partition, SECTION_DUE);
  uint64_t big = htobe64((uint64_t)due_at);
  memcpy(store->key + KEY_HEAD, &big, 8);
  if (key.size) memcpy(store->key + DUE_HEAD, key.data, key.size);
  return (struct str){store->key, DUE_HEAD + key.size};
}

/* Others do not wait for the writer: on a busy machine that would be for as long as it is not given
 * a core. */
static void see_own_writes(struct store *store) {
  if (pthread_equal(store->thread, pthread_self())) background_wait(store->writer);
}

/* The process ends with an error of RocksDB, here or as its failpoint has it. */
static void must(struct store *store, char *error, const char *what) {
  if (!error || !store->failpoint.ends) {
    store_must(error, what);
    return;
  }
  free(error);
  store->failpoint.ends(store->failpoint.user);
}

/* ---- reading ---- */

static bool read_fails(const struct store *store) {
  return store->failpoint.read_fails && store->failpoint.read_fails(store->failpoint.user);
}

static char *with_failpoint(char *error) {
  return error ? error : xstrdup("a failpoint said so");
}

/* False: the bytes that were read count for nothing. */
static bool was_read(struct store *store, char *error, const char *what) {
  if (MUTANT("read-error-taken-for-no-row") && error) {
    free(error);
    return false;
  }
  must(store, error, what);
  return true;
}

struct str store_get_by_key(struct store *store, struct str key, struct arena *arena) {
  char *failed = NULL;
  see_own_writes(store);
  rocksdb_pinnableslice_t *slice =
      rocksdb_get_pinned(store->db, store->read, key.data, key.size, &failed);
  if (read_fails(store)) failed = with_failpoint(failed);
  bool fine = was_read(store, failed, "reading");
  if (!slice) return (struct str){0};
  struct str value;
  value.data = rocksdb_pinnableslice_value(slice, &value.size);
  struct str copy = fine ? arena_copy(arena, value) : (struct str){0};
  rocksdb_pinnableslice_destroy(slice);
  return copy;
}

struct str store_get(struct store *store, int32_t partition, struct str key, struct arena *arena) {
  /* Not the scratch key: any thread may read */
  char *full = arena_alloc(arena, KEY_HEAD + key.size);
  key_head(full, partition, SECTION_ROW);
  memcpy(full + KEY_HEAD, key.data, key.size);
  return store_get_by_key(store, (struct str){full, KEY_HEAD + key.size}, arena);
}

static void get_some(struct store *store, const struct store_place *places, size_t count,
                     size_t first, void (*take)(void *, size_t, struct str), void *user) {
  const char *keys[GET_MANY];
  size_t sizes[GET_MANY], used = 0;
  rocksdb_pinnableslice_t *values[GET_MANY];
  char *errors[GET_MANY] = {0};
  for (size_t i = 0; i < count; i++) used += KEY_HEAD + places[i].key.size;
  store->key = xgrow(store->key, &store->key_capacity, used, 1);
  char *at = store->key;
  for (size_t i = 0; i < count; i++) {
    keys[i] = at;
    sizes[i] = KEY_HEAD + places[i].key.size;
    key_head(at, places[i].partition, SECTION_ROW);
    memcpy(at + KEY_HEAD, places[i].key.data, places[i].key.size);
    at += sizes[i];
  }
  rocksdb_batched_multi_get_cf(store->db, store->read, store->family, count, keys, sizes, values,
                               errors, true);
  if (read_fails(store)) {
    for (size_t i = 0; i < count; i++) errors[i] = with_failpoint(errors[i]);
  }
  for (size_t i = 0; i < count; i++) {
    struct str value = {0};
    bool fine = was_read(store, errors[i], "reading");
    if (values[i] && fine) value.data = rocksdb_pinnableslice_value(values[i], &value.size);
    take(user, first + i, value);
    if (values[i]) rocksdb_pinnableslice_destroy(values[i]);
  }
}

void store_get_many(struct store *store, const struct store_place *places, size_t count,
                    void (*take)(void *, size_t, struct str), void *user) {
  see_own_writes(store);
  for (size_t first = 0; first < count; first += GET_MANY) {
    size_t some = count - first < GET_MANY ? count - first : GET_MANY;
    get_some(store, places + first, some, first, take, user);
  }
}

static bool goes_on(const struct store *store, const rocksdb_iterator_t *iterator, bool *fails) {
  *fails = read_fails(store);
  return !*fails && rocksdb_iter_valid(iterator);
}

/* An iterator that ended at an error looks like one at the end of what is there. */
static void end_iterator(struct store *store, rocksdb_iterator_t *iterator, bool fails,
                         const char *what) {
  char *failed = NULL;
  rocksdb_iter_get_error(iterator, &failed);
  if (fails) failed = with_failpoint(failed);
  rocksdb_iter_destroy(iterator);
  was_read(store, failed, what);
}

void store_scan(struct store *store, int32_t partition, struct str prefix, struct str after,
                bool (*visit)(void *, struct str, struct str), void *user) {
  struct str from = after.data ? after : prefix;
  char *start = xmalloc(KEY_HEAD + from.size + 1);
  key_head(start, partition, SECTION_ROW);
  memcpy(start + KEY_HEAD, from.data, from.size);
  see_own_writes(store);
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(store->db, store->read);
  bool fails = false;
  for (rocksdb_iter_seek(iterator, start, KEY_HEAD + from.size); goes_on(store, iterator, &fails);
       rocksdb_iter_next(iterator)) {
    struct str key, value;
    key.data = rocksdb_iter_key(iterator, &key.size);
    value.data = rocksdb_iter_value(iterator, &value.size);
    if (key.size < KEY_HEAD || memcmp(key.data, start, KEY_HEAD) != 0) break;
    key = (struct str){key.data + KEY_HEAD, key.size - KEY_HEAD};
    if (!str_starts_with(key, prefix)) break;
    if (after.data && str_equal(key, after)) continue;
    if (!visit(user, key, value)) break;
  }
  end_iterator(store, iterator, fails, "scanning");
  free(start);
}

int64_t store_due(struct store *store, int32_t partition, int64_t from, int64_t now,
                  bool (*visit)(void *, struct str, int64_t), void *user) {
  int64_t next = INT64_MAX;
  see_own_writes(store);
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(store->db, store->read);
  struct str start = due_key(store, partition, STR(""), from);
  char head[KEY_HEAD];
  memcpy(head, start.data, KEY_HEAD);
  bool fails = false;
  for (rocksdb_iter_seek(iterator, start.data, start.size); goes_on(store, iterator, &fails);
       rocksdb_iter_next(iterator)) {
    struct str key;
    key.data = rocksdb_iter_key(iterator, &key.size);
    if (key.size < DUE_HEAD || memcmp(key.data, head, KEY_HEAD) != 0) break;
    uint64_t big;
    memcpy(&big, key.data + KEY_HEAD, 8);
    int64_t due_at = (int64_t)be64toh(big);
    if (due_at > now ||
        !visit(user, (struct str){key.data + DUE_HEAD, key.size - DUE_HEAD}, due_at)) {
      next = due_at;
      break;
    }
  }
  end_iterator(store, iterator, fails, "looking for due rows");
  return next;
}

/* ---- writing ---- */

void store_set_failpoint(struct store *store, const struct store_failpoint *failpoint) {
  store->failpoint = failpoint ? *failpoint : (struct store_failpoint){0};
  rocksdb_writebatch_clear(store->batch);
}

static int by_key_then_order(const void *a, const void *b) {
  const struct change *const *x = a, *const *y = b;
  int order = str_compare((*x)->key, (*y)->key);
  return order != 0 ? order : (*x > *y) - (*x < *y);
}

/* In the order of the keys: RocksDB takes them in half the time (it goes on from where it stands),
 * and of the changes of one row the last wins. */
void store_put_changes(struct store *store, int32_t partition, const struct change *changes,
                       size_t count) {
  if (!count) return;
  store->sorted =
      xgrow(store->sorted, &store->sorted_capacity, count, sizeof(const struct change *));
  for (size_t i = 0; i < count; i++) store->sorted[i] = &changes[i];
  qsort(store->sorted, count, sizeof *store->sorted, by_key_then_order);
  for (size_t i = 0; i < count; i++) {
    const struct change *change = store->sorted[i];
    if (i + 1 < count && str_equal(change->key, store->sorted[i + 1]->key)) continue;
    struct str key = store_key(store, partition, SECTION_ROW, change->key);
    if (!change->value.data) {
      rocksdb_writebatch_delete(store->batch, key.data, key.size);
      continue;
    }
    rocksdb_writebatch_put(store->batch, key.data, key.size, change->value.data,
                           change->value.size);
    if (!change->due_at) continue;
    struct str due = due_key(store, partition, change->key, change->due_at);
    rocksdb_writebatch_put(store->batch, due.data, due.size, "", 0);
  }
}

void store_drop_due(struct store *store, int32_t partition, struct str key, int64_t due_at) {
  struct str due = due_key(store, partition, key, due_at);
  rocksdb_writebatch_delete(store->batch, due.data, due.size);
}

void store_wipe(struct store *store, int32_t partition) {
  char from[4], to[4];
  uint32_t big = htobe32((uint32_t)partition), next = htobe32((uint32_t)partition + 1);
  memcpy(from, &big, 4);
  memcpy(to, &next, 4);
  rocksdb_writebatch_delete_range(store->batch, from, 4, to, 4);
}

static enum store_fate next_fate(struct store *store) {
  return store->failpoint.fate ? store->failpoint.fate(store->failpoint.user) : STORE_WRITES;
}

static void written(struct store *store, char *error) {
  if (!MUTANT("store-error-ignored")) {
    must(store, error, "writing");
    return;
  }
  free(error);
}

static void write_batch(struct store *store, rocksdb_writebatch_t *batch, enum store_fate fate) {
  char *error = NULL;
  if (fate == STORE_WRITES || fate == STORE_FAILS_AFTER)
    rocksdb_write(store->db, store->write, batch, &error);
  if (fate == STORE_FAILS_BEFORE || fate == STORE_FAILS_AFTER)
    error = xstrdup("a failpoint said so");
  rocksdb_writebatch_clear(batch);
  written(store, error);
}

void store_write(struct store *store) {
  see_own_writes(store);
  write_batch(store, store->batch, next_fate(store));
}

static void write_behind(void *user) {
  struct store *store = user;
  store_count_nothing();
  write_batch(store, store->behind, STORE_WRITES);
}

void store_write_behind(struct store *store) {
  see_own_writes(store);
  enum store_fate fate = next_fate(store);
  if (fate != STORE_WRITES) { /* in this thread, where a failpoint is asked */
    write_batch(store, store->batch, fate);
    return;
  }
  rocksdb_writebatch_t *collected = store->batch;
  store->batch = store->behind;
  store->behind = collected;
  background_run(store->writer, write_behind, store);
}
