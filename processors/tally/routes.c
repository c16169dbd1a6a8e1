/* The questions that tally answers. */
#include "tally.h"
#include "runtime/contract/view.h"

static json_t *show(const struct view *view, void *user, struct str key, const void *row) {
  (void)user;
  (void)key;
  return view_json(view, &tally_rows[ROW_TALLY], row);
}

static void answer(const struct view *view, struct http_request *request, struct str prefix) {
  json_t *page = view_page(view, request, &tally_rows[ROW_TALLY], prefix, show, NULL);
  if (!page) return;
  request->body = json_pack("{s:O,s:O}", "tallies", json_object_get(page, "items"), "next",
                            json_object_get(page, "next"));
  json_decref(page);
}

/* GET /tallies/{item} */
static void of_item(const struct view *view, struct http_request *request) {
  struct str parts[] = {request->part, STR("")};
  answer(view, request, view_key(view, &tally_rows[ROW_TALLY], parts, 2));
}

/* GET /tallies */
static void of_all(const struct view *view, struct http_request *request) {
  answer(view, request, view_key(view, &tally_rows[ROW_TALLY], NULL, 0));
}

const struct route tally_routes[] = {{.path = "/tallies/{}",
                                      .answer = of_item,
                                      .summary = "what was sold of an item, by option",
                                      .list = "tallies",
                                      .by_key = true},
                                     {.path = "/tallies",
                                      .answer = of_all,
                                      .summary = "of all items; ?limit= &after=",
                                      .list = "tallies"},
                                     {0}};
