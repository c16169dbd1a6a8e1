#include "place.h"

#include <stdlib.h>

#define PLACE_MAX 300

bool place_parse(struct str place, int64_t *partition, int64_t *offset) {
  if (place.size == 0 || place.size >= PLACE_MAX) return false;
  char text[PLACE_MAX];
  memcpy(text, place.data, place.size);
  text[place.size] = '\0';
  char *last = strrchr(text, '-');
  if (!last || last == text) return false;
  *offset = strtoll(last + 1, NULL, 10);
  *last = '\0';
  last = strrchr(text, '-');
  if (!last) return false;
  *partition = strtoll(last + 1, NULL, 10);
  return true;
}

bool audit_parse_causation(struct str causation, int64_t *partition, int64_t *offset) {
  return !str_starts_with(causation, STR("due-")) && !str_starts_with(causation, STR("answer-")) &&
         place_parse(causation, partition, offset);
}
