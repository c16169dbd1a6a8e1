/* Opening, settings and closing of the store. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "runtime/base/background.h"
#include "runtime/store/internal.h"

#define OWNER_KEY "\xff\xff\xff\xffowner"
#define READ_ONLY_CACHE_BYTES ((size_t)8 << 20)
#define COPY_BATCH 1000
#define WRITE_BUFFER_BYTES ((size_t)8 << 20)
#define METADATA_BLOCK_BYTES ((uint64_t)32 << 10)
#define SORTED_RUNS 8 /* each has a filter to be asked; fewer are merged more often */

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
  /* A new row's key may lie anywhere. By levels, each few flushes were merged with most of the rows
   * there are; now files are merged with others of about their size, once there are so many. */
  rocksdb_options_set_compaction_style(store->options, rocksdb_universal_compaction);
  rocksdb_options_set_level0_file_num_compaction_trigger(store->options, SORTED_RUNS);
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
  store_must(failed, "reading the owner");
  if (!found) {
    rocksdb_put(store->db, store->write, OWNER_KEY, sizeof OWNER_KEY - 1, owner, strlen(owner),
                &failed);
    store_must(failed, "writing the owner");
    return true;
  }
  bool same = length == strlen(owner) && memcmp(found, owner, length) == 0;
  if (!same) {
    snprintf(error, size,
             "the state directory '%s' belongs to '%.*s', and this is '%s': see --brokers and "
             "--prefix, or give an empty one with --state-dir, which the changelog fills",
             directory ? directory : "(memory)", (int)length, found, owner);
  }
  rocksdb_free(found);
  return same;
}

static struct store *new_store(struct store_memory memory) {
  store_count_nothing();
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
  store_must(failed, "copying");
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
