#include "runtime/memory/pipe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "runtime/record/line.h"
#include "runtime/base/report.h"
#include "runtime/core/recovery.h"
#include "runtime/core/runtime.h"

#define TAIL_MAX 64
#define CALL_WAIT_MS 20

/* ---- following topics of the log in memory ---- */

struct tail_partition {
  const char *topic;
  int32_t partition;
  int64_t next;
};

struct tail {
  const struct memory_cluster *cluster;
  struct tail_partition partitions[TAIL_MAX];
  size_t count;
};

struct tail *tail_new(const struct memory_cluster *cluster) {
  struct tail *tail = xcalloc(1, sizeof *tail);
  tail->cluster = cluster;
  return tail;
}

void tail_add(struct tail *tail, const char *topic) {
  for (size_t i = 0; i < tail->count; i++) {
    if (strcmp(tail->partitions[i].topic, topic) == 0) return;
  }
  for (int32_t i = 0; i < memory_topic_partitions(tail->cluster, topic); i++) {
    if (tail->count == TAIL_MAX) abort();
    tail->partitions[tail->count++] = (struct tail_partition){topic, i, 0};
  }
}

bool tail_next(struct tail *tail, const char **topic, const struct message **record) {
  struct tail_partition *first = NULL;
  *record = NULL;
  for (size_t i = 0; i < tail->count; i++) {
    struct tail_partition *one = &tail->partitions[i];
    const struct message *next = memory_read(tail->cluster, one->topic, one->partition, one->next);
    if (!next || (*record && (*record)->sequence < next->sequence)) continue;
    first = one;
    *record = next;
  }
  if (!first) return false;
  first->next = (*record)->offset + 1;
  *topic = first->topic;
  return true;
}

void tail_free(struct tail *tail) {
  free(tail);
}

/* ---- a filter in memory ---- */

static void genesis(struct memory_cluster *cluster, const struct processor *processor,
                    int32_t partition, int64_t epoch, int64_t offset, int64_t changelog) {
  char text[160];
  commit_metadata_format(&(struct commit_metadata){.epoch = epoch,
                                                   .intent_id = "-",
                                                   .last_changelog = changelog,
                                                   .first_changelog = changelog + 1},
                         text);
  memory_commit_offset(cluster, processor->name, processor->input, partition, offset, text);
}

void pipe_prepare(struct memory_cluster *cluster, const struct processor *processor,
                  int32_t partitions) {
  memory_topic_create(cluster, processor->input, partitions);
  for (const struct output *output = processor->outputs; output && output->topic; output++)
    memory_topic_create(cluster, output->topic, partitions);
  if (processor->changelog) memory_topic_create(cluster, processor->changelog, partitions);
  if (processor->open_input) memory_topic_create(cluster, "dead-letters", partitions);
  for (int32_t i = 0; i < partitions; i++) genesis(cluster, processor, i, 1, 0, -1);
}

/* ---- the pipe ---- */

struct pipe {
  const struct processor *processor;
  struct memory_cluster *cluster;
  struct runtime *runtime;
  struct codec *codec;
  struct arena arena;
  struct tail *outputs;
  int64_t now;
};

/* The log begins where the store stands, since what was read in former runs is not kept
 * anywhere. */
static void begin_at(struct pipe *pipe, struct store *store) {
  struct store_meta meta;
  if (!store_meta(store, 0, &meta)) return;
  const struct processor *processor = pipe->processor;
  memory_topic_begin_at(pipe->cluster, processor->input, 0, meta.next_input);
  if (processor->changelog)
    memory_topic_begin_at(pipe->cluster, processor->changelog, 0, meta.next_changelog);
  genesis(pipe->cluster, processor, 0, meta.epoch, meta.next_input, meta.next_changelog - 1);
}

static int open_runtime(struct pipe *pipe, const struct options *options, struct store **store) {
  struct runtime_config config = {
      .processor = pipe->processor, .options = options, .tombstone_retention_ms = INT64_MAX};
  struct failure failure = {0};
  if (options_given(options, "state-dir") && pipe->processor->rows) {
    char directory[512], owner[128], error[400];
    int code;
    snprintf(directory, sizeof directory, "%s/%s-pipe", options_text(options, "state-dir"),
             pipe->processor->name);
    snprintf(owner, sizeof owner, "%s in a pipe", pipe->processor->name);
    if (!(*store = store_open(directory, owner, (struct store_memory){.cache = (size_t)16 << 20},
                              error, sizeof error, &code))) {
      report_error("%s", error);
      return code;
    }
    begin_at(pipe, *store);
    config.store = *store;
  }
  config.log = memory_log_open(pipe->cluster, pipe->processor->name, pipe->processor->input,
                               pipe->processor->changelog, 0);
  pipe->runtime = runtime_new(&config, &failure);
  if (pipe->runtime) return EX_OK;
  report_error("%s", failure.text);
  return failure.exit_code;
}

static void print_line(struct pipe *pipe, const char *topic, const struct message *record) {
  json_t *json = line_json(pipe->codec, topic, record);
  struct str line = json_line(json, &pipe->arena);
  printf("%.*s\n", STR_ARGS(line));
  json_decref(json);
}

/* Decides until nothing is left to do, and prints what came of it. */
static int settle(struct pipe *pipe) {
  enum runtime_status status;
  do {
    status = runtime_step(pipe->runtime, CALL_WAIT_MS);
  } while (status == RUNTIME_BUSY || (status == RUNTIME_IDLE && runtime_in_flight(pipe->runtime)));
  const char *topic;
  const struct message *record;
  while (tail_next(pipe->outputs, &topic, &record)) print_line(pipe, topic, record);
  if (status != RUNTIME_FAILED) return EX_OK;
  report_error("%s", runtime_failure(pipe->runtime)->text);
  return runtime_failure(pipe->runtime)->exit_code;
}

static int take_line(struct pipe *pipe, struct str line, unsigned long number) {
  struct str topic;
  struct message record;
  char error[CODEC_ERROR_SIZE];
  if (!line_parse(pipe->codec, line, &pipe->arena, &topic, &record, error)) {
    report_error("line %lu: %s", number, error);
    return EX_DATAERR;
  }
  if (!str_equal(topic, str_of(pipe->processor->input))) {
    printf("%.*s\n", STR_ARGS(line));
    return EX_OK;
  }
  if (record.timestamp > pipe->now)
    memory_cluster_set_time(pipe->cluster, pipe->now = record.timestamp);
  memory_append(pipe->cluster, pipe->processor->input, 0, &record);
  return settle(pipe);
}

static int read_lines(struct pipe *pipe) {
  char *buffer = NULL;
  size_t capacity = 0;
  struct str line;
  bool too_long;
  int code = settle(pipe);
  for (unsigned long number = 1;
       code == EX_OK && line_read(stdin, &buffer, &capacity, &line, &too_long); number++) {
    arena_reset(&pipe->arena);
    if (too_long) {
      report_error("line %lu: longer than %zu bytes", number, LINE_SIZE_MAX);
      code = EX_DATAERR;
    } else if (line.size) {
      code = take_line(pipe, line, number);
    }
  }
  free(buffer);
  return code;
}

int pipe_main(const struct processor *processor, const struct options *options) {
  struct pipe pipe = {.processor = processor,
                      .cluster = memory_cluster_new(),
                      .codec = codec_new(&holdfast_schemas)};
  struct store *store = NULL;
  if (!options_given(options, "log-level")) report_as(processor->name, LEVEL_WARNING);
  pipe_prepare(pipe.cluster, processor, 1);
  int code = open_runtime(&pipe, options, &store);
  if (code == EX_OK) {
    pipe.outputs = tail_new(pipe.cluster);
    for (const struct output *output = processor->outputs; output && output->topic; output++)
      tail_add(pipe.outputs, output->topic);
    if (processor->open_input) tail_add(pipe.outputs, "dead-letters");
    code = read_lines(&pipe);
  }
  if (fflush(stdout) != 0 && code == EX_OK) code = EX_IOERR;
  runtime_free(pipe.runtime);
  store_close(store);
  tail_free(pipe.outputs);
  codec_free(pipe.codec);
  arena_free(&pipe.arena);
  memory_cluster_free(pipe.cluster);
  return code;
}
