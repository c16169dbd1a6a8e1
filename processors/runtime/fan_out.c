#include "fan_out.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PIECES_MAX 64
#define URL_MAX 4096
#define TEXT_MAX 256

/* ---- a piece on its way ---- */

json_t *piece_to_json(struct piece *piece) {
  json_t *partitions = json_array();
  for (size_t i = 0; i < piece->partition_count; i++)
    json_array_append_new(partitions, json_integer(piece->partitions[i]));
  return json_pack("{s:i,s:o,s:o,s:o}", "status", piece->status, "body",
                   piece->body ? piece->body : json_null(), "keys",
                   piece->keys ? piece->keys : json_array(), "partitions", partitions);
}

bool piece_from_json(json_t *json, struct piece *piece) {
  size_t i;
  json_t *one;
  *piece = (struct piece){.status = (int)json_integer_value(json_object_get(json, "status")),
                          .body = json_incref(json_object_get(json, "body")),
                          .keys = json_incref(json_object_get(json, "keys"))};
  json_array_foreach(json_object_get(json, "partitions"), i, one) {
    if (i < VIEW_PARTITIONS_MAX)
      piece->partitions[piece->partition_count++] = (int32_t)json_integer_value(one);
  }
  json_decref(json);
  return piece->status > 0;
}

void piece_free(struct piece *piece) {
  json_decref(piece->body);
  json_decref(piece->keys);
}

/* ---- asking ---- */

struct asked {
  bool covered[VIEW_PARTITIONS_MAX];
  struct piece pieces[PIECES_MAX];
  size_t count;
};

static void add(struct asked *asked, const struct piece *piece) {
  asked->pieces[asked->count++] = *piece;
  for (size_t i = 0; i < piece->partition_count; i++) {
    int32_t partition = piece->partitions[i];
    if (partition >= 0 && partition < VIEW_PARTITIONS_MAX) asked->covered[partition] = true;
  }
}

/* The key of a call is the partition that names its owner. */
static void ask(struct calls *calls, const char *url, const char *path_and_query, int32_t partition,
                const char *list) {
  char full[URL_MAX];
  snprintf(full, sizeof full, "%s%s%cpartitions=%s", url, path_and_query,
           strchr(path_and_query, '?') ? '&' : '?', list);
  calls_start(calls, partition, STR("piece"), &(struct call_request){.method = "GET", .url = full});
}

static void ask_owners(struct owners *owners, struct calls *calls, const char *path_and_query,
                       const struct asked *asked) {
  int32_t count = owners_partitions(owners);
  bool done[VIEW_PARTITIONS_MAX] = {0};
  char url[OWNER_URL_MAX], other[OWNER_URL_MAX], list[VIEW_PARTITIONS_MAX * 4];
  for (int32_t p = 0; p < count && p < VIEW_PARTITIONS_MAX; p++) {
    if (asked->covered[p] || done[p] || !owners_find(owners, p, url)) continue;
    int used = 0;
    for (int32_t q = p; q < count && q < VIEW_PARTITIONS_MAX; q++) {
      bool his = !asked->covered[q] && owners_find(owners, q, other) && strcmp(url, other) == 0;
      if (!his) continue;
      done[q] = true;
      used += snprintf(list + used, sizeof list - (size_t)used, "%s%" PRId32, used ? "," : "", q);
    }
    ask(calls, url, path_and_query, p, list);
  }
}

static void hear(struct calls *calls, struct asked *asked) {
  while (calls_in_flight(calls)) {
    int32_t partition;
    struct str key;
    struct call_answer answer;
    if (!calls_next(calls, 100, &partition, &key, &answer)) continue;
    struct piece piece;
    json_t *json =
        answer.status == 200 ? json_loadb(answer.body.data, answer.body.size, 0, NULL) : NULL;
    if (!json) continue;
    bool heard = piece_from_json(json, &piece);
    if (heard && asked->count < PIECES_MAX) {
      add(asked, &piece);
    } else {
      piece_free(&piece);
    }
  }
}

/* ---- one answer ---- */

struct item {
  const char *key;
  json_t *json; /* borrowed */
};

static int by_key(const void *a, const void *b) {
  return strcmp(((const struct item *)a)->key, ((const struct item *)b)->key);
}

static const char *next_of(const struct piece *piece) {
  return json_string_value(json_object_get(piece->body, "next"));
}

static size_t limit_of(const struct http_request *request) {
  const char *text = request->query(request, "limit");
  return text ? strtoul(text, NULL, 10) : PAGE_LIMIT_DEFAULT; /* it was checked */
}

/* The first of all pages in the order of their keys. What lies past the end of a page that has a
 * next one waits: there may be more before it. */
static void merge(const struct asked *asked, const struct route *route,
                  struct http_request *request) {
  struct item *items = NULL;
  size_t capacity = 0, count = 0, i, limit = limit_of(request);
  const char *bound = NULL, *next;
  for (size_t p = 0; p < asked->count; p++) {
    json_t *item;
    if (asked->pieces[p].status != 200) continue;
    json_array_foreach(json_object_get(asked->pieces[p].body, route->list), i, item) {
      const char *key = json_string_value(json_array_get(asked->pieces[p].keys, i));
      if (!key) continue;
      items = xgrow(items, &capacity, count + 1, sizeof *items);
      items[count++] = (struct item){key, item};
    }
    next = next_of(&asked->pieces[p]);
    if (next && (!bound || strcmp(next, bound) < 0)) bound = next;
  }
  if (count) qsort(items, count, sizeof *items, by_key);
  json_t *list = json_array();
  next = bound;
  for (i = 0; i < count; i++) {
    bool past = bound && strcmp(items[i].key, bound) > 0, full = i == limit;
    if (full) next = items[i - 1].key;
    if (past || full) break;
    json_array_append(list, items[i].json);
  }
  free(items);
  request->body =
      json_pack("{s:o,s:o}", route->list, list, "next", next ? json_string(next) : json_null());
}

/* The partitions that nobody answers for, as a sentence; false: there is none. */
static bool away(const struct asked *asked, int32_t count, json_t *list, char *text) {
  int used = snprintf(text, TEXT_MAX, "being restored, or their instance is away: partitions");
  for (int32_t p = 0; p < count && p < VIEW_PARTITIONS_MAX; p++) {
    if (asked->covered[p]) continue;
    json_array_append_new(list, json_integer(p));
    if (used < TEXT_MAX) used += snprintf(text + used, TEXT_MAX - (size_t)used, " %" PRId32, p);
  }
  return json_array_size(list) > 0;
}

static void take(struct http_request *request, const struct piece *piece) {
  request->status = piece->status;
  request->body = json_incref(piece->body);
}

static void answer(const struct asked *asked, int32_t count, const struct route *route,
                   struct http_request *request) {
  char text[TEXT_MAX];
  json_t *missing = json_array();
  bool incomplete = away(asked, count, missing, text);
  const struct piece *said = NULL;
  for (size_t i = 0; i < asked->count; i++) {
    bool better = !said || said->status == 404;
    if (better || (asked->pieces[i].status == 400 && said->status != 200)) said = &asked->pieces[i];
  }
  if (route->list && said->status == 200) {
    merge(asked, route, request);
    if (incomplete) json_object_set(request->body, "restoring", missing);
  } else if (said->status == 404 && incomplete) {
    http_problem(request, 503, "Not ready", text);
  } else {
    take(request, said);
  }
  json_decref(missing);
}

void fan_out(struct owners *owners, struct calls *calls, const struct route *route,
             const char *path_and_query, struct piece *own, struct http_request *request) {
  struct asked *asked = xcalloc(1, sizeof *asked);
  for (int32_t p = 0; p < VIEW_PARTITIONS_MAX; p++)
    asked->covered[p] = request->partition != ALL_PARTITIONS && p != request->partition;
  add(asked, own);
  bool asks = own->status == 200 || own->status == 404;
  if (asks) {
    ask_owners(owners, calls, path_and_query, asked);
    hear(calls, asked);
  }
  answer(asked, owners_partitions(owners), route, request);
  for (size_t i = 0; i < asked->count; i++) piece_free(&asked->pieces[i]);
  free(asked);
}
