#include "audit_provider.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "runtime/record/binary.h"
#include "runtime/record/line.h"
#include "view_client.h"

#define COLUMNS_MAX 64
#define KEY_MAX 1024

enum column { COLUMN_KEY, COLUMN_KIND, COLUMN_AMOUNT, COLUMN_STATUS, COLUMNS };
static const char *const columns[COLUMNS] = {"key", "kind", "amount", "status"};

/* NULL: the entry is taken; else what is wrong with it. */
static const char *take_entry(struct auditor *auditor, const char *key, const char *kind,
                              int64_t amount, const char *status) {
  if (!key || !*key) return "an entry without a key";
  if (strlen(key) > KEY_MAX) return "a key of more than 1 KiB, which is none of Holdfast's";
  bool refund = kind && strcmp(kind, "refund") == 0;
  if (!refund && (!kind || strcmp(kind, "charge") != 0)) return "a kind but charge and refund";
  if (!status) return "an entry without a status";
  auditor_book(auditor, &(struct audit_book){.key = str_of(key),
                                             .refund = refund,
                                             .approved = strcmp(status, "approved") == 0,
                                             .amount = amount});
  return NULL;
}

/* ---- pages over HTTP ---- */

static const char *take_page(struct provider_books *books, struct auditor *auditor,
                             const json_t *page, bool *more) {
  const json_t *entries = json_object_get(page, "charges"), *entry;
  const char *next = json_string_value(json_object_get(page, "next")), *wrong = NULL;
  size_t index;
  if (!json_is_array(entries) || !next) return "no page with 'charges' and 'next'";
  if (strlen(next) >= sizeof books->cursor) return "a cursor that is too long";
  json_array_foreach(entries, index, entry) {
    const json_t *amount = json_object_get(entry, "amount");
    if (!json_is_integer(amount)) return "an amount that is no whole number";
    wrong =
        take_entry(auditor, json_string_value(json_object_get(entry, "key")),
                   json_string_value(json_object_get(entry, "kind")), json_integer_value(amount),
                   json_string_value(json_object_get(entry, "status")));
    if (wrong) return wrong;
  }
  *more = json_is_true(json_object_get(page, "more"));
  if (*more && strcmp(next, books->cursor) == 0) return "a page that is followed by itself";
  snprintf(books->cursor, sizeof books->cursor, "%s", next);
  return NULL;
}

static bool read_pages(struct provider_books *books, struct auditor *auditor,
                       struct failure *failure) {
  static const struct view_thing charges = {"charges", "provider", "/charges?after=%s"};
  for (bool more = true; more;) {
    char error[512];
    long status = 0;
    json_t *page = view_ask(books->url, &charges, books->cursor, &status, error);
    if (!page) return failure_set(failure, EX_UNAVAILABLE, "%s", error);
    const char *wrong = NULL;
    if (status == 200) wrong = take_page(books, auditor, page, &more);
    json_decref(page);
    if (status == 200 && !wrong) continue;
    const char *cursor = books->cursor;
    return wrong ? failure_set(failure, EX_UNAVAILABLE,
                               "the provider answers GET /charges?after=%s with %s", cursor, wrong)
                 : failure_set(failure, EX_UNAVAILABLE,
                               "the provider answers GET /charges?after=%s with status %ld: can it "
                               "list its books? --provider-csv takes an export",
                               cursor, status);
  }
  auditor_books_read(auditor, INT64_MAX);
  return true;
}

/* ---- a CSV export (RFC 4180; a record is a line, in UTF-8) ---- */

/* The quoted field that begins at that quote, taken out of its quotes in its own memory. Returns
 * what is behind its last quote; NULL: it does not end. */
static char *unquote(char *at) {
  char *to = at++;
  while (*at && (*at != '"' || at[1] == '"')) {
    at += *at == '"'; /* "" is one quote */
    *to++ = *at++;
  }
  if (!*at) return NULL;
  *to = '\0';
  return at + 1;
}

/* Cuts a line into fields, in its own memory. Returns their number; 0: a quote does not end or is
 * followed by more of its field, or there are too many. */
static size_t cut_line(char *line, char **fields) {
  line[strcspn(line, "\r\n")] = '\0';
  char *at = line;
  for (size_t count = 0; count < COLUMNS_MAX; at++) {
    fields[count++] = at;
    at = *at == '"' ? unquote(at) : at + strcspn(at, ",");
    if (!at || (*at && *at != ',')) return 0;
    if (!*at) return count;
    *at = '\0';
  }
  return 0;
}

static const char *find_columns(char **fields, size_t count, size_t *places) {
  for (int column = 0; column < COLUMNS; column++) {
    places[column] = 0;
    while (places[column] < count && strcmp(fields[places[column]], columns[column]) != 0)
      places[column]++;
    if (places[column] == count)
      return "no head that names the columns key, kind, amount and status";
  }
  return NULL;
}

static const char *take_line(struct auditor *auditor, char **fields, size_t count,
                             const size_t *places) {
  for (int column = 0; column < COLUMNS; column++) {
    if (places[column] >= count) return "fewer fields than the head";
  }
  const char *text = fields[places[COLUMN_AMOUNT]];
  char *end;
  errno = 0;
  long long amount = strtoll(text, &end, 10);
  if (end == text || *end || errno) return "an amount that is no whole number";
  return take_entry(auditor, fields[places[COLUMN_KEY]], fields[places[COLUMN_KIND]], amount,
                    fields[places[COLUMN_STATUS]]);
}

static const char *cut_text(struct str text, bool too_long, char **fields, size_t *count) {
  if (too_long) return "more than 1 MiB, which is no line of an export";
  if (memchr(text.data, '\0', text.size)) return "a NUL byte: save the export as UTF-8";
  if (!utf8_valid(text)) return "bytes that are not UTF-8: save the export as UTF-8";
  *count = cut_line((char *)(uintptr_t)text.data, fields);
  return *count ? NULL : "a line that is no CSV";
}

const char *provider_csv_read(FILE *file, struct auditor *auditor, int64_t *number) {
  char *buffer = NULL, *fields[COLUMNS_MAX];
  size_t capacity = 0, count, places[COLUMNS];
  const char *wrong = NULL;
  struct str text;
  bool too_long;
  for (*number = 0; !wrong && line_read(file, &buffer, &capacity, &text, &too_long);) {
    if (++*number > 1 && strspn(buffer, "\r") == text.size) continue;
    wrong = cut_text(text, too_long, fields, &count);
    if (wrong) break;
    wrong = *number == 1 ? find_columns(fields, count, places)
                         : take_line(auditor, fields, count, places);
  }
  free(buffer);
  if (*number) return wrong;
  *number = 1;
  return "no head that names the columns";
}

static bool read_csv(struct provider_books *books, struct auditor *auditor,
                     struct failure *failure) {
  FILE *file = fopen(books->csv, "r");
  struct stat about;
  if (!file || fstat(fileno(file), &about) != 0) {
    int reason = errno;
    if (file) fclose(file);
    return failure_set(failure, EX_NOINPUT, "'%s' cannot be read: %s", books->csv,
                       strerror(reason));
  }
  int64_t number;
  const char *wrong = provider_csv_read(file, auditor, &number);
  bool failed = ferror(file);
  fclose(file);
  if (failed) return failure_set(failure, EX_IOERR, "'%s' cannot be read", books->csv);
  if (wrong)
    return failure_set(failure, EX_DATAERR, "'%s' line %" PRId64 " has %s", books->csv, number,
                       wrong);
  auditor_books_read(auditor, (int64_t)about.st_mtim.tv_sec * 1000);
  return true;
}

bool provider_books_read(struct provider_books *books, struct auditor *auditor,
                         struct failure *failure) {
  if (books->url) return read_pages(books, auditor, failure);
  return !books->csv || read_csv(books, auditor, failure);
}
