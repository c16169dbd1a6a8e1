#include "audit_stores.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sysexits.h>

#include "fold.h"
#include "runtime/contract/processors.h"
#include "runtime/store/store.h"

#define CACHE_BYTES ((size_t)32 << 20)

/* One partition of one store. */
struct comparison {
  const struct processor *processor;
  const char *name; /* of the folder */
  struct store *store, *fold;
  int32_t partition;
  struct store_meta meta;
  int64_t rows, folded;
  bool equal;
  void (*report)(void *user, const struct audit_violation *violation);
  void *user;
};

static const char *changelog_of(const struct processor *processor) {
  return processor->input_is_changelog ? processor->input : processor->changelog;
}

static void differs(struct comparison *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void differs(struct comparison *c, const char *format, ...) {
  struct audit_violation violation = {
      .rule = RULE_STORE_DIFFERS, .subject = str_of(c->name), .topic = -1, .offset = -1};
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(violation.text, sizeof violation.text, format, arguments);
  va_end(arguments);
  c->report(c->user, &violation);
  c->equal = false;
}

/* Keys have NULs between their parts. */
static const char *readable(struct str key) {
  static char text[200];
  size_t size = key.size < sizeof text - 1 ? key.size : sizeof text - 1;
  for (size_t i = 0; i < size; i++) text[i] = key.data[i] ? key.data[i] : '/';
  text[size] = '\0';
  return text;
}

static bool count_row(void *user, struct str key, struct str value) {
  (void)key;
  (void)value;
  ++*(int64_t *)user;
  return true;
}

static bool compare_row(void *user, struct str key, struct str value) {
  struct comparison *c = user;
  struct arena arena = {0};
  c->rows++;
  struct str folded = store_get(c->fold, 0, key, &arena);
  if (!folded.data)
    differs(c, "partition %" PRId32 " has a row '%s' that %s does not have", c->partition,
            readable(key), changelog_of(c->processor));
  else if (!str_equal(folded, value))
    differs(c, "partition %" PRId32 ": the row '%s' is not the last value of %s", c->partition,
            readable(key), changelog_of(c->processor));
  arena_free(&arena);
  return c->equal; /* one difference is enough to look at */
}

static void compare(struct comparison *c) {
  c->equal = true;
  c->rows = c->folded = 0;
  store_scan(c->store, c->partition, STR(""), (struct str){0}, compare_row, c);
  if (!c->equal) return;
  store_scan(c->fold, 0, STR(""), (struct str){0}, count_row, &c->folded);
  if (c->rows != c->folded)
    differs(c,
            "partition %" PRId32 " has %" PRId64 " rows, and %s up to offset %" PRId64
            " has %" PRId64,
            c->partition, c->rows, changelog_of(c->processor), c->meta.next_changelog, c->folded);
}

/* Folders are <filter>-<slot>, a standby's <filter>-<slot>-standby. */
static const struct processor *filter_of(const char *folder) {
  for (const struct processor *const *p = all_processors; *p; p++) {
    size_t size = strlen((*p)->name);
    if (strncmp(folder, (*p)->name, size) == 0 && folder[size] == '-' &&
        isdigit((unsigned char)folder[size + 1]))
      return (*p)->rows ? *p : NULL;
  }
  return NULL;
}

static bool compare_store(struct comparison *c, const char *path, const char *spill,
                          const struct options *options, struct failure *failure) {
  char error[400], fold[400];
  int code;
  snprintf(fold, sizeof fold, "%s/fold", spill);
  c->store = store_open_read_only(path, error, sizeof error);
  if (!c->store) {
    failure->exit_code = EX_IOERR;
    snprintf(failure->text, sizeof failure->text, "%s", error);
    return false;
  }
  c->fold = store_open(fold, "audit", (struct store_memory){.cache = CACHE_BYTES}, error,
                       sizeof error, &code);
  bool fine = c->fold != NULL, equal = true;
  for (int32_t p = 0; fine && p < AUDIT_PARTITIONS_MAX; p++) {
    c->partition = p;
    if (!store_meta(c->store, p, &c->meta) || c->meta.rebuilding) continue;
    store_wipe(c->fold, 0);
    fine = fold_topic(options, changelog_of(c->processor), p, c->meta.next_changelog, c->fold, 0,
                      failure);
    if (fine) compare(c);
    equal &= c->equal;
  }
  store_close(c->fold);
  store_close(c->store);
  c->equal = equal;
  return fine;
}

bool audit_stores(const struct options *options, const char *directory, const char *spill,
                  void (*report)(void *, const struct audit_violation *), void *user,
                  int64_t *compared, struct failure *failure) {
  DIR *folder = opendir(directory);
  bool fine = folder != NULL;
  if (!folder) snprintf(failure->text, sizeof failure->text, "cannot read '%s'", directory);
  for (struct dirent *entry; fine && (entry = readdir(folder));) {
    struct comparison c = {.processor = filter_of(entry->d_name),
                           .name = entry->d_name,
                           .report = report,
                           .user = user};
    char path[600];
    if (!c.processor) continue;
    snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
    fine = compare_store(&c, path, spill, options, failure);
    *compared += fine && c.equal;
  }
  if (folder) closedir(folder);
  return fine;
}
