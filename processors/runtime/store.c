#include "store.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "background.h"
#include "logging.h"

/* Keys: partition (4 bytes, big-endian), one of these, and the rest. */
enum section { SECTION_DUE = 'd', SECTION_INTENT = 'i', SECTION_META = 'm', SECTION_ROW = 'r' };

#define OWNER_KEY "\xff\xff\xff\xffowner"
#define KEY_HEAD 5
#define FORMAT_VERSION 1
#define READ_ONLY_CACHE_BYTES ((size_t)8 << 20)
#define COPY_BATCH 1000
#define WRITE_BUFFER_BYTES ((size_t)8 << 20)
#define METADATA_BLOCK_BYTES ((uint64_t)32 << 10)
#define GET_MANY 256 /* keys at once: their blocks are pinned together */
#define DUE_HEAD (KEY_HEAD + 8)

struct store {
  rocksdb_t *db;
  rocksdb_column_family_handle_t *family; /* the only one; NULL: opened only to be read */
  rocksdb_options_t *options;
  rocksdb_block_based_table_options_t *table;
  rocksdb_cache_t *cache;
  rocksdb_env_t *memory; /* NULL: on disk */
  rocksdb_readoptions_t *read;
  rocksdb_writeoptions_t *write;
  rocksdb_writebatch_t *batch;
  rocksdb_writebatch_t *behind; /* what the writer writes */
  struct background *writer;
  pthread_t thread;         /* that opened the store, and writes */
  bool (*dies)(void *user); /* NULL: no failpoint */
  void *dies_user;
  /* scratch of the writing thread */
  char *key;
  const struct change **sorted;
  size_t key_capacity, sorted_capacity;
};

/* Nobody can tell what is on disk after a failed write: the table of recovery decides at the next
 * start. */
static void must(char *error, const char *what) {
  if (!error) return;
  log_error("store: %s failed: %s; the filter ends and recovers at its next start", what, error);
  _exit(EX_IOERR); /* nothing of this process is to be tidied up over a store in that state */
}

static void key_head(char *key, int32_t partition, enum section section) {
  uint32_t big = htobe32((uint32_t)partition);
  memcpy(key, &big, 4);
  key[4] = (char)section;
}

static struct str make_key(struct store *store, int32_t partition, enum section section,
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

/* ---- opening ---- */

/* Bounded memory: one cache with index and filter blocks in it, few open files, small write
 * buffers. Index and filters are in pieces: the filter of a table of millions of rows is as large
 * as a shard of the cache, and in one piece would be read from the disk for every row. */
static void configure(struct store *store, struct store_memory memory) {
  store->cache = rocksdb_cache_create_lru(memory.cache);
  store->table = rocksdb_block_based_options_create();
  rocksdb_block_based_options_set_block_cache(store->table, store->cache);
  rocksdb_block_based_options_set_cache_index_and_filter_blocks(store->table, 1);
  rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(store->table, 1);
  rocksdb_block_based_options_set_index_type(
      store->table, rocksdb_block_based_table_index_type_two_level_index_search);
  rocksdb_block_based_options_set_partition_filters(store->table, 1);
  rocksdb_block_based_options_set_metadata_block_size(store->table, METADATA_BLOCK_BYTES);
  rocksdb_block_based_options_set_pin_top_level_index_and_filter(store->table, 1);
  rocksdb_block_based_options_set_filter_policy(store->table,
                                                rocksdb_filterpolicy_create_bloom_full(10));
  store->options = rocksdb_options_create();
  rocksdb_options_set_create_if_missing(store->options, 1);
  rocksdb_options_set_block_based_table_factory(store->options, store->table);
  rocksdb_options_set_memtable_whole_key_filtering(store->options, 1);
  rocksdb_options_set_memtable_prefix_bloom_size_ratio(store->options, 0.05);
  rocksdb_options_set_write_buffer_size(
      store->options, memory.write_buffer ? memory.write_buffer : WRITE_BUFFER_BYTES);
  rocksdb_options_set_max_write_buffer_number(store->options, 2);
  rocksdb_options_set_max_open_files(store->options, 256);
  rocksdb_options_set_max_total_wal_size(store->options, (uint64_t)32 << 20);
  rocksdb_options_set_max_background_jobs(store->options, 2);
  rocksdb_options_set_keep_log_file_num(store->options, 2);
  rocksdb_options_set_stats_dump_period_sec(store->options, 0); /* nobody reads them: no thread */
  rocksdb_options_set_stats_persist_period_sec(store->options, 0);
  rocksdb_options_set_paranoid_checks(store->options, 1);
  rocksdb_options_set_allow_concurrent_memtable_write(store->options, 0); /* one thread writes */
  rocksdb_options_set_compression(store->options, rocksdb_lz4_compression);
}

/* Others do not wait for the writer: on a busy machine that would be for as long as it is not given
 * a core. */
static void see_own_writes(struct store *store) {
  if (pthread_equal(store->thread, pthread_self())) background_wait(store->writer);
}

static bool make_directories(const char *path) {
  char *copy = xstrdup(path);
  bool made = true;
  for (char *slash = strchr(copy + 1, '/');; slash = strchr(slash + 1, '/')) {
    if (slash) *slash = '\0';
    made = mkdir(copy, 0750) == 0 || errno == EEXIST;
    if (!made || !slash) break;
    *slash = '/';
  }
  free(copy);
  return made;
}

static bool check_owner(struct store *store, const char *directory, const char *owner, char *error,
                        size_t size) {
  char *failed = NULL;
  size_t length;
  char *found =
      rocksdb_get(store->db, store->read, OWNER_KEY, sizeof OWNER_KEY - 1, &length, &failed);
  must(failed, "reading the owner");
  if (!found) {
    rocksdb_put(store->db, store->write, OWNER_KEY, sizeof OWNER_KEY - 1, owner, strlen(owner),
                &failed);
    must(failed, "writing the owner");
    return true;
  }
  bool same = length == strlen(owner) && memcmp(found, owner, length) == 0;
  if (!same) {
    snprintf(error, size,
             "the state directory '%s' belongs to '%.*s', and this is '%s': give this filter a "
             "directory of its own with --state-dir",
             directory ? directory : "(memory)", (int)length, found, owner);
  }
  rocksdb_free(found);
  return same;
}

/* RocksDB counts for each thread what it does for whom it does it, in variables of the thread that
 * are dear to reach from a shared library: 4 % of a filter's time, and nobody reads them. */
static void count_nothing(void) {
  rocksdb_set_perf_level(rocksdb_disable);
}

static struct store *new_store(struct store_memory memory) {
  count_nothing();
  struct store *store = xcalloc(1, sizeof *store);
  configure(store, memory);
  store->read = rocksdb_readoptions_create();
  store->write = rocksdb_writeoptions_create();
  store->batch = rocksdb_writebatch_create();
  store->behind = rocksdb_writebatch_create();
  store->writer = background_new();
  store->thread = pthread_self();
  return store;
}

struct store *store_open(const char *directory, const char *owner, struct store_memory memory,
                         char *error, size_t size, int *exit_code) {
  if (directory && !make_directories(directory)) {
    snprintf(error, size, "cannot make the state directory '%s': %s", directory, strerror(errno));
    *exit_code = EX_CANTCREAT;
    return NULL;
  }
  struct store *store = new_store(memory);
  if (!directory) {
    store->memory = rocksdb_create_mem_env();
    rocksdb_options_set_env(store->options, store->memory);
  }
  char *failed = NULL;
  const char *family = "default";
  const rocksdb_options_t *options = store->options;
  store->db = rocksdb_open_column_families(store->options, directory ? directory : "/memory", 1,
                                           &family, &options, &store->family, &failed);
  if (failed) {
    bool locked = strstr(failed, "lock") != NULL;
    snprintf(error, size,
             locked ? "the state directory '%s' is in use by another process (%s)"
                    : "cannot open the state directory '%s': %s",
             directory, failed);
    *exit_code = locked ? EX_TEMPFAIL : EX_IOERR;
    rocksdb_free(failed);
    store_close(store);
    return NULL;
  }
  if (owner && !check_owner(store, directory, owner, error, size)) {
    *exit_code = EX_CONFIG;
    store_close(store);
    return NULL;
  }
  return store;
}

struct store *store_open_read_only(const char *directory, char *error, size_t size) {
  struct store *store = new_store((struct store_memory){.cache = READ_ONLY_CACHE_BYTES});
  rocksdb_options_set_create_if_missing(store->options, 0);
  char *failed = NULL;
  store->db = rocksdb_open_for_read_only(store->options, directory, 0, &failed);
  if (!failed) return store;
  snprintf(error, size, "cannot read the state directory '%s': %s", directory, failed);
  rocksdb_free(failed);
  store_close(store);
  return NULL;
}

static void copy_all(struct store *from, struct store *to) {
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(from->db, from->read);
  size_t collected = 0;
  for (rocksdb_iter_seek_to_first(iterator); rocksdb_iter_valid(iterator);
       rocksdb_iter_next(iterator)) {
    struct str key, value;
    key.data = rocksdb_iter_key(iterator, &key.size);
    value.data = rocksdb_iter_value(iterator, &value.size);
    rocksdb_writebatch_put(to->batch, key.data, key.size, value.data, value.size);
    if (++collected % COPY_BATCH == 0) store_write(to);
  }
  char *failed = NULL;
  rocksdb_iter_get_error(iterator, &failed);
  must(failed, "copying");
  rocksdb_iter_destroy(iterator);
  store_write(to);
}

bool store_copy(const char *from, const char *to, char *error, size_t size) {
  int code;
  struct stat status;
  if (stat(to, &status) == 0) {
    snprintf(error, size, "'%s' is there already", to);
    return false;
  }
  struct store *source = store_open_read_only(from, error, size);
  if (!source) return false;
  struct store *copy = store_open(to, NULL, (struct store_memory){.cache = READ_ONLY_CACHE_BYTES},
                                  error, size, &code);
  if (copy) copy_all(source, copy);
  store_close(copy);
  store_close(source);
  return copy != NULL;
}

void store_close(struct store *store) {
  if (!store) return;
  background_free(store->writer);
  if (store->family) rocksdb_column_family_handle_destroy(store->family);
  if (store->db) rocksdb_close(store->db);
  free(store->sorted);
  rocksdb_writebatch_destroy(store->batch);
  rocksdb_writebatch_destroy(store->behind);
  rocksdb_readoptions_destroy(store->read);
  rocksdb_writeoptions_destroy(store->write);
  rocksdb_options_destroy(store->options);
  rocksdb_block_based_options_destroy(store->table);
  rocksdb_cache_destroy(store->cache);
  if (store->memory) rocksdb_env_destroy(store->memory);
  free(store->key);
  free(store);
}

/* ---- reading ---- */

static struct str get(struct store *store, struct str key, struct arena *arena) {
  char *failed = NULL;
  see_own_writes(store);
  rocksdb_pinnableslice_t *slice =
      rocksdb_get_pinned(store->db, store->read, key.data, key.size, &failed);
  must(failed, "reading");
  if (!slice) return (struct str){0};
  struct str value;
  value.data = rocksdb_pinnableslice_value(slice, &value.size);
  struct str copy = arena_copy(arena, value);
  rocksdb_pinnableslice_destroy(slice);
  return copy;
}

struct str store_get(struct store *store, int32_t partition, struct str key, struct arena *arena) {
  char *full =
      arena_alloc(arena, KEY_HEAD + key.size); /* not the scratch key: any thread may read */
  key_head(full, partition, SECTION_ROW);
  memcpy(full + KEY_HEAD, key.data, key.size);
  return get(store, (struct str){full, KEY_HEAD + key.size}, arena);
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
  for (size_t i = 0; i < count; i++) {
    struct str value = {0};
    must(errors[i], "reading");
    if (values[i]) value.data = rocksdb_pinnableslice_value(values[i], &value.size);
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

void store_scan(struct store *store, int32_t partition, struct str prefix, struct str after,
                bool (*visit)(void *, struct str, struct str), void *user) {
  struct str from = after.data ? after : prefix;
  char *start = xmalloc(KEY_HEAD + from.size + 1);
  key_head(start, partition, SECTION_ROW);
  memcpy(start + KEY_HEAD, from.data, from.size);
  see_own_writes(store);
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(store->db, store->read);
  for (rocksdb_iter_seek(iterator, start, KEY_HEAD + from.size); rocksdb_iter_valid(iterator);
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
  char *failed = NULL;
  rocksdb_iter_get_error(iterator, &failed);
  must(failed, "scanning");
  rocksdb_iter_destroy(iterator);
  free(start);
}

/* Numbers stand one after another, each 8 bytes little-endian, behind a byte of format. */
static void append(char **at, const void *data, size_t size) {
  memcpy(*at, data, size);
  *at += size;
}

struct reader {
  const char *at, *end;
};

static struct str take_bytes(struct reader *reader, size_t size) {
  if ((size_t)(reader->end - reader->at) < size) {
    log_error(
        "store: a record of the store ends too early: the state directory is damaged; remove it, "
        "it is rebuilt from the changelog");
    _exit(EX_DATAERR);
  }
  struct str bytes = {reader->at, size};
  reader->at += size;
  return bytes;
}

static void take(struct reader *reader, void *out, size_t size) {
  memcpy(out, take_bytes(reader, size).data, size);
}

static void take_format(struct reader *reader, const char *what) {
  char format;
  take(reader, &format, 1);
  if (format == FORMAT_VERSION) return;
  log_error(
      "store: the %s has format %d, and this version reads %d: remove the state directory, it is "
      "rebuilt from the changelog",
      what, format, FORMAT_VERSION);
  _exit(EX_CONFIG);
}

bool store_meta(struct store *store, int32_t partition, struct store_meta *out) {
  struct arena arena = {0};
  struct str bytes = get(store, make_key(store, partition, SECTION_META, STR("")), &arena);
  if (bytes.data) {
    struct reader reader = {bytes.data, bytes.data + bytes.size};
    char rebuilding;
    take_format(&reader, "meta record");
    take(&reader, &out->epoch, 8);
    take(&reader, &out->next_input, 8);
    take(&reader, &out->next_changelog, 8);
    take(&reader, &out->written_at, 8);
    take(&reader, &rebuilding, 1);
    out->rebuilding = rebuilding != 0;
  }
  bool found = bytes.data != NULL;
  arena_free(&arena);
  return found;
}

bool store_intent(struct store *store, int32_t partition, struct arena *arena, struct intent *out) {
  struct str bytes = get(store, make_key(store, partition, SECTION_INTENT, STR("")), arena);
  if (!bytes.data) return false;
  struct reader reader = {bytes.data, bytes.data + bytes.size};
  uint64_t count;
  take_format(&reader, "intent");
  take(&reader, out->id, sizeof out->id);
  take(&reader, &out->epoch, 8);
  take(&reader, &out->next_input, 8);
  take(&reader, &out->last_changelog, 8);
  take(&reader, &count, 8);
  struct change *changes = arena_alloc(arena, count * sizeof *changes);
  for (uint64_t i = 0; i < count; i++) {
    uint32_t key_size, value_size;
    take(&reader, &key_size, 4);
    take(&reader, &value_size, 4);
    take(&reader, &changes[i].due_at, 8);
    changes[i].key = take_bytes(&reader, key_size);
    changes[i].value = value_size == UINT32_MAX ? (struct str){0} : take_bytes(&reader, value_size);
  }
  out->changes = changes;
  out->change_count = count;
  return true;
}

int64_t store_due(struct store *store, int32_t partition, int64_t from, int64_t now,
                  bool (*visit)(void *, struct str, int64_t), void *user) {
  int64_t next = INT64_MAX;
  see_own_writes(store);
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(store->db, store->read);
  struct str start = due_key(store, partition, STR(""), from);
  char head[KEY_HEAD];
  memcpy(head, start.data, KEY_HEAD);
  for (rocksdb_iter_seek(iterator, start.data, start.size); rocksdb_iter_valid(iterator);
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
  rocksdb_iter_destroy(iterator);
  return next;
}

/* ---- writing ---- */

void store_set_failpoint(struct store *store, bool (*dies)(void *), void *user) {
  store->dies = dies;
  store->dies_user = user;
  rocksdb_writebatch_clear(store->batch);
}

void store_put_intent(struct store *store, int32_t partition, const struct intent *intent) {
  size_t size = 1 + sizeof intent->id + 4 * 8;
  for (size_t i = 0; i < intent->change_count; i++)
    size += 16 + intent->changes[i].key.size + intent->changes[i].value.size;
  char *bytes = xmalloc(size), *at = bytes;
  char format = FORMAT_VERSION;
  uint64_t count = intent->change_count;
  append(&at, &format, 1);
  append(&at, intent->id, sizeof intent->id);
  append(&at, &intent->epoch, 8);
  append(&at, &intent->next_input, 8);
  append(&at, &intent->last_changelog, 8);
  append(&at, &count, 8);
  for (size_t i = 0; i < intent->change_count; i++) {
    const struct change *change = &intent->changes[i];
    uint32_t key_size = (uint32_t)change->key.size,
             value_size = change->value.data ? (uint32_t)change->value.size : UINT32_MAX;
    append(&at, &key_size, 4);
    append(&at, &value_size, 4);
    append(&at, &change->due_at, 8);
    append(&at, change->key.data, change->key.size);
    if (change->value.data) append(&at, change->value.data, change->value.size);
  }
  struct str key = make_key(store, partition, SECTION_INTENT, STR(""));
  rocksdb_writebatch_put(store->batch, key.data, key.size, bytes, size);
  free(bytes);
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
    struct str key = make_key(store, partition, SECTION_ROW, change->key);
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

void store_put_meta(struct store *store, int32_t partition, const struct store_meta *meta) {
  char bytes[1 + 4 * 8 + 1], *at = bytes;
  char format = FORMAT_VERSION, rebuilding = meta->rebuilding;
  append(&at, &format, 1);
  append(&at, &meta->epoch, 8);
  append(&at, &meta->next_input, 8);
  append(&at, &meta->next_changelog, 8);
  append(&at, &meta->written_at, 8);
  append(&at, &rebuilding, 1);
  struct str key = make_key(store, partition, SECTION_META, STR(""));
  rocksdb_writebatch_put(store->batch, key.data, key.size, bytes, sizeof bytes);
  store_drop_intent(store, partition);
}

void store_drop_intent(struct store *store, int32_t partition) {
  struct str key = make_key(store, partition, SECTION_INTENT, STR(""));
  rocksdb_writebatch_delete(store->batch, key.data, key.size);
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

/* True if a failpoint says that what was collected never reaches the disk. */
static bool dies(struct store *store) {
  if (!store->dies || !store->dies(store->dies_user)) return false;
  rocksdb_writebatch_clear(store->batch);
  return true;
}

static void write_batch(struct store *store, rocksdb_writebatch_t *batch) {
  char *failed = NULL;
  rocksdb_write(store->db, store->write, batch, &failed);
  must(failed, "writing");
  rocksdb_writebatch_clear(batch);
}

void store_write(struct store *store) {
  see_own_writes(store);
  if (!dies(store)) write_batch(store, store->batch);
}

static void write_behind(void *user) {
  struct store *store = user;
  count_nothing();
  write_batch(store, store->behind);
}

void store_write_behind(struct store *store) {
  see_own_writes(store);
  if (dies(store)) return;
  rocksdb_writebatch_t *collected = store->batch;
  store->batch = store->behind;
  store->behind = collected;
  background_run(store->writer, write_behind, store);
}
