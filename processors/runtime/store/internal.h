/* Shared by the files of the store: open.c opens and copies it, store.c reads and writes rows,
 * intent.c has the bytes of meta records and intents. */
#ifndef HOLDFAST_STORE_INTERNAL_H
#define HOLDFAST_STORE_INTERNAL_H

#include <pthread.h>
#include <rocksdb/c.h>

#include "runtime/store/store.h"

/* Keys: partition (4 bytes, big-endian), one of these, and the rest. */
enum section { SECTION_DUE = 'd', SECTION_INTENT = 'i', SECTION_META = 'm', SECTION_ROW = 'r' };

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
  rocksdb_writebatch_t *behind; /* the batch that the writer writes */
  struct background *writer;
  pthread_t thread; /* the thread that opened the store, and writes */
  struct store_failpoint failpoint;
  /* scratch of the writing thread */
  char *key;
  const struct change **sorted;
  size_t key_capacity, sorted_capacity;
};

/* Ends the process if RocksDB said an error: nobody can tell what is on disk after a failed write,
 * and the table of recovery decides at the next start. */
void store_must(char *error, const char *what);

/* Switches RocksDB's counters of the calling thread off. They are variables of the thread, dear to
 * reach from a shared library: 4 % of a filter's time, and nobody reads them. */
void store_count_nothing(void);

/* ---- store.c ---- */

/* In the scratch of the writing thread, until the next key. */
struct str store_key(struct store *store, int32_t partition, enum section section, struct str rest);
struct str store_get_by_key(struct store *store, struct str key, struct arena *arena);

#endif
