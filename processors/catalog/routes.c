/* The questions that catalog answers. */
#include "catalog.h"
#include "runtime/contract/view.h"

static json_t *item_json(const struct view *view, const struct stock_level *item) {
  json_t *json = view_json(view, &catalog_rows[ROW_ITEM], item);
  json_object_set_new(json, "available",
                      json_integer((json_int_t)item->capacity - item->held - item->sold));
  return json;
}

static json_t *show_item(const struct view *view, void *user, struct str key, const void *row) {
  (void)user;
  (void)key;
  return item_json(view, row);
}

static json_t *show_seats(const struct view *view, void *user, struct str key, const void *row) {
  (void)user;
  (void)key;
  json_t *json = view_json(view, &catalog_rows[ROW_SEATS], row);
  json_object_del(json, "item_id");
  return json;
}

/* GET /items */
static void list_items(const struct view *view, struct http_request *request) {
  json_t *page = view_page(view, request, &catalog_rows[ROW_ITEM], STR(""), show_item, NULL);
  if (page) request->body = page; /* else it has its problem already */
}

/* GET /items/{id} */
static void one_item(const struct view *view, struct http_request *request) {
  struct str parts[] = {request->part, STR("")};
  const struct stock_level *item =
      view_get(view, &catalog_rows[ROW_ITEM], view_key(view, &catalog_rows[ROW_ITEM], parts, 1));
  if (!item) {
    http_problem(request, 404, "Unknown item", "no item of this id is registered");
    return;
  }
  json_t *json = item_json(view, item);
  if (item->rows.count) {
    json_t *page = view_page(view, request, &catalog_rows[ROW_SEATS],
                             view_key(view, &catalog_rows[ROW_SEATS], parts, 2), show_seats, NULL);
    if (!page) {
      json_decref(json);
      return;
    }
    json_object_set(json, "seats", json_object_get(page, "items"));
    json_object_set(json, "next", json_object_get(page, "next"));
    json_decref(page);
  }
  request->body = json;
}

const struct route catalog_routes[] = {
    {.path = "/items",
     .answer = list_items,
     .summary = "what is on sale and how much of it is left; ?limit= &after=",
     .list = "items"},
    {.path = "/items/{}",
     .answer = one_item,
     .summary = "one item, with its seats",
     .by_key = true},
    {0}};
