/* holdfast explain: the story of one reservation, from the log. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "commands.h"
#include "runtime/kafka/admin.h"
#include "runtime/kafka/io.h"
#include "runtime/record/line.h"
#include "runtime/base/murmur2.h"
#include "payment/payment.h"
#include "runtime/memory/pipe.h"
#include "positions.h"
#include "runtime/core/runtime.h"
#include "shadow.h"
#include "spill.h"
#include "stock-check/stock-check.h"

#define STEPS_MAX 2000
#define CACHE_BYTES ((size_t)16 << 20)

static const struct option_desc explain_options[] = {
    {.name = "output", .letter = 'o', .metavar = "FORMAT", .value = "text", .help = "text or json"},
    {.name = "stock",
     .kind = OPTION_FLAG,
     .help = "also the stock that it met: reads the input of stock-check, which takes longer"},
    {.name = "spill-dir",
     .metavar = "DIR",
     .value = "/tmp",
     .help = "with --stock: where the state of that moment is made"},
    {0}};

static const struct usage usage = {
    "Tells the story of a reservation: every record about it, where it lies, when it was produced, "
    "what it did to the ledger,\nand how long each filter took.\n\n"
    "Usage: holdfast explain [option ...] RESERVATION",
    explain_options, true,
    "  holdfast explain r-4711\n  holdfast explain r-4711 --stock\n  holdfast explain r-4711 -o "
    "json | jq '.steps[].what'\n"};

struct happening {
  const char *topic;
  int32_t partition;
  struct message record; /* in the arena */
  struct record value;
  bool readable;
  int64_t at;               /* when it was produced, as far as anybody knows */
  int64_t took;             /* since its cause was produced; -1: not known */
  int depth;                /* causes before it */
  struct str before, after; /* of the ledger, where it is an input of payment */
  json_t *stock;            /* what stock-check saw; NULL */
};

struct story {
  const struct options *options;
  struct kafka_admin *admin;
  struct codec *codec;
  struct arena arena;
  struct str id, item, customer;
  struct happening steps[STEPS_MAX];
  size_t count;
  struct failure failure;
};

/* ---- gathering ---- */

static struct str text_field(const struct codec *codec, struct record record, struct str name) {
  const struct field *field = schema_field(codec_schemas(codec)->records[record.type], name);
  bool text = field && field->kind == FIELD_STRING && !field->array;
  return text ? *(const struct str *)((const char *)record.value + field->offset) : (struct str){0};
}

static bool is_about(const struct story *story, const struct happening *step) {
  if (str_equal(step->record.correlation_id, story->id)) return true;
  if (!step->readable) return str_equal(step->record.key, story->id);
  return str_equal(text_field(story->codec, step->value, STR("reservation_id")), story->id);
}

static struct message keep(struct story *story, const struct message *record) {
  struct message copy = *record;
  struct str *texts[] = {&copy.key,    &copy.value,       &copy.correlation_id, &copy.causation,
                         &copy.source, &copy.traceparent, &copy.error,          &copy.produced_at};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (texts[i]->data) *texts[i] = arena_copy(&story->arena, *texts[i]);
  }
  return copy;
}

static void take(struct story *story, const char *topic, int32_t partition,
                 const struct message *record) {
  struct arena scratch = {0};
  char error[CODEC_ERROR_SIZE];
  struct happening step = {.topic = topic, .partition = partition, .record = *record, .took = -1};
  step.readable =
      record->value.data && codec_decode(story->codec, record->value, &scratch, &step.value, error);
  if (is_about(story, &step) && story->count < STEPS_MAX) {
    step.record = keep(story, record);
    if (step.readable)
      codec_decode(story->codec, step.record.value, &story->arena, &step.value, error);
    step.at = record->produced_at.size ? strtoll(step.record.produced_at.data, NULL, 10)
                                       : record->timestamp;
    story->steps[story->count++] = step;
  }
  arena_free(&scratch);
}

struct gathering {
  struct story *story;
  const char *topic;
};

static void gather_one(void *user, int32_t partition, const struct message *record) {
  const struct gathering *gathering = user;
  take(gathering->story, gathering->topic, partition, record);
}

/* The one partition that a key's records lie in. */
static bool gather(struct story *story, const char *topic, struct str key) {
  if (!key.size) return true;
  int32_t partitions = kafka_admin_partitions(story->admin, topic, &story->failure);
  if (partitions == 0)
    snprintf(story->failure.text, sizeof story->failure.text,
             "the topic '%s' does not exist: are --brokers and --prefix those of the pipeline?",
             topic);
  if (partitions <= 0) return false;
  struct gathering gathering = {story, topic};
  return kafka_read_up_to(story->options, topic, murmur2_partition(key, partitions), -1, gather_one,
                          &gathering, &story->failure);
}

static void find_names(struct story *story) {
  for (size_t i = 0; i < story->count; i++) {
    const struct happening *step = &story->steps[i];
    if (!step->readable || step->value.type != RECORD_OPEN_RESERVATION) continue;
    const struct open_reservation *open = step->value.value;
    if (!story->item.size) story->item = open->item_id;
    if (!story->customer.size) story->customer = open->customer_id;
  }
}

static bool gather_all(struct story *story) {
  static const char *const by_reservation[] = {
      "reservation-commands", "dead-letters", "payment-requests",
      "charge-requests",      "deadlines",    "payment-results"};
  static const char *const by_item[] = {"stock-requests", "reservation-outcomes"};
  for (size_t i = 0; i < sizeof by_reservation / sizeof *by_reservation; i++) {
    if (!gather(story, by_reservation[i], story->id)) return false;
  }
  find_names(story);
  for (size_t i = 0; i < sizeof by_item / sizeof *by_item; i++) {
    if (!gather(story, by_item[i], story->item)) return false;
  }
  return gather(story, "reservation-events", story->customer);
}

/* ---- order: each after its cause ---- */

static const struct happening *cause_of(const struct story *story, const struct happening *step) {
  char place[300];
  for (size_t i = 0; step->record.causation.size && i < story->count; i++) {
    const struct happening *one = &story->steps[i];
    int size = snprintf(place, sizeof place, "%s-%" PRId32 "-%" PRId64, one->topic, one->partition,
                        one->record.offset);
    if (str_equal((struct str){place, (size_t)size}, step->record.causation)) return one;
  }
  return NULL;
}

/* A record has the time of its cause, and whoever made it may have a clock behind. */
static void order_times(struct story *story) {
  for (int pass = 0; pass < 16; pass++) {
    for (size_t i = 0; i < story->count; i++) {
      struct happening *step = &story->steps[i];
      const struct happening *cause = cause_of(story, step);
      if (!cause) continue;
      step->depth = cause->depth + 1;
      if (step->at < cause->at) step->at = cause->at;
      step->took = step->at - cause->at;
    }
  }
}

static int by_time(const void *a, const void *b) {
  const struct happening *one = a, *other = b;
  if (one->at != other->at) return one->at < other->at ? -1 : 1;
  if (one->depth != other->depth) return one->depth - other->depth;
  return one->record.offset < other->record.offset ? -1 : one->record.offset > other->record.offset;
}

/* ---- what it did to the ledger: payment decides these records once more ---- */

static struct str ledger_state(struct story *story, struct runtime *runtime) {
  struct arena scratch = {0};
  struct str key =
      arena_format(&scratch, "%c%.*s", payment_rows[ROW_LEDGER].prefix, STR_ARGS(story->id));
  struct str bytes = store_get(runtime_store(runtime), 0, key, &scratch);
  struct record row;
  char error[CODEC_ERROR_SIZE];
  struct str state = STR("nothing known");
  if (bytes.data && codec_decode(story->codec, bytes, &scratch, &row, error))
    state = str_of(ledger_state_enum.symbols[((const struct ledger *)row.value)->state]);
  arena_free(&scratch);
  return state;
}

static void decide_again(struct story *story) {
  const struct processor *payment = shadow_filter("payment");
  struct memory_cluster *cluster = memory_cluster_new();
  pipe_prepare(cluster, payment, 1);
  struct failure failure;
  struct runtime_config config = {.processor = payment, .tombstone_retention_ms = INT64_MAX};
  config.log = memory_log_open(cluster, payment->name, payment->input, payment->changelog, 0);
  struct runtime *runtime = runtime_new(&config, &failure);
  for (size_t i = 0; runtime && i < story->count; i++) {
    struct happening *step = &story->steps[i];
    if (strcmp(step->topic, payment->input) != 0) continue;
    step->before = ledger_state(story, runtime);
    memory_append(cluster, payment->input, 0, &step->record);
    enum runtime_status status;
    do {
      status = runtime_step(runtime, 0);
    } while (status == RUNTIME_BUSY);
    step->after = ledger_state(story, runtime);
    if (status == RUNTIME_FAILED) break;
  }
  runtime_free(runtime);
  memory_cluster_free(cluster);
}

/* ---- what stock-check saw: its state is made again up to the request ---- */

static void forget_output(void *user, const char *topic, const struct log_output *output) {
  (void)user;
  (void)topic;
  (void)output;
}

static json_t *stock_at(struct story *story, struct store *store, const struct happening *step,
                        int64_t offset) {
  const struct processor *stock_check = shadow_filter("stock-check");
  const struct shadow shadow = {.options = story->options,
                                .processor = stock_check,
                                .store = store,
                                .partition = step->partition,
                                .partitions = step->partition + 1,
                                .to = offset,
                                .output = forget_output};
  if (!shadow_run(&shadow, &story->failure)) return NULL;
  struct str item = text_field(story->codec, step->value, STR("item_id")), bytes;
  struct arena scratch = {0};
  struct str key =
      arena_format(&scratch, "%c%.*s", stock_check_rows[ROW_ITEM].prefix, STR_ARGS(item));
  bytes = store_get(store, step->partition, key, &scratch);
  struct record row;
  char error[CODEC_ERROR_SIZE];
  json_t *json = json_null();
  if (bytes.data && codec_decode(story->codec, bytes, &scratch, &row, error)) {
    const struct stock_level *level = row.value;
    json = json_pack("{s:i,s:i,s:i,s:i,s:b}", "capacity", (int)level->capacity, "available",
                     (int)(level->capacity - level->held - level->sold), "held", (int)level->held,
                     "sold", (int)level->sold, "closed", level->closed);
  }
  arena_free(&scratch);
  return json;
}

static bool see_stock(struct story *story) {
  char directory[300], path[400], error[400];
  int code;
  if (!options_flag(story->options, "stock")) return true;
  if (!spill_make(options_text(story->options, "spill-dir"), directory, sizeof directory)) {
    snprintf(story->failure.text, sizeof story->failure.text, "see --spill-dir");
    return false;
  }
  snprintf(path, sizeof path, "%s/stock", directory);
  struct store *store = store_open(path, NULL, (struct store_memory){.cache = CACHE_BYTES}, error,
                                   sizeof error, &code);
  bool fine = store != NULL;
  /* Steps are in the order of time, and so are those of one partition. */
  for (size_t i = 0; fine && i < story->count; i++) {
    struct happening *step = &story->steps[i];
    if (strcmp(step->topic, "stock-requests") != 0 || !step->readable) continue;
    json_t *before = stock_at(story, store, step, step->record.offset),
           *after = before ? stock_at(story, store, step, step->record.offset + 1) : NULL;
    fine = after != NULL;
    if (fine)
      step->stock = json_pack("{s:o,s:o}", "before", before, "after", after);
    else
      json_decref(before);
  }
  store_close(store);
  spill_remove(directory);
  return fine;
}

/* ---- telling ---- */

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

static void tell(struct story *story) {
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

static int explain(const struct options *options, const char *id) {
  static struct story story; /* too large for a stack */
  story =
      (struct story){.options = options, .codec = codec_new(&holdfast_schemas), .id = str_of(id)};
  story.failure.exit_code = EX_UNAVAILABLE;
  int code = EX_OK;
  story.admin = kafka_admin_open(options, &story.failure);
  bool fine = story.admin && gather_all(&story);
  order_times(&story);
  qsort(story.steps, story.count, sizeof *story.steps, by_time);
  if (fine && story.count == 0) {
    story.failure.exit_code = EX_NOINPUT;
    snprintf(story.failure.text, sizeof story.failure.text,
             "no record is about '%s': is the id right, and --prefix?", id);
    fine = false;
  }
  if (fine) {
    decide_again(&story);
    fine = see_stock(&story);
  }
  if (fine) {
    tell(&story);
  } else {
    fprintf(stderr, "holdfast explain: %s\n", story.failure.text);
    code = story.failure.exit_code;
  }
  for (size_t i = 0; i < story.count; i++) json_decref(story.steps[i].stock);
  kafka_admin_close(story.admin);
  codec_free(story.codec);
  arena_free(&story.arena);
  return code;
}

int explain_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    if (options.argument_count == 1) {
      code = explain(&options, options.arguments[0]);
    } else {
      fprintf(stderr, "holdfast explain: name one reservation\n");
      code = EX_USAGE;
    }
  }
  options_free(&options);
  return code;
}
