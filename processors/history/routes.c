/* The questions that history answers. */
#include "history.h"
#include "runtime/contract/view.h"

static json_t *reservation_json(const struct view *view, const struct reservation_view *row) {
  json_t *json = view_json(view, &history_rows[ROW_RESERVATION], row);
  json_object_del(json, "content_hash");
  json_object_del(json, "tallied_revision");
  if (row->refused) json_object_set_new(json, "status", json_string("REFUSED"));
  return json;
}

static json_t *show_own(const struct view *view, void *user, struct str key, const void *row) {
  (void)user;
  (void)key;
  return reservation_json(view, row);
}

static json_t *refusals_json(const struct view *view, const struct customer_view *customer) {
  json_t *json = view_json(view, &history_rows[ROW_CUSTOMER], customer);
  json_t *refusals = json_incref(json_object_get(json, "refusals"));
  json_decref(json);
  return refusals;
}

/* GET /customers/{id}/reservations */
static void customer_reservations(const struct view *view, struct http_request *request) {
  struct str parts[] = {request->part, STR("")};
  const struct customer_view *customer = view_get(
      view, &history_rows[ROW_CUSTOMER], view_key(view, &history_rows[ROW_CUSTOMER], parts, 1));
  json_t *page =
      view_page(view, request, &history_rows[ROW_RESERVATION],
                view_key(view, &history_rows[ROW_RESERVATION], parts, 2), show_own, NULL);
  if (!page) return;
  if (!customer && json_array_size(json_object_get(page, "items")) == 0 &&
      !request->query(request, "after")) {
    json_decref(page);
    http_problem(request, 404, "Unknown customer",
                 "no customer of this id has reserved or signed up");
    return;
  }
  json_t *who = json_pack("{s:s%}", "customer_id", parts[0].data, parts[0].size);
  if (customer) {
    json_object_set_new(who, "name", json_stringn(customer->name.data, customer->name.size));
    json_object_set_new(who, "contact",
                        json_stringn(customer->contact.data, customer->contact.size));
    json_object_set_new(who, "language",
                        json_stringn(customer->language.data, customer->language.size));
  }
  request->body = json_pack("{s:o,s:O,s:O,s:o}", "customer", who, "reservations",
                            json_object_get(page, "items"), "next", json_object_get(page, "next"),
                            "refused", customer ? refusals_json(view, customer) : json_array());
  json_decref(page);
}

/* The owner row of a reservation ends with its customer. */
static const struct reservation_view *find_owned(const struct view *view, struct str reservation_id,
                                                 struct str customer_id) {
  struct str parts[] = {customer_id, reservation_id};
  return view_get(view, &history_rows[ROW_RESERVATION],
                  view_key(view, &history_rows[ROW_RESERVATION], parts, 2));
}

struct wanted {
  struct str reservation_id, item;
  const char *status;
};

static json_t *show_wanted(const struct view *view, void *user, struct str key, const void *row) {
  const struct wanted *wanted = user;
  const struct reservation_owner *owner = row;
  struct str reservation_id = {key.data + 1, key.size - 2 - owner->customer_id.size};
  const struct reservation_view *reservation = find_owned(view, reservation_id, owner->customer_id);
  if (!reservation) return NULL; /* its partition has moved on since the scan began */
  if (wanted->status && strcmp(wanted->status, status_enum.symbols[reservation->status]) != 0)
    return NULL;
  if (wanted->item.data && !str_equal(wanted->item, reservation->item_id)) return NULL;
  return reservation_json(view, reservation);
}

/* GET /reservations/{id} */
static void one_reservation(const struct view *view, struct http_request *request) {
  struct str parts[] = {request->part, STR("")};
  struct wanted wanted = {0};
  struct http_request all = *request;
  json_t *page =
      view_page(view, &all, &history_rows[ROW_OWNER],
                view_key(view, &history_rows[ROW_OWNER], parts, 2), show_wanted, &wanted);
  json_t *found = page ? json_incref(json_array_get(json_object_get(page, "items"), 0)) : NULL;
  json_decref(page);
  json_decref(all.body);
  json_decref(all.keys);
  if (found) {
    request->body = found;
  } else {
    http_problem(request, 404, "Unknown reservation", "no reservation of this id is known");
  }
}

static bool known_status(const char *status) {
  for (int i = 0; i < status_enum.count; i++) {
    if (strcmp(status, status_enum.symbols[i]) == 0) return true;
  }
  return false;
}

/* GET /reservations?status=&item=&limit=&after= */
static void list_reservations(const struct view *view, struct http_request *request) {
  const char *status = request->query(request, "status"), *item = request->query(request, "item");
  struct wanted wanted = {.status = status && *status ? status : NULL,
                          .item = item && *item ? str_of(item) : (struct str){0}};
  if (wanted.status && !known_status(wanted.status)) {
    http_problem(request, 400, "Unknown status",
                 "status must be REQUESTED, HELD, PAYMENT_DEFERRED, APPROVED, REFUNDING, CANCELLED "
                 "or FAILED");
    return;
  }
  json_t *page = view_page(view, request, &history_rows[ROW_OWNER],
                           view_key(view, &history_rows[ROW_OWNER], NULL, 0), show_wanted, &wanted);
  if (!page) return;
  request->body = json_pack("{s:O,s:O}", "reservations", json_object_get(page, "items"), "next",
                            json_object_get(page, "next"));
  json_decref(page);
}

const struct route history_routes[] = {
    {.path = "/customers/{}/reservations",
     .answer = customer_reservations,
     .summary = "a customer's reservations and every step of each",
     .by_key = true},
    {.path = "/reservations/{}", .answer = one_reservation, .summary = "one reservation"},
    {.path = "/reservations",
     .answer = list_reservations,
     .summary = "all, by id; ?status= &item= &limit= &after=",
     .list = "reservations"},
    {0}};
