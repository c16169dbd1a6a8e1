#include "runtime/base/read_line.h"

#include "runtime/base/arena.h"

bool line_read(FILE *in, char **buffer, size_t *capacity, struct str *line, bool *too_long) {
  *too_long = false;
  size_t size = 0;
  int c;
  while ((c = getc(in)) != EOF && c != '\n') {
    if (size >= LINE_SIZE_MAX) {
      *too_long = true;
      continue;
    }
    *buffer = xgrow(*buffer, capacity, size + 2, 1);
    (*buffer)[size++] = (char)c;
  }
  if (c == EOF && size == 0) return false;
  *buffer = xgrow(*buffer, capacity, size + 1, 1);
  (*buffer)[size] = '\0';
  *line = (struct str){*buffer, size};
  return true;
}
