/* The rows, as they are kept by their keys: staged in memory, spilled to the store. */
#include "auditor/internal.h"
#include "runtime/store/store.h"

#define FLUSH_CHANGES 20000

struct str audit_key(struct auditor *auditor, enum audit_row kind, const struct str *parts,
                     size_t count) {
  size_t size = 1;
  for (size_t i = 0; i < count; i++) size += parts[i].size + 1;
  char *key = arena_alloc(&auditor->scratch, size), *at = key;
  *at++ = (char)kind;
  for (size_t i = 0; i < count; i++) {
    if (parts[i].size) memcpy(at, parts[i].data, parts[i].size);
    at += parts[i].size;
    *at++ = '\0';
  }
  return (struct str){key, size};
}

size_t audit_load(struct auditor *auditor, struct str key, void *out, size_t size) {
  const struct staged *staged = staging_find(&auditor->staging, 0, 0, key);
  struct str bytes =
      staged ? staged->change.value : store_get(auditor->store, 0, key, &auditor->scratch);
  memset(out, 0, size);
  if (!bytes.data) return 0;
  memcpy(out, bytes.data, bytes.size < size ? bytes.size : size);
  return bytes.size;
}

static void stage(struct auditor *auditor, struct str key, struct str value) {
  const struct change change = {.key = arena_copy(&auditor->arena, key), .value = value};
  staging_put(&auditor->staging, 0, 0, &change, 0);
}

void audit_save(struct auditor *auditor, struct str key, const void *row, size_t size) {
  stage(auditor, key, arena_copy(&auditor->arena, (struct str){row, size}));
}

void audit_drop(struct auditor *auditor, struct str key) {
  stage(auditor, key, (struct str){0});
}

void audit_flush(struct auditor *auditor) {
  for (size_t i = 0; i < auditor->staging.count; i++)
    store_put_changes(auditor->store, 0, &auditor->staging.entries[i].change, 1);
  store_write(auditor->store);
  staging_clear(&auditor->staging);
  arena_reset(&auditor->arena);
}

void audit_after_record(struct auditor *auditor) {
  arena_reset(&auditor->scratch);
  if (auditor->staging.count >= FLUSH_CHANGES) audit_flush(auditor);
}
