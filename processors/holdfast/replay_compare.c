/* Compares a replay's output with the recorded one: each record of a stream, the last value of each
 * key of a table. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "auditor/place.h"
#include "replay.h"
#include "runtime/kafka/io.h"
#include "runtime/record/line.h"

#define FLUSH_OUTPUTS 2000

/* ---- what was made ----
 *
 * A row of the spill is named by topic, place of the cause and number, or, of a table, by topic and
 * key; it holds the time, the key and the value. */

static struct str output_key(struct arena *arena, const char *topic, struct str causation,
                             struct str source) {
  return arena_format(arena, "o%s %.*s %.*s", topic, STR_ARGS(causation), STR_ARGS(source));
}

static struct str table_key(struct arena *arena, const char *topic, int32_t partition,
                            struct str key) {
  struct str head = arena_format(arena, "t%s %" PRId32 " ", topic, partition);
  char *bytes = arena_alloc(arena, head.size + key.size);
  memcpy(bytes, head.data, head.size);
  memcpy(bytes + head.size, key.data, key.size);
  return (struct str){bytes, head.size + key.size};
}

/* The key of another row about the same: of its recorded twin ('r'), of its having been seen
 * ('s'). */
static struct str prefixed(struct arena *arena, char prefix, struct str key) {
  char *bytes = arena_alloc(arena, key.size + 1);
  bytes[0] = prefix;
  memcpy(bytes + 1, key.data, key.size);
  return (struct str){bytes, key.size + 1};
}

static struct str pack(struct arena *arena, int64_t timestamp, struct str key, struct str value) {
  uint32_t key_size = (uint32_t)key.size, null = value.data == NULL;
  size_t size = 16 + key.size + value.size;
  char *bytes = arena_alloc(arena, size), *at = bytes;
  memcpy(at, &timestamp, 8);
  memcpy(at + 8, &key_size, 4);
  memcpy(at + 12, &null, 4);
  if (key.size) memcpy(at + 16, key.data, key.size);
  if (value.size) memcpy(at + 16 + key.size, value.data, value.size);
  return (struct str){bytes, size};
}

static struct message unpack(struct str bytes) {
  struct message record = {0};
  uint32_t key_size, null;
  memcpy(&record.timestamp, bytes.data, 8);
  memcpy(&key_size, bytes.data + 8, 4);
  memcpy(&null, bytes.data + 12, 4);
  record.key = (struct str){bytes.data + 16, key_size};
  if (!null) record.value = (struct str){bytes.data + 16 + key_size, bytes.size - 16 - key_size};
  return record;
}

static void expect(struct replay *replay, struct str key, struct str value) {
  const struct change change = {.key = key, .value = value};
  store_put_changes(replay->expected, 0, &change, 1);
  if (++replay->collected % FLUSH_OUTPUTS == 0) store_write(replay->expected);
}

bool replay_wants(const struct replay *replay, struct str causation) {
  int64_t partition, offset;
  if (!place_parse(causation, &partition, &offset) || partition < 0 ||
      partition >= replay->partitions)
    return false;
  return offset >= replay->from[partition] && offset < replay->to[partition];
}

void replay_expect_output(struct replay *replay, const char *topic,
                          const struct log_output *output) {
  struct arena arena = {0};
  expect(replay, output_key(&arena, topic, output->causation, output->source),
         pack(&arena, output->timestamp, output->key, output->value));
  arena_free(&arena);
}

void replay_expect_row(struct replay *replay, const char *topic, const struct log_output *output) {
  struct arena arena = {0};
  expect(replay, table_key(&arena, topic, output->partition, output->key),
         pack(&arena, output->timestamp, output->key, output->value));
  arena_free(&arena);
}

/* ---- streams ---- */

static json_t *value_json(struct replay *replay, const char *topic, const struct message *record) {
  if (!record) return json_null();
  json_t *line = line_json(replay->codec, topic, record);
  json_object_del(line, "headers");
  return line;
}

static void show(struct replay *replay, const char *topic, struct str what,
                 const struct message *recorded, const struct message *made) {
  if (replay->differences++ >= options_number(replay->options, "limit")) return;
  json_t *json =
      json_pack("{s:s,s:s%,s:o,s:o}", "topic", topic, "of", what.data, what.size, "recorded",
                value_json(replay, topic, recorded), "replayed", value_json(replay, topic, made));
  if (replay->json) {
    json_array_append_new(replay->shown, json);
    return;
  }
  printf("DIFFERENT  %s  %.*s\n", topic, STR_ARGS(what));
  for (int side = 0; side < 2; side++) {
    char *text = json_dumps(json_object_get(json, side ? "replayed" : "recorded"),
                            JSON_COMPACT | JSON_ENCODE_ANY);
    printf("  %s  %s\n", side ? "replayed" : "recorded", text);
    free(text);
  }
  json_decref(json);
}

/* Bytes, or the same content where the record was written with a past version of its schema. */
static bool same_value(struct replay *replay, struct arena *arena, struct str recorded,
                       struct str made) {
  if (!recorded.data || !made.data) return recorded.data == made.data;
  if (str_equal(recorded, made)) return true;
  struct record decoded;
  char error[CODEC_ERROR_SIZE];
  return codec_decode(replay->codec, recorded, arena, &decoded, error) &&
         str_equal(codec_encode(replay->codec, decoded, arena), made);
}

static bool is_same(struct replay *replay, struct arena *arena, const struct message *recorded,
                    const struct message *made) {
  /* If nobody knows when a command came, its dead letter has the producer's time. */
  bool same_time = made->timestamp == 0 || recorded->timestamp == made->timestamp;
  return str_equal(recorded->key, made->key) && same_time &&
         same_value(replay, arena, recorded->value, made->value);
}

/* One recorded output of this filter. An output that a reset repeated is compared again: the row
 * stays, marked. */
static void compare_output(struct replay *replay, const char *topic, int32_t partition,
                           const struct message *recorded) {
  (void)partition;
  const char *slash =
      recorded->source.size ? memchr(recorded->source.data, '/', recorded->source.size) : NULL;
  struct str name = {recorded->source.data, slash ? (size_t)(slash - recorded->source.data) : 0};
  if (!str_equal(name, str_of(replay->processor->name)) ||
      !replay_wants(replay, recorded->causation))
    return;
  struct arena arena = {0};
  struct str key = output_key(&arena, topic, recorded->causation, recorded->source);
  struct str bytes = store_get(replay->expected, 0, key, &arena);
  struct message made = {0};
  if (bytes.data) made = unpack(bytes);
  struct str what = arena_format(&arena, "%.*s by %.*s", STR_ARGS(recorded->causation),
                                 STR_ARGS(recorded->source));
  if (!bytes.data)
    show(replay, topic, what, recorded, NULL);
  else if (!is_same(replay, &arena, recorded, &made))
    show(replay, topic, what, recorded, &made);
  const struct change seen = {.key = prefixed(&arena, 's', key), .value = STR("y")};
  store_put_changes(replay->expected, 0, &seen, 1);
  if (++replay->collected % FLUSH_OUTPUTS == 0) store_write(replay->expected);
  arena_free(&arena);
}

struct reading {
  struct replay *replay;
  const char *topic;
  void (*take)(struct replay *replay, const char *topic, int32_t partition,
               const struct message *record);
};

static void take_recorded(void *user, int32_t partition, const struct message *record) {
  const struct reading *reading = user;
  reading->take(reading->replay, reading->topic, partition, record);
}

static bool read_recorded(struct replay *replay, const char *topic,
                          void (*take)(struct replay *replay, const char *topic, int32_t partition,
                                       const struct message *record)) {
  struct reading reading = {replay, topic, take};
  bool read =
      kafka_read_up_to(replay->options, topic, -1, -1, take_recorded, &reading, &replay->failure);
  store_write(replay->expected);
  return read;
}

static bool show_unseen(void *user, struct str key, struct str value) {
  struct replay *replay = user;
  struct arena arena = {0};
  struct str marked = prefixed(&arena, 's', key);
  if (!store_get(replay->expected, 0, marked, &arena).data) {
    const struct message made = unpack(value);
    const char *space = memchr(key.data, ' ', key.size);
    struct str topic =
                   arena_copy(&arena, (struct str){key.data + 1, (size_t)(space - key.data) - 1}),
               what = {space + 1, key.size - topic.size - 2};
    show(replay, topic.data, what, NULL, &made);
  }
  arena_free(&arena);
  return true;
}

static bool compare_streams(struct replay *replay) {
  store_write(replay->expected);
  for (const struct output *o = replay->processor->outputs; o && o->topic; o++) {
    if (!o->table && !read_recorded(replay, o->topic, compare_output)) return false;
  }
  if (replay->processor->open_input && !read_recorded(replay, "dead-letters", compare_output))
    return false;
  store_scan(replay->expected, 0, STR("o"), (struct str){0}, show_unseen, replay);
  return true;
}

/* ---- tables: the last value of each key ---- */

static void fold_recorded(struct replay *replay, const char *topic, int32_t partition,
                          const struct message *record) {
  if (partition >= replay->partitions || !replay->tables[partition]) return;
  struct arena arena = {0};
  struct str key = table_key(&arena, topic, partition, record->key);
  struct str packed = pack(&arena, record->timestamp, record->key, record->value);
  expect(replay, prefixed(&arena, 'r', key), packed);
  arena_free(&arena);
}

struct table_comparison {
  struct replay *replay;
  const char *topic;
  bool from_recorded; /* the other side was compared before: only what it lacks */
};

static bool compare_row(void *user, struct str key, struct str value) {
  struct table_comparison *c = user;
  struct replay *replay = c->replay;
  struct arena arena = {0};
  struct str other_key =
      c->from_recorded ? (struct str){key.data + 1, key.size - 1} : prefixed(&arena, 'r', key);
  const struct message one = unpack(value);
  struct message other = {0};
  struct str bytes = store_get(replay->expected, 0, other_key, &arena);
  if (bytes.data) other = unpack(bytes);
  if (c->from_recorded) {
    if (!bytes.data && one.value.data) show(replay, c->topic, one.key, &one, NULL);
  } else {
    replay->rows++;
    if (!same_value(replay, &arena, other.value, one.value))
      show(replay, c->topic, one.key, bytes.data ? &other : NULL, &one);
  }
  arena_free(&arena);
  return true;
}

static bool compare_table(struct replay *replay, const char *topic) {
  if (!read_recorded(replay, topic, fold_recorded)) return false;
  struct table_comparison c = {.replay = replay, .topic = topic};
  struct arena arena = {0};
  struct str made = arena_format(&arena, "t%s ", topic);
  store_scan(replay->expected, 0, made, (struct str){0}, compare_row, &c);
  c.from_recorded = true;
  struct str recorded = prefixed(&arena, 'r', made);
  store_scan(replay->expected, 0, recorded, (struct str){0}, compare_row, &c);
  arena_free(&arena);
  return true;
}

static bool compare_tables(struct replay *replay) {
  store_write(replay->expected);
  for (const struct output *o = replay->processor->outputs; o && o->topic; o++) {
    if (o->table && !compare_table(replay, o->topic)) return false;
  }
  return !replay->processor->changelog || compare_table(replay, replay->processor->changelog);
}

bool replay_compare(struct replay *replay) {
  return compare_streams(replay) && compare_tables(replay);
}
