#include "wait.h"

#include <stdio.h>
#include <stdlib.h>

static bool is_wanted(const struct wait *wait, const char *field) {
  return strcmp(field, wait->thing->name) != 0 && strcmp(field, "seconds") != 0;
}

bool wait_parse(const json_t *json, struct wait *out, char *error) {
  json_t *shows = json_object_get(json, "wait"), *seconds = json_object_get(shows, "seconds"),
         *value;
  const char *field;
  json_int_t wanted = seconds ? json_integer_value(seconds) : 30;
  *out = (struct wait){.shows = shows, .seconds = wanted > 0 && wanted <= 3600 ? (int)wanted : 0};
  json_object_foreach(shows, field, value) {
    if (out->thing || !view_thing(field) || !json_is_string(value)) continue;
    out->thing = view_thing(field);
    out->id = json_string_value(value);
  }
  if (out->thing && out->seconds) return true;
  snprintf(
      error, CODEC_ERROR_SIZE,
      "needs {\"wait\":{\"item\":ID,...}}, or a reservation, a customer or a tally, with what it "
      "must show, and \"seconds\" from 1 to 3600");
  return false;
}

static bool has_like(const json_t *array, const json_t *wanted);

static bool is_like(const json_t *found, const json_t *wanted) {
  const char *field;
  json_t *value;
  size_t i;
  if (json_is_object(wanted)) {
    json_object_foreach((json_t *)(uintptr_t)wanted, field, value) {
      if (!is_like(json_object_get(found, field), value)) return false;
    }
    return json_is_object(found);
  }
  if (json_is_array(wanted)) {
    json_array_foreach(wanted, i, value) {
      if (!has_like(found, value)) return false;
    }
    return json_is_array(found);
  }
  return json_equal(found, wanted);
}

static bool has_like(const json_t *array, const json_t *wanted) {
  size_t i;
  json_t *value;
  json_array_foreach(array, i, value) {
    if (is_like(value, wanted)) return true;
  }
  return false;
}

/* The fields that are asked for, as they are. */
static void describe_found(const struct wait *wait, const json_t *answer, char *text, size_t size) {
  json_t *found = json_object(), *value;
  const char *field;
  json_object_foreach((json_t *)(uintptr_t)wait->shows, field, value) {
    if (is_wanted(wait, field)) json_object_set(found, field, json_object_get(answer, field));
  }
  char *dump = json_dumps(found, JSON_COMPACT);
  snprintf(text, size, "it shows %s", dump);
  free(dump);
  json_decref(found);
}

static bool shows_all(const struct wait *wait, const json_t *answer) {
  const char *field;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)wait->shows, field, value) {
    if (is_wanted(wait, field) && !is_like(json_object_get(answer, field), value)) return false;
  }
  return true;
}

bool wait_is_so(const struct wait *wait, const char *url, char *error) {
  long status = 0;
  json_t *answer = view_ask(url, wait->thing, wait->id, &status, error);
  if (!answer) return false;
  json_object_update_missing(answer, json_object_get(answer, "customer"));
  bool so = status == 200 && shows_all(wait, answer);
  if (status != 200) {
    snprintf(error, 512, "it is not there");
  } else if (!so) {
    describe_found(wait, answer, error, 512);
  }
  json_decref(answer);
  return so;
}

void wait_describe(const struct wait *wait, char *text, size_t size) {
  json_t *wanted = json_copy((json_t *)(uintptr_t)wait->shows);
  json_object_del(wanted, wait->thing->name);
  json_object_del(wanted, "seconds");
  char *dump = json_dumps(wanted, JSON_COMPACT);
  bool any = json_object_size(wanted) > 0;
  snprintf(text, size, "%s %s%s%s", wait->thing->name, wait->id, any ? " to show " : " to be there",
           any ? dump : "");
  free(dump);
  json_decref(wanted);
}
