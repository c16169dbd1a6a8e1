#include "runtime/contract/view.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/record/binary.h"
#include "runtime/record/json.h"
#include "runtime/core/view_internal.h"

#define PAGE_ROWS_MAX 20000 /* read for one page, of each partition */

/* {} stands at most once and takes what is left between its ends: MHD has decoded %XX in the whole
 * path, and an id may hold a slash. Ids are texts: bytes that are none name nothing. */
static bool matches(const char *route, struct str path, struct str *part) {
  const char *hole = strstr(route, "{}");
  if (!hole) return str_equal(str_of(route), path);
  struct str head = {route, (size_t)(hole - route)}, tail = str_of(hole + 2);
  if (path.size <= head.size + tail.size || !str_starts_with(path, head)) return false;
  *part = (struct str){path.data + head.size, path.size - head.size - tail.size};
  return str_equal((struct str){part->data + part->size, tail.size}, tail) && utf8_valid(*part);
}

const struct route *route_find(const struct route *routes, const char *path, struct str *part) {
  for (const struct route *route = routes; route && route->path; route++) {
    if (matches(route->path, str_of(path), part)) return route;
  }
  return NULL;
}

struct str view_key(const struct view *view, const struct row_kind *kind, const struct str *parts,
                    size_t count) {
  size_t size = kind->prefix != '\0';
  for (size_t i = 0; i < count; i++) size += parts[i].size + (i > 0);
  char *key = arena_alloc(view->arena, size + 1), *at = key;
  if (kind->prefix) *at++ = kind->prefix;
  for (size_t i = 0; i < count; i++) {
    if (i > 0) *at++ = '\0';
    if (parts[i].size) memcpy(at, parts[i].data, parts[i].size);
    at += parts[i].size;
  }
  return (struct str){key, size};
}

static const void *decode(const struct view *view, const struct row_kind *kind, struct str bytes) {
  char error[CODEC_ERROR_SIZE];
  struct record record;
  return codec_decode(view->codec, bytes, view->arena, &record, error) && record.type == kind->type
             ? record.value
             : NULL;
}

const void *view_get(const struct view *view, const struct row_kind *kind, struct str key) {
  for (size_t i = 0; i < view->partition_count; i++) {
    struct str bytes =
        store_get(runtime_store(view->runtime), view->partitions[i], key, view->arena);
    if (bytes.data) return decode(view, kind, bytes);
  }
  return NULL;
}

json_t *view_json(const struct view *view, const struct row_kind *kind, const void *row) {
  json_t *json = record_to_json(codec_schemas(view->codec), (struct record){kind->type, row});
  json_object_del(json, "type");
  return json;
}

void http_problem(struct http_request *request, int status, const char *title, const char *detail) {
  request->status = status;
  json_decref(request->body);
  request->body = json_pack("{s:s,s:i,s:s}", "title", title, "status", status, "detail", detail);
}

/* ---- pages ---- */

struct found {
  struct str key;
  json_t *json;
};

struct scan {
  const struct view *view;
  const struct row_kind *kind;
  json_t *(*show)(const struct view *, void *, struct str, const void *);
  void *user;
  struct found *found; /* of all partitions */
  size_t count, capacity;
  size_t limit, partition_found, partition_rows;
  struct str last; /* key read last of this partition */
  bool cut;        /* this partition has more */
};

static bool visit(void *user, struct str key, struct str value) {
  struct scan *scan = user;
  if (scan->partition_found == scan->limit || scan->partition_rows == PAGE_ROWS_MAX) {
    scan->cut = true;
    return false;
  }
  scan->partition_rows++;
  scan->last = arena_copy(scan->view->arena, key);
  const void *row = decode(scan->view, scan->kind, value);
  json_t *json = row ? scan->show(scan->view, scan->user, scan->last, row) : NULL;
  if (!json) return true;
  scan->partition_found++;
  scan->found = xgrow(scan->found, &scan->capacity, scan->count + 1, sizeof *scan->found);
  scan->found[scan->count++] = (struct found){scan->last, json};
  return true;
}

static int by_key(const void *a, const void *b) {
  return str_compare(((const struct found *)a)->key, ((const struct found *)b)->key);
}

static bool parse_cursor(const struct view *view, const char *text, struct str *out) {
  size_t size = strlen(text);
  char *key = arena_alloc(view->arena, size / 2 + 1);
  for (size_t i = 0; i + 1 < size; i += 2) {
    unsigned byte;
    char pair[3] = {text[i], text[i + 1], '\0'};
    if (strspn(pair, "0123456789abcdef") != 2 || sscanf(pair, "%2x", &byte) != 1) return false;
    key[i / 2] = (char)byte;
  }
  *out = (struct str){key, size / 2};
  return size > 0 && size % 2 == 0 && size / 2 <= ROW_KEY_SIZE_MAX;
}

static bool parse_limit(const char *text, size_t *out) {
  char *end;
  unsigned long limit = text ? strtoul(text, &end, 10) : PAGE_LIMIT_DEFAULT;
  *out = limit;
  return !text || (*text >= '1' && *text <= '9' && *end == '\0' && limit <= PAGE_LIMIT_MAX);
}

/* Merges the partitions' rows; those past the place at which one of the partitions was cut wait for
 * the next page. */
static json_t *merge(struct scan *scan, struct str bound, json_t *keys) {
  if (scan->count) qsort(scan->found, scan->count, sizeof *scan->found, by_key);
  json_t *items = json_array();
  struct str next = bound;
  size_t taken = 0;
  for (size_t i = 0; i < scan->count; i++) {
    bool past = bound.data && str_compare(scan->found[i].key, bound) > 0;
    if (past || taken == scan->limit) {
      if (taken == scan->limit) next = scan->found[i - 1].key;
      break;
    }
    json_array_append(items, scan->found[i].json);
    json_array_append_new(keys, json_hex(scan->found[i].key));
    taken++;
  }
  for (size_t i = 0; i < scan->count; i++) json_decref(scan->found[i].json);
  free(scan->found);
  return json_pack("{s:o,s:o}", "items", items, "next", next.data ? json_hex(next) : json_null());
}

json_t *view_page(const struct view *view, struct http_request *request,
                  const struct row_kind *kind, struct str prefix,
                  json_t *(*show)(const struct view *, void *, struct str, const void *),
                  void *user) {
  struct scan scan = {.view = view, .kind = kind, .show = show, .user = user};
  struct str after = {0}, bound = {0};
  const char *cursor = request->query(request, "after");
  if (!parse_limit(request->query(request, "limit"), &scan.limit)) {
    http_problem(request, 400, "Bad limit", "limit must be a whole number from 1 to 500");
    return NULL;
  }
  if (cursor && (!parse_cursor(view, cursor, &after) || !str_starts_with(after, prefix))) {
    http_problem(request, 400, "Bad cursor", "after must be the 'next' of the page before");
    return NULL;
  }
  for (size_t i = 0; i < view->partition_count; i++) {
    scan.partition_found = scan.partition_rows = 0;
    scan.cut = false;
    store_scan(runtime_store(view->runtime), view->partitions[i], prefix, after, visit, &scan);
    if (scan.cut && (!bound.data || str_compare(scan.last, bound) < 0)) bound = scan.last;
  }
  json_decref(request->keys);
  request->keys = json_array();
  return merge(&scan, bound, request->keys);
}
