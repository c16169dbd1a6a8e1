#include "runtime/base/settings.h"

#include <errno.h>
#include <stdlib.h>

#include "runtime/base/read_line.h"

#define ERROR_SIZE 512

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

static struct str trim(struct str text) {
  while (text.size && is_blank(text.data[text.size - 1])) text.size--;
  while (text.size && is_blank(*text.data)) text = (struct str){text.data + 1, text.size - 1};
  return text;
}

static bool is_name(struct str text) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  for (size_t i = 0; i < text.size; i++) {
    if (!text.data[i] || !strchr(allowed, text.data[i])) return false;
  }
  return text.size > 0;
}

/* Cuts a line in its own memory. NULL: *name and *value are what it says, or *name is NULL where it
 * says nothing; else what is wrong with it. */
static const char *cut(char *line, size_t size, char **name, char **value) {
  struct str text = trim((struct str){line, size});
  *name = NULL;
  if (!text.size || *text.data == '#' || *text.data == ';') return NULL;
  if (memchr(text.data, '\0', text.size))
    return "has a NUL byte: is it a text file, in UTF-8? Save it as one";
  const char *equals = memchr(text.data, '=', text.size);
  struct str before = trim((struct str){text.data, equals ? (size_t)(equals - text.data) : 0});
  if (!is_name(before))
    return "needs 'name = value'; a line that begins with # is a comment, and there are no "
           "sections";
  struct str after = trim((struct str){equals + 1, (size_t)(text.data + text.size - equals - 1)});
  *name = line + (before.data - line);
  *value = line + (after.data - line);
  (*name)[before.size] = '\0';
  (*value)[after.size] = '\0';
  return NULL;
}

bool settings_read(FILE *file, const char *path,
                   bool (*take)(void *user, const char *name, const char *value, char *why),
                   void *user, char *error) {
  char *buffer = NULL, *name, *value, taken[SETTINGS_WHY_SIZE];
  const char *wrong = NULL;
  size_t capacity = 0;
  struct str text;
  bool too_long;
  unsigned long number = 0;
  while (!wrong && line_read(file, &buffer, &capacity, &text, &too_long)) {
    size_t mark = number++ == 0 && str_starts_with(text, STR("\xef\xbb\xbf")) ? 3 : 0;
    wrong = too_long ? "is longer than 1 MiB: is this the file that was meant?"
                     : cut(buffer + mark, text.size - mark, &name, &value);
    if (!wrong && name && !take(user, name, value, taken)) wrong = taken;
  }
  int reason = ferror(file) ? errno : 0;
  if (wrong) snprintf(error, ERROR_SIZE, "%.160s:%lu: %s", path, number, wrong);
  if (reason) snprintf(error, ERROR_SIZE, "'%.160s' cannot be read: %s", path, strerror(reason));
  free(buffer);
  return !wrong && !reason;
}
