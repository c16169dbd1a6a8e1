/* holdfast replay: a filter on its recorded input, its outputs compared with the recorded ones. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "commands.h"
#include "runtime/kafka/admin.h"
#include "runtime/kafka/io.h"
#include "runtime/record/line.h"
#include "auditor/place.h"
#include "positions.h"
#include "shadow.h"
#include "spill.h"

#define CACHE_BYTES ((size_t)32 << 20)
#define PROGRESS_MS 2000
#define FLUSH_OUTPUTS 2000
#define PARTITIONS_MAX 256
enum { REPLAY_SAME, REPLAY_DIFFERS, REPLAY_UNKNOWN };

static const struct option_desc replay_options[] = {
    {.name = "from",
     .metavar = "WHERE",
     .value = "beginning",
     .help = "beginning, an offset of the input, or a time (2026-11-21T14:00:00Z)"},
    {.name = "to",
     .metavar = "WHERE",
     .value = "committed",
     .help = "committed (what the filter has done), an offset, or a time"},
    {.name = "partition",
     .letter = 'p',
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "-1",
     .min = -1,
     .max = PARTITIONS_MAX - 1,
     .help = "only this partition of the input; -1: all"},
    {.name = "diff",
     .kind = OPTION_FLAG,
     .help = "compare with what was recorded; without it the outputs are printed"},
    {.name = "snapshot",
     .metavar = "DIR",
     .help = "begin with this snapshot's state instead of the beginning of the input"},
    {.name = "output", .letter = 'o', .metavar = "FORMAT", .value = "text", .help = "text or json"},
    {.name = "limit",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "10",
     .min = 1,
     .max = 1000000,
     .help = "show so many differences at most; all are counted"},
    {.name = "spill-dir",
     .metavar = "DIR",
     .value = "/tmp",
     .help = "where the shadow store and what is to be compared go while it runs"},
    {0}};

static const struct usage usage = {
    "Runs a filter of this build on its recorded input in a store of its own. Nothing is written "
    "to "
    "the cluster.\nWith --diff its outputs are compared byte by byte with the recorded ones, "
    "matched by filter, causation and number; tables\nby their last value. To try another build, "
    "run its own `holdfast replay`.\n\n"
    "Exit code: 0 identical, 1 different, 2 could not tell.\n\n"
    "Usage: holdfast replay [option ...] FILTER",
    replay_options, true,
    "  holdfast replay stock-check --diff\n  holdfast replay payment --from 2026-11-21T14:00:00Z "
    "--diff -o json\n  holdfast replay payment --snapshot backup/payment-0 --diff\n"};

struct replay {
  const struct options *options;
  const struct processor *processor;
  struct kafka_admin *admin;
  struct codec *codec;
  char directory[300];
  struct store *store, *expected; /* the shadow's; what it made and was not yet compared */
  int32_t partitions, partition;  /* of the input; the one that runs */
  int64_t from[PARTITIONS_MAX], to[PARTITIONS_MAX], committed[PARTITIONS_MAX];
  bool tables[PARTITIONS_MAX]; /* whether the partition's are compared */
  bool diff, json;
  size_t collected;
  int64_t outputs, rows, differences, inputs, told_at;
  json_t *shown;
  struct failure failure;
};

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

/* The key of another row about the same: of its recorded twin ('r'), of its having been seen ('s').
 */
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

static bool is_wanted(const struct replay *replay, struct str causation) {
  int64_t partition, offset;
  if (!place_parse(causation, &partition, &offset) || partition < 0 ||
      partition >= replay->partitions)
    return false;
  return offset >= replay->from[partition] && offset < replay->to[partition];
}

static void print_output(struct replay *replay, const char *topic,
                         const struct log_output *output) {
  const struct message record = {.timestamp = output->timestamp,
                                 .key = output->key,
                                 .value = output->value,
                                 .correlation_id = output->correlation_id,
                                 .causation = output->causation,
                                 .source = output->source,
                                 .error = output->error};
  json_t *json = line_json(replay->codec, topic, &record);
  json_dumpf(json, stdout, JSON_COMPACT);
  putchar('\n');
  json_decref(json);
}

static void take_output(void *user, const char *topic, const struct log_output *output) {
  struct replay *replay = user;
  struct arena arena = {0};
  bool stream = output->source.data != NULL;
  if (stream && is_wanted(replay, output->causation)) {
    replay->outputs++;
    if (replay->diff)
      expect(replay, output_key(&arena, topic, output->causation, output->source),
             pack(&arena, output->timestamp, output->key, output->value));
    else
      print_output(replay, topic, output);
  } else if (!stream && replay->diff && replay->tables[output->partition]) {
    expect(replay, table_key(&arena, topic, output->partition, output->key),
           pack(&arena, output->timestamp, output->key, output->value));
  }
  arena_free(&arena);
}

static void tell_progress(void *user, int64_t offset) {
  struct replay *replay = user;
  int64_t now = clock_wall_ms();
  replay->inputs++;
  if (now - replay->told_at < PROGRESS_MS) return;
  replay->told_at = now;
  fprintf(stderr, "holdfast replay: partition %" PRId32 ": offset %" PRId64 " of %" PRId64 "\n",
          replay->partition, offset, replay->to[replay->partition]);
}

/* ---- comparing ---- */

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
  /* Where nobody knows when a command came, its dead letter has the producer's time. */
  bool same_time = made->timestamp == 0 || recorded->timestamp == made->timestamp;
  return str_equal(recorded->key, made->key) && same_time &&
         same_value(replay, arena, recorded->value, made->value);
}

/* One recorded output of this filter. What a reset made it write again is compared again: the row
 * stays, marked. */
static void compare_output(struct replay *replay, const char *topic, int32_t partition,
                           const struct message *recorded) {
  (void)partition;
  const char *slash =
      recorded->source.size ? memchr(recorded->source.data, '/', recorded->source.size) : NULL;
  struct str name = {recorded->source.data, slash ? (size_t)(slash - recorded->source.data) : 0};
  if (!str_equal(name, str_of(replay->processor->name)) || !is_wanted(replay, recorded->causation))
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

/* ---- a run ---- */

static bool run_partition(struct replay *replay, int32_t partition) {
  const struct shadow shadow = {.options = replay->options,
                                .processor = replay->processor,
                                .store = replay->store,
                                .partition = partition,
                                .partitions = replay->partitions,
                                .to = replay->to[partition],
                                .output = take_output,
                                .progress = tell_progress,
                                .user = replay};
  replay->partition = partition;
  /* Only at its committed offset a filter has nothing in its tables that this run has not. And from
   * a snapshot on only the rows that changed since are made again. */
  replay->tables[partition] = replay->to[partition] == replay->committed[partition] &&
                              !options_given(replay->options, "snapshot");
  return shadow_run(&shadow, &replay->failure);
}

static bool find_range(struct replay *replay) {
  const char *input = replay->processor->input;
  replay->partitions = kafka_admin_partitions(replay->admin, input, &replay->failure);
  if (replay->partitions < 0) return false;
  if (replay->partitions == 0 || replay->partitions > PARTITIONS_MAX)
    return failure_set(&replay->failure, EX_UNAVAILABLE,
                       replay->partitions ? "'%s' has more than 256 partitions"
                                          : "the topic '%s' does not exist: are --brokers and "
                                            "--prefix those of the pipeline?",
                       input);
  if (options_number(replay->options, "partition") >= replay->partitions)
    return failure_set(&replay->failure, EX_UNAVAILABLE, "'%s' has the partitions 0 to %" PRId32,
                       input, replay->partitions - 1);
  int32_t only = (int32_t)options_number(replay->options, "partition");
  return positions_of(replay->admin, replay->processor, "committed", replay->partitions, only,
                      replay->committed, &replay->failure) &&
         positions_of(replay->admin, replay->processor, options_text(replay->options, "from"),
                      replay->partitions, only, replay->from, &replay->failure) &&
         positions_of(replay->admin, replay->processor, options_text(replay->options, "to"),
                      replay->partitions, only, replay->to, &replay->failure);
}

static bool check_range(struct replay *replay, int32_t partition) {
  int64_t first, end;
  const char *input = replay->processor->input;
  if (!kafka_admin_bounds(replay->admin, input, partition, &first, &end, &replay->failure))
    return false;
  struct store_meta meta;
  bool snapshot = replay->store && store_meta(replay->store, partition, &meta);
  if (snapshot && replay->from[partition] < meta.next_input)
    replay->from[partition] = meta.next_input;
  if (!snapshot && first > 0 && replay->processor->rows)
    return failure_set(&replay->failure, EX_UNAVAILABLE,
                       "'%s' partition %" PRId32 " begins at offset %" PRId64
                       ": the state before it is gone; begin with a --snapshot",
                       input, partition, first);
  if (replay->from[partition] < first) replay->from[partition] = first;
  if (replay->to[partition] > replay->committed[partition])
    return failure_set(&replay->failure, EX_UNAVAILABLE,
                       "partition %" PRId32 ": '%s' has done its work up to offset %" PRId64
                       " only, and --to says %" PRId64,
                       partition, replay->processor->name, replay->committed[partition],
                       replay->to[partition]);
  if (replay->from[partition] > replay->to[partition])
    return failure_set(&replay->failure, EX_UNAVAILABLE,
                       "partition %" PRId32 ": --from %" PRId64 " lies after --to %" PRId64,
                       partition, replay->from[partition], replay->to[partition]);
  return true;
}

static bool open_stores(struct replay *replay) {
  if (!spill_make(options_text(replay->options, "spill-dir"), replay->directory,
                  sizeof replay->directory))
    return failure_set(&replay->failure, EX_UNAVAILABLE,
                       "cannot make a folder in '%s': see --spill-dir",
                       options_text(replay->options, "spill-dir"));
  char path[400], error[400];
  const char *snapshot =
      options_given(replay->options, "snapshot") ? options_text(replay->options, "snapshot") : NULL;
  snprintf(path, sizeof path, "%s/shadow", replay->directory);
  if (snapshot && !store_copy(snapshot, path, error, sizeof error))
    return failure_set(&replay->failure, EX_UNAVAILABLE, "%s", error);
  int code;
  if (replay->processor->rows)
    replay->store = store_open(path, NULL, (struct store_memory){.cache = CACHE_BYTES}, error,
                               sizeof error, &code);
  if (replay->processor->rows && !replay->store)
    return failure_set(&replay->failure, EX_UNAVAILABLE, "%s", error);
  snprintf(path, sizeof path, "%s/expected", replay->directory);
  replay->expected = store_open(path, "replay", (struct store_memory){.cache = CACHE_BYTES}, error,
                                sizeof error, &code);
  return replay->expected || failure_set(&replay->failure, EX_UNAVAILABLE, "%s", error);
}

static int sum_up(struct replay *replay) {
  bool same = replay->differences == 0;
  if (replay->json) {
    json_t *json = json_pack("{s:b,s:I,s:I,s:I,s:I,s:O}", "identical", same, "inputs",
                             replay->inputs, "outputs", replay->outputs, "rows", replay->rows,
                             "differences", replay->differences, "shown", replay->shown);
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
  } else {
    printf("%s: %" PRId64 " records read, %" PRId64 " outputs and %" PRId64 " rows compared: ",
           replay->processor->name, replay->inputs, replay->outputs, replay->rows);
    if (same)
      printf("identical\n");
    else
      printf("%" PRId64 " DIFFERENT\n", replay->differences);
  }
  return same ? REPLAY_SAME : REPLAY_DIFFERS;
}

static bool run(struct replay *replay) {
  replay->admin = kafka_admin_open(replay->options, &replay->failure);
  if (!replay->admin || !find_range(replay) || !open_stores(replay)) return false;
  int64_t only = options_number(replay->options, "partition");
  for (int32_t p = 0; p < replay->partitions; p++) {
    if (only >= 0 && only != p) {
      replay->to[p] = replay->from[p]; /* nothing of it is compared */
      continue;
    }
    if (!check_range(replay, p) || !run_partition(replay, p)) return false;
  }
  return !replay->diff || (compare_streams(replay) && compare_tables(replay));
}

static int replay_filter(const struct options *options, const struct processor *processor) {
  static struct replay replay; /* too large for a stack */
  replay = (struct replay){.options = options,
                           .processor = processor,
                           .codec = codec_new(&holdfast_schemas),
                           .diff = options_flag(options, "diff"),
                           .json = strcmp(options_text(options, "output"), "json") == 0,
                           .shown = json_array(),
                           .told_at = clock_wall_ms()};
  int code = REPLAY_UNKNOWN;
  if (run(&replay))
    code = replay.diff ? sum_up(&replay) : EX_OK;
  else
    fprintf(stderr, "holdfast replay: could not tell: %s\n", replay.failure.text);
  kafka_admin_close(replay.admin);
  store_close(replay.store);
  store_close(replay.expected);
  spill_remove(replay.directory);
  json_decref(replay.shown);
  codec_free(replay.codec);
  return code;
}

int replay_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    const struct processor *processor =
        options.argument_count == 1 ? shadow_filter(options.arguments[0]) : NULL;
    const char *why = processor ? shadow_refuses(processor) : NULL;
    code = EX_USAGE;
    if (!processor)
      fprintf(stderr, "holdfast replay: name one filter: %s is none\n",
              options.argument_count ? options.arguments[0] : "nothing");
    else if (why)
      fprintf(stderr, "holdfast replay: %s cannot be replayed: %s. 'holdfast audit' judges it\n",
              processor->name, why);
    else
      code = replay_filter(&options, processor);
  }
  options_free(&options);
  return code;
}
