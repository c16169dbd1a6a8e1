#include "event_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "answers.h"
#include "runtime/base/arena.h"

size_t event_id_write(char *out, const int64_t *positions, int32_t partitions) {
  size_t used = (size_t)sprintf(out, "id: ");
  for (int32_t p = 0; p < partitions; p++)
    used += (size_t)sprintf(out + used, "%s%" PRIx64, p ? "." : "", (uint64_t)positions[p]);
  out[used++] = '\n';
  return used;
}

char *event_text(const struct status_changed *step, size_t *size) {
  json_t *json = answer_step_json(step);
  char *data = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);
  json_decref(json);
  size_t room = step->customer_id.size + strlen(data) + 64;
  char *text = xmalloc(room);
  memcpy(text, step->customer_id.data, step->customer_id.size);
  *size = (size_t)snprintf(text + step->customer_id.size, room - step->customer_id.size,
                           "event: status\ndata: %s\n\n", data);
  free(data);
  return text;
}

bool event_id_parse(const char *text, int64_t *positions, int32_t partitions) {
  for (int32_t p = 0; p < partitions; p++) {
    size_t digits = strspn(text, "0123456789abcdef");
    if (digits < 1 || digits > 16 || text[digits] != (p + 1 < partitions ? '.' : '\0'))
      return false;
    uint64_t position = strtoull(text, NULL, 16);
    if (position > INT64_MAX) return false;
    positions[p] = (int64_t)position;
    text += digits + 1;
  }
  return true;
}
