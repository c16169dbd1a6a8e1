/* The store between its opening (store_open.c) and its use (store.c). */
#ifndef HOLDFAST_STORE_INTERNAL_H
#define HOLDFAST_STORE_INTERNAL_H

#include <pthread.h>
#include <rocksdb/c.h>

#include "runtime/store/store.h"

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
  pthread_t thread; /* that opened the store, and writes */
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

#endif
