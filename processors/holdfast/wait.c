#include "wait.h"

#include <stdio.h>

bool wait_parse(const json_t *json, struct wait *out, char *error) {
  const json_t *what = json_object_get(json, "wait"), *seconds = json_object_get(what, "seconds");
  *out = (struct wait){.item = json_string_value(json_object_get(what, "item")),
                       .reservation = json_string_value(json_object_get(what, "reservation")),
                       .status = json_string_value(json_object_get(what, "status")),
                       .seconds = seconds ? (int)json_integer_value(seconds) : 30};
  bool one = out->item ? !out->reservation && !out->status : out->reservation && out->status;
  if (one && out->seconds > 0 && out->seconds <= 3600) return true;
  snprintf(error, CODEC_ERROR_SIZE,
           "needs {\"wait\":{\"item\":ID}} or {\"wait\":{\"reservation\":ID,\"status\":STATUS}}, "
           "with \"seconds\" from 1 to 3600");
  return false;
}

void wait_describe(const struct wait *wait, char *text, size_t size) {
  if (wait->item) {
    snprintf(text, size, "item %s to be listed", wait->item);
  } else {
    snprintf(text, size, "reservation %s to be %s", wait->reservation, wait->status);
  }
}
