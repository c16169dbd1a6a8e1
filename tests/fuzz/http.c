/* What comes over HTTP: the questions of a view's pages, and what its other instances answer. */
#include "fan_out.h"
#include "fuzz.h"
#include "logging.h"
#include "pipe.h"
#include "processors.h"
#include "records.h"
#include "view_internal.h"

static struct {
  struct runtime *runtime;
  struct codec *codec;
  const struct processor *processor;
} site;

/* catalog, with two items. */
static void open_site(void) {
  struct memory_cluster *cluster = memory_cluster_new();
  struct arena arena = {0};
  struct log_failure failure;
  logging_set("fuzz", LEVEL_ERROR);
  for (const struct processor *const *p = all_processors; *p; p++) {
    if (strcmp((*p)->name, "catalog") == 0) site.processor = *p;
  }
  site.codec = codec_new(&holdfast_schemas);
  pipe_prepare(cluster, site.processor, 1);
  struct runtime_config config = {.processor = site.processor, .tombstone_retention_ms = INT64_MAX};
  config.log = memory_log_open(cluster, site.processor->name, site.processor->input,
                               site.processor->changelog, 0);
  site.runtime = runtime_new(&config, &failure);
  must(site.runtime != NULL, "no site");
  static const char *const items[] = {"book-1", "book-2"};
  for (int i = 0; i < 2; i++) {
    struct stock_level level = {.item_id = str_of(items[i]), .title = str_of(items[i])};
    struct str value =
        codec_encode(site.codec, (struct record){RECORD_STOCK_LEVEL, &level}, &arena);
    memory_append(cluster, site.processor->input, 0,
                  &(struct memory_record){.key = level.item_id, .value = value});
  }
  for (int i = 0; i < 20; i++) runtime_step(site.runtime, 0);
  arena_free(&arena);
}

static struct { char after[2048], limit[64]; } asked;

static const char *query(const struct http_request *request, const char *name) {
  (void)request;
  const char *text = strcmp(name, "after") == 0   ? asked.after
                     : strcmp(name, "limit") == 0 ? asked.limit
                                                  : "";
  return text[0] ? text : NULL;
}

static void ask(struct str part, size_t size) {
  static const int32_t partitions[] = {0};
  struct arena arena = {0};
  struct view view = {.runtime = site.runtime,
                      .codec = site.codec,
                      .arena = &arena,
                      .partitions = partitions,
                      .partition_count = 1};
  for (const struct route *route = site.processor->routes; route->path; route++) {
    struct http_request request = {
        .part = part, .partition = ALL_PARTITIONS, .query = query, .status = 200};
    route->answer(&view, &request);
    must(request.body != NULL, "a question without an answer");
    json_decref(request.body);
    json_decref(request.keys);
  }
  must_be_linear(&arena, size);
  arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!site.runtime) open_site();
  size_t all = size;
  json_t *json = json_loadb((const char *)data, size, 0, NULL);
  struct piece piece;
  if (json) {
    piece_from_json(json, &piece);
    piece_free(&piece);
  }
  struct str limit = take_text(&data, &size), after = take_text(&data, &size);
  snprintf(asked.limit, sizeof asked.limit, STR_FORMAT, STR_ARGS(limit));
  snprintf(asked.after, sizeof asked.after, STR_FORMAT, STR_ARGS(after));
  ask((struct str){(const char *)data, size}, all);
  return 0;
}
