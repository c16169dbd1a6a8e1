#include "trace.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static bool is_hex(const char *text, size_t size) {
  bool zero = true;
  for (size_t i = 0; i < size; i++) {
    if (!text[i] || !strchr("0123456789abcdef", text[i])) return false;
    zero = zero && text[i] == '0';
  }
  return !zero || size == 2; /* an id of zeros alone is none; flags may be zero */
}

/* Of version 00, or of a later one as far as 00 goes. */
static bool is_valid(const char *text) {
  size_t size = strlen(text);
  return size >= TRACE_SIZE - 1 && is_hex(text, 2) && strncmp(text, "ff", 2) != 0 &&
         text[2] == '-' && is_hex(text + TRACE_ID_AT, TRACE_ID_SIZE) && text[35] == '-' &&
         is_hex(text + 36, 16) && text[52] == '-' && is_hex(text + 53, 2) &&
         (size == TRACE_SIZE - 1 || (strncmp(text, "00", 2) != 0 && text[55] == '-'));
}

void trace_take(const char *traceparent, char out[TRACE_SIZE]) {
  uint64_t random[3];
  if (getrandom(random, sizeof random, 0) != sizeof random) abort(); /* cannot fail for so few */
  bool valid = traceparent && is_valid(traceparent);
  char id[TRACE_ID_SIZE + 1], flags[3] = "01";
  snprintf(id, sizeof id, "%016llx%016llx", (unsigned long long)random[0],
           (unsigned long long)(random[1] | 1));
  if (valid) {
    memcpy(id, traceparent + TRACE_ID_AT, TRACE_ID_SIZE);
    memcpy(flags, traceparent + 53, 2);
  }
  snprintf(out, TRACE_SIZE, "00-%s-%016llx-%s", id, (unsigned long long)(random[2] | 1), flags);
}
