#include "provider_books.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define PAGE_DEFAULT 1000
#define PAGE_MAX 10000

void books_begin(struct books *books) {
  *books = (struct books){.known = json_object(), .entries = json_array(), .file = -1};
}

void books_end(struct books *books) {
  json_decref(books->known);
  json_decref(books->entries);
}

/* ---- entries ---- */

static const char *text_of(const json_t *entry, const char *field) {
  return json_string_value(json_object_get(entry, field));
}

static void path_of(const json_t *entry, char path[PATH_SIZE_MAX]) {
  snprintf(path, PATH_SIZE_MAX, "/%ss/%s", text_of(entry, "kind"), text_of(entry, "key"));
}

bool books_is_charge(const char *path) {
  return strncmp(path, "/charges/", 9) == 0;
}

json_t *books_find(const struct books *books, const char *path) {
  return json_object_get(books->known, path);
}

/* Takes the reference. */
static void add_entry(struct books *books, json_t *entry) {
  char path[PATH_SIZE_MAX];
  path_of(entry, path);
  json_object_set(books->known, path, entry);
  json_array_append_new(books->entries, entry);
}

static void count(struct books *books, const json_t *entry) {
  bool charge = strcmp(text_of(entry, "kind"), "charge") == 0;
  bool declined = strcmp(text_of(entry, "status"), "declined") == 0;
  *(declined ? &books->declined : charge ? &books->charges : &books->refunds) += 1;
}

/* ---- on disk ---- */

/* Before anybody is answered: a death after it destroys no evidence. */
static void write_down(const struct books *books, const json_t *entry) {
  if (books->file < 0) return;
  char *text = json_dumps(entry, JSON_COMPACT);
  size_t size = strlen(text);
  text[size++] = '\n'; /* in the place of its NUL: one write, so that no other's lies within it */
  if (write(books->file, text, size) != (ssize_t)size) {
    perror("provider-simulator: the books cannot be written");
    _exit(EX_IOERR);
  }
  free(text);
}

static bool read_entry(struct books *books, const char *line) {
  json_t *entry = json_loads(line, 0, NULL);
  if (!text_of(entry, "key") || !text_of(entry, "kind") || !text_of(entry, "status")) {
    json_decref(entry);
    return false;
  }
  char path[PATH_SIZE_MAX];
  path_of(entry, path);
  json_t *known = books_find(books, path);
  if (known) {
    json_object_update(known, entry);
    json_decref(entry);
  } else {
    add_entry(books, entry);
  }
  return true;
}

static void count_all(struct books *books) {
  size_t index;
  json_t *entry;
  json_array_foreach(books->entries, index, entry) {
    long calls = (long)json_integer_value(json_object_get(entry, "calls"));
    count(books, entry);
    books->repeated += calls - 1;
    books->calls += calls;
  }
}

/* The last line has no end if the process died in it: nobody was answered for it. */
int books_open(struct books *books, const char *path) {
  FILE *file = fopen(path, "a+");
  if (!file) return perror(path), EX_CANTCREAT;
  char *line = NULL;
  size_t capacity = 0;
  off_t whole = 0;
  rewind(file);
  for (ssize_t size; (size = getline(&line, &capacity, file)) > 0 && line[size - 1] == '\n';) {
    whole += size;
    if (!read_entry(books, line))
      return fprintf(stderr, "provider-simulator: %s has a line that is no entry: %s", path, line),
             EX_DATAERR;
  }
  free(line);
  fclose(file);
  count_all(books);
  books->file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
  if (books->file < 0 || ftruncate(books->file, whole) != 0) return perror(path), EX_CANTCREAT;
  return EX_OK;
}

/* ---- answers ---- */

json_t *books_enter(struct books *books, const char *path, const json_t *body, bool declined) {
  json_t *entry = json_pack("{s:s,s:s,s:O,s:s?,s:s,s:i}", "key", path + strlen("/charges/"), "kind",
                            books_is_charge(path) ? "charge" : "refund", "amount",
                            json_object_get(body, "amount"), "customer", text_of(body, "customer"),
                            "status", declined ? "declined" : "approved", "calls", 1);
  add_entry(books, entry);
  count(books, entry);
  write_down(books, entry);
  return json_deep_copy(entry);
}

json_t *books_repeat(struct books *books, json_t *entry, const json_t *body) {
  if (!json_equal(json_object_get(entry, "amount"), json_object_get(body, "amount"))) return NULL;
  json_int_t calls = json_integer_value(json_object_get(entry, "calls"));
  json_object_set_new(entry, "calls", json_integer(calls + 1));
  books->repeated++;
  write_down(books, entry);
  return json_deep_copy(entry);
}

json_t *books_page(const struct books *books, const char *after, const char *limit) {
  char *end = NULL;
  unsigned long from = after ? strtoul(after, &end, 10) : 0, most = PAGE_DEFAULT;
  size_t all = json_array_size(books->entries);
  if ((after && *end) || from > all) return NULL; /* an empty one is the beginning's */
  if (limit) most = strtoul(limit, NULL, 10);
  if (most < 1 || most > PAGE_MAX) most = PAGE_MAX;
  json_t *entries = json_array();
  unsigned long to = from;
  for (; to < all && to - from < most; to++)
    json_array_append_new(entries, json_deep_copy(json_array_get(books->entries, to)));
  char next[32];
  snprintf(next, sizeof next, "%lu", to);
  return json_pack("{s:o,s:s,s:b}", "charges", entries, "next", next, "more", to < all);
}
