/* What comes over HTTP: the questions of a view's pages, and what its other instances answer. */
#include "runtime/http/fan_out.h"
#include "fuzz.h"
#include "runtime/base/report.h"
#include "runtime/memory/pipe.h"
#include "runtime/contract/processors.h"
#include "gen/records.h"
#include "runtime/core/view_internal.h"

#define SITES 3
#define PATH_SIZE 4096

struct site {
  struct runtime *runtime;
  const struct processor *processor;
};
static struct site sites[SITES];
static struct codec *codec;

static void append(struct memory_cluster *cluster, struct site *site, struct str key, int type,
                   const void *value) {
  struct arena arena = {0};
  struct str bytes = codec_encode(codec, (struct record){type, value}, &arena);
  memory_append(cluster, site->processor->input, 0, &(struct message){.key = key, .value = bytes});
  arena_free(&arena);
}

/* catalog has two items, history a reservation of one customer, tally what was sold of an item. */
static void fill(struct memory_cluster *cluster, struct site *site) {
  const struct stock_level levels[] = {{.item_id = STR("book-1"), .title = STR("book-1")},
                                       {.item_id = STR("book-2"), .title = STR("book-2")}};
  const struct status_changed step = {.reservation_id = STR("r-1"),
                                      .customer_id = STR("kim"),
                                      .item_id = STR("book-1"),
                                      .status = STATUS_APPROVED};
  const struct reservation_outcome outcome = {.reservation_id = STR("r-1"),
                                              .customer_id = STR("kim"),
                                              .item_id = STR("book-1"),
                                              .option = STR("blue"),
                                              .quantity = 1,
                                              .status = STATUS_APPROVED};
  if (strcmp(site->processor->name, "catalog") == 0) {
    for (int i = 0; i < 2; i++)
      append(cluster, site, levels[i].item_id, RECORD_STOCK_LEVEL, &levels[i]);
  } else if (strcmp(site->processor->name, "history") == 0) {
    append(cluster, site, step.customer_id, RECORD_STATUS_CHANGED, &step);
  } else {
    append(cluster, site, outcome.item_id, RECORD_RESERVATION_OUTCOME, &outcome);
  }
}

static void open_site(struct site *site) {
  struct memory_cluster *cluster = memory_cluster_new();
  struct failure failure;
  const struct processor *processor = site->processor;
  pipe_prepare(cluster, processor, 1);
  struct runtime_config config = {.processor = processor, .tombstone_retention_ms = INT64_MAX};
  config.log = memory_log_open(cluster, processor->name, processor->input, processor->changelog, 0);
  site->runtime = runtime_new(&config, &failure);
  must(site->runtime != NULL, "no site");
  fill(cluster, site);
  for (int i = 0; i < 20; i++) runtime_step(site->runtime, 0);
}

static void open_sites(void) {
  int count = 0;
  report_as("fuzz", LEVEL_ERROR);
  codec = codec_new(&holdfast_schemas);
  for (const struct processor *const *p = all_processors; *p; p++) {
    if (!(*p)->routes) continue;
    must(count < SITES, "a view that is not asked");
    sites[count].processor = *p;
    open_site(&sites[count++]);
  }
  must(count == SITES, "a view is missing");
}

static const char *const names[] = {"limit", "after", "status", "item"};
#define QUERIES (sizeof names / sizeof *names)
static char asked[QUERIES][2048];

static const char *query(const struct http_request *request, const char *name) {
  (void)request;
  for (size_t i = 0; i < QUERIES; i++) {
    if (strcmp(names[i], name) == 0 && asked[i][0]) return asked[i];
  }
  return NULL;
}

static void ask(const struct site *site, const struct route *route, struct str part, size_t size) {
  static const int32_t partitions[] = {0};
  struct arena arena = {0};
  struct view view = {.runtime = site->runtime,
                      .codec = codec,
                      .arena = &arena,
                      .partitions = partitions,
                      .partition_count = 1};
  struct http_request request = {
      .part = part, .partition = ALL_PARTITIONS, .query = query, .status = 200};
  route->answer(&view, &request);
  must(request.body != NULL, "a question without an answer");
  char *text = json_dumps(request.body, 0);
  must(text != NULL, "an answer that is no JSON");
  free(text);
  json_decref(request.body);
  json_decref(request.keys);
  must_be_linear(&arena, size);
  arena_free(&arena);
}

/* What the {} of the route took, put back into its place, is the path that was asked. */
static void puts_back(const struct route *route, struct str part, const char *path) {
  char again[PATH_SIZE];
  const char *hole = strstr(route->path, "{}");
  int head = hole ? (int)(hole - route->path) : (int)strlen(route->path);
  snprintf(again, sizeof again, "%.*s%.*s%s", head, route->path, STR_ARGS(part),
           hole ? hole + 2 : "");
  must(strcmp(again, path) == 0, "a path that is another");
  must(!hole || part.size, "a name without a letter");
}

static void ask_path(struct str text, size_t size) {
  char path[PATH_SIZE];
  snprintf(path, sizeof path, STR_FORMAT, STR_ARGS(text));
  for (struct site *site = sites; site < sites + SITES; site++) {
    struct str part = {0};
    const struct route *route = route_find(site->processor->routes, path, &part);
    if (!route) continue;
    puts_back(route, part, path);
    ask(site, route, part, size);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!codec) open_sites();
  size_t all = size;
  json_t *json = json_loadb((const char *)data, size, 0, NULL);
  struct piece piece;
  if (json) {
    piece_from_json(json, &piece);
    piece_free(&piece);
  }
  for (size_t i = 0; i < QUERIES; i++) {
    struct str text = take_text(&data, &size);
    snprintf(asked[i], sizeof asked[i], STR_FORMAT, STR_ARGS(text));
  }
  ask_path((struct str){(const char *)data, size}, all);
  return 0;
}
