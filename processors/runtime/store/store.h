/* The local store of a filter: RocksDB with one column family, its keys prefixed by input
 * partition. Beside its rows a partition has one meta record, at most one intent, and an index of
 * its due rows.
 *
 * Every write goes to the WAL and is not synced: kill -9 loses nothing, and after a power loss the
 * changelog brings it forward. A write that fails ends the process, since nobody can tell what is
 * on disk then; so does a read, since an error is no answer to whether a row is there. Reads may
 * come from any thread, writes from the one that opened the store. */
#ifndef HOLDFAST_STORE_STORE_H
#define HOLDFAST_STORE_STORE_H

#include "runtime/base/arena.h"

struct store;

struct store_meta {
  int64_t epoch;          /* of the group's offsets; a reset raises it */
  int64_t next_input;     /* offset of the next input record */
  int64_t next_changelog; /* position in the changelog: all before it is in the rows */
  int64_t written_at;     /* milliseconds since 1970 */
  bool rebuilding;        /* the rows are not all there: a rebuild has not ended */
};

/* A change of one row. */
struct change {
  struct str key;
  struct str value; /* data NULL: the row goes */
  int64_t due_at;   /* 0: not due. Milliseconds since 1970 */
};

struct intent {
  char id[40]; /* process and counter, ended by a NUL */
  int64_t epoch, next_input, last_changelog;
  const struct change *changes;
  size_t change_count;
};

/* Bytes. write_buffer: collected before it becomes a file, two of them at most; 0: 8 MiB. */
struct store_memory {
  size_t cache, write_buffer;
};

/* An opened store, or NULL with a sentence in error (size bytes). directory NULL: in memory. Its
 * owner (filter, cluster) is written at the first opening; another owner is refused. owner NULL:
 * any. *exit_code is set with the error. */
struct store *store_open(const char *directory, const char *owner, struct store_memory memory,
                         char *error, size_t size, int *exit_code);
void store_close(struct store *store);

/* A copy of a store as it stands, also while its filter runs, in a new directory. False with a
 * sentence in error. */
bool store_copy(const char *from, const char *to, char *error, size_t size);

/* A store of whatever filter, as it stands, also while that runs. NULL with a sentence in error. */
struct store *store_open_read_only(const char *directory, char *error, size_t size);

/* The row's bytes in the arena, or data NULL. */
struct str store_get(struct store *store, int32_t partition, struct str key, struct arena *arena);

/* Calls each row whose key starts with prefix and lies after `after` (data NULL: from the first),
 * in key order, until visit returns false. Key and value are only valid during the call. */
void store_scan(struct store *store, int32_t partition, struct str prefix, struct str after,
                bool (*visit)(void *user, struct str key, struct str value), void *user);

/* False: the partition has never been here */
bool store_meta(struct store *store, int32_t partition, struct store_meta *out);
bool store_intent(struct store *store, int32_t partition, struct arena *arena, struct intent *out);

struct store_place {
  int32_t partition;
  struct str key;
};

/* Gives the value of each place (data NULL: there is none) to take() with its number, in their
 * order, which is that of (partition, key), without repeats: so a file's filter, index and blocks
 * are looked at once for many keys. bytes are valid until take() returns. Not for a store that was
 * opened read-only, and only for the thread that writes. */
void store_get_many(struct store *store, const struct store_place *places, size_t count,
                    void (*take)(void *user, size_t number, struct str bytes), void *user);

/* Calls each index entry with from <= due_at <= now, oldest first, until visit returns false.
 * Returns the due time of the first entry not visited, or INT64_MAX. An entry can be stale: the row
 * says what is true. If no entry lies before it, from spares the way over entries that were dropped
 * since the last compaction. */
int64_t store_due(struct store *store, int32_t partition, int64_t from, int64_t now,
                  bool (*visit)(void *user, struct str key, int64_t due_at), void *user);

/* The fate of a write. After an error nobody can tell whether its bytes are there. */
enum store_fate {
  STORE_WRITES,
  STORE_DIES,         /* the process died before it */
  STORE_FAILS_BEFORE, /* the disk says an error, and has nothing of it */
  STORE_FAILS_AFTER   /* the disk says an error, and has all of it */
};

/* For tests of a death at any write, and of a disk that fails at any write or read. */
struct store_failpoint {
  enum store_fate (*fate)(void *user); /* asked before every write; NULL: all are made */
  bool (*read_fails)(void *user);      /* asked at every read; NULL: none does */
  void (*ends)(void *user); /* instead of the process's end by an error: it goes on, dead */
  void *user;
};

/* Copied; NULL: none. Writes that were collected and not made are forgotten. */
void store_set_failpoint(struct store *store, const struct store_failpoint *failpoint);

/* Writes: collected, then applied as one, in their order. */
void store_put_intent(struct store *store, int32_t partition, const struct intent *intent);
void store_put_changes(struct store *store, int32_t partition, const struct change *changes,
                       size_t count);
/* And removes the intent */
void store_put_meta(struct store *store, int32_t partition, const struct store_meta *meta);
void store_drop_intent(struct store *store, int32_t partition);
void store_drop_due(struct store *store, int32_t partition, struct str key, int64_t due_at);
void store_wipe(struct store *store, int32_t partition); /* everything of the partition */
void store_write(struct store *store);

/* As store_write, but by a thread of the store, beside what the caller does next. The thread that
 * opened the store waits for it in whatever it reads or writes after that; others see it once it is
 * done. A death before that is one before the write. */
void store_write_behind(struct store *store);

#endif
