/* The meta record of a partition and its intent, as bytes. */
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "runtime/base/report.h"
#include "runtime/store/internal.h"

#define FORMAT_VERSION 1

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
    report_error(
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
  report_error(
      "store: the %s has format %d, and this version reads %d: remove the state directory, it is "
      "rebuilt from the changelog",
      what, format, FORMAT_VERSION);
  _exit(EX_CONFIG);
}

bool store_meta(struct store *store, int32_t partition, struct store_meta *out) {
  struct arena arena = {0};
  struct str bytes =
      store_get_by_key(store, store_key(store, partition, SECTION_META, STR("")), &arena);
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
  struct str bytes =
      store_get_by_key(store, store_key(store, partition, SECTION_INTENT, STR("")), arena);
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
  struct str key = store_key(store, partition, SECTION_INTENT, STR(""));
  rocksdb_writebatch_put(store->batch, key.data, key.size, bytes, size);
  free(bytes);
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
  struct str key = store_key(store, partition, SECTION_META, STR(""));
  rocksdb_writebatch_put(store->batch, key.data, key.size, bytes, sizeof bytes);
  store_drop_intent(store, partition);
}

void store_drop_intent(struct store *store, int32_t partition) {
  struct str key = store_key(store, partition, SECTION_INTENT, STR(""));
  rocksdb_writebatch_delete(store->batch, key.data, key.size);
}
