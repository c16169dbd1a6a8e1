/* The story, told as text or as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "explain.h"
#include "runtime/record/json.h"
#include "runtime/record/line.h"

/* "stock-check/0" is stock-check. */
static struct str filter_of(const struct happening *step) {
  const char *slash = step->record.source.size
                          ? memchr(step->record.source.data, '/', step->record.source.size)
                          : NULL;
  if (!slash) return STR("a client");
  return (struct str){step->record.source.data, (size_t)(slash - step->record.source.data)};
}

/* The few fields that say what a record decides. */
static const char *brief(struct story *story, const struct happening *step) {
  static const char *const shown[] = {"customer_id", "item_id", "quantity", "seats",  "option",
                                      "amount",      "status",  "reason",   "hold",   "refusal",
                                      "detail",      "kind",    "approved", "due_at", "retry_at",
                                      "until",       "attempt", "payment"};
  static char text[512];
  if (!step->readable) return step->record.error.size ? step->record.error.data : "cannot be read";
  json_t *json = record_to_json(codec_schemas(story->codec), step->value);
  text[0] = '\0';
  for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
    json_t *field = json_object_get(json, shown[i]);
    char *value = field ? json_dumps(field, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    bool nothing = !value || strcmp(value, "\"\"") == 0 || strcmp(value, "0") == 0 ||
                   strcmp(value, "[]") == 0 || strcmp(value, "\"NONE\"") == 0 ||
                   strcmp(value, "\"KEEP\"") == 0;
    size_t used = strlen(text);
    if (!nothing)
      snprintf(text + used, sizeof text - used, "%s%s %s", used ? ", " : "", shown[i],
               value[0] == '"' ? strtok(value + 1, "\"") : value);
    free(value);
  }
  json_decref(json);
  return text;
}

static const char *type_of(const struct story *story, const struct happening *step) {
  if (!step->readable) return "dead letter";
  return codec_schemas(story->codec)->records[step->value.type]->name;
}

static void print_time(int64_t at) {
  time_t seconds = at / 1000;
  struct tm utc;
  gmtime_r(&seconds, &utc);
  printf("%04d-%02d-%02d %02d:%02d:%02d.%03d", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
         utc.tm_hour, utc.tm_min, utc.tm_sec, (int)(at % 1000));
}

static void print_stock(const struct happening *step) {
  if (!step->stock) return;
  static const char *const sides[] = {"before", "after"};
  for (int i = 0; i < 2; i++) {
    json_t *level = json_object_get(step->stock, sides[i]);
    if (json_is_null(level))
      printf("%26sstock %s: the item is not known\n", "", sides[i]);
    else
      printf("%26sstock %s: %d of %d available, %d held, %d sold%s\n", "", sides[i],
             (int)json_integer_value(json_object_get(level, "available")),
             (int)json_integer_value(json_object_get(level, "capacity")),
             (int)json_integer_value(json_object_get(level, "held")),
             (int)json_integer_value(json_object_get(level, "sold")),
             json_is_true(json_object_get(level, "closed")) ? ", closed" : "");
  }
}

static void print_step(struct story *story, const struct happening *step) {
  struct str filter = filter_of(step);
  print_time(step->at);
  if (step->took >= 0)
    printf("  %.*s after %" PRId64 " ms: ", STR_ARGS(filter), step->took);
  else
    printf("  %.*s: ", STR_ARGS(filter));
  printf("%s  (%s)\n", type_of(story, step), brief(story, step));
  printf("%25s %s-%" PRId32 "@%" PRId64, "", step->topic, step->partition, step->record.offset);
  if (step->record.causation.size) printf(", caused by %.*s", STR_ARGS(step->record.causation));
  putchar('\n');
  if (step->before.size) {
    if (str_equal(step->before, step->after))
      printf("%26sledger: %.*s, unchanged\n", "", STR_ARGS(step->before));
    else
      printf("%26sledger: %.*s -> %.*s\n", "", STR_ARGS(step->before), STR_ARGS(step->after));
  }
  print_stock(step);
}

static json_t *step_json(struct story *story, const struct happening *step) {
  struct str filter = filter_of(step);
  json_t *line = line_json(story->codec, step->topic, &step->record);
  json_t *json = json_pack("{s:I,s:s%,s:s,s:s,s:i,s:I,s:O}", "at", step->at, "by", filter.data,
                           filter.size, "what", type_of(story, step), "topic", step->topic,
                           "partition", (int)step->partition, "offset", step->record.offset,
                           "value", json_object_get(line, "value"));
  if (step->took >= 0) json_object_set_new(json, "took_ms", json_integer(step->took));
  if (step->record.causation.size)
    json_object_set_new(json, "cause",
                        json_stringn(step->record.causation.data, step->record.causation.size));
  if (step->before.size) {
    json_object_set_new(json, "ledger_before", json_stringn(step->before.data, step->before.size));
    json_object_set_new(json, "ledger_after", json_stringn(step->after.data, step->after.size));
  }
  if (step->stock) json_object_set(json, "stock", step->stock);
  json_decref(line);
  return json;
}

void explain_tell(struct story *story) {
  bool as_json = strcmp(options_text(story->options, "output"), "json") == 0;
  json_t *steps = json_array();
  for (size_t i = 0; i < story->count; i++) {
    if (as_json)
      json_array_append_new(steps, step_json(story, &story->steps[i]));
    else
      print_step(story, &story->steps[i]);
  }
  if (as_json) {
    json_t *json =
        json_pack("{s:s%,s:O}", "reservation_id", story->id.data, story->id.size, "steps", steps);
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
  }
  json_decref(steps);
}
