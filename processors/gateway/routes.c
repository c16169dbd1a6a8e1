#include "routes.h"

#include <stdio.h>
#include <string.h>

#include "gen/records.h"
#include "token.h"

#define ANYBODY (ROLE_CUSTOMER | ROLE_MANAGER | ROLE_ADMINISTRATOR)

const struct gateway_route gateway_routes[] = {
    {.method = "POST",
     .path = "/reservations",
     .kind = ROUTE_COMMAND,
     .roles = ROLE_CUSTOMER,
     .summary = "Reserve units or seats of an item",
     .type = RECORD_RESERVE,
     .caller_field = "customer_id",
     .id_field = "reservation_id",
     .waits = true},
    {.method = "POST",
     .path = "/reservations/{}/payment",
     .kind = ROUTE_COMMAND,
     .roles = ROLE_CUSTOMER,
     .summary = "Pay a reservation whose payment is due by its customer",
     .type = RECORD_PAY,
     .part_field = "reservation_id",
     .caller_field = "customer_id",
     .waits = true},
    {.method = "POST",
     .path = "/reservations/{}/cancellation",
     .kind = ROUTE_COMMAND,
     .roles = ROLE_CUSTOMER,
     .summary = "Give a reservation up, before or after its payment",
     .type = RECORD_CANCEL,
     .part_field = "reservation_id",
     .caller_field = "customer_id",
     .waits = true},
    {.method = "DELETE",
     .path = "/reservations/{}",
     .kind = ROUTE_COMMAND,
     .roles = ROLE_CUSTOMER,
     .summary = "The same as its cancellation",
     .type = RECORD_CANCEL,
     .part_field = "reservation_id",
     .caller_field = "customer_id",
     .waits = true},
    {.method = "GET",
     .path = "/reservations/{}",
     .kind = ROUTE_VIEW,
     .roles = ANYBODY,
     .summary = "One reservation, with every step",
     .view = "history",
     .scope = SCOPE_OWN_RESERVATION},
    {.method = "GET",
     .path = "/reservations",
     .kind = ROUTE_VIEW,
     .roles = ROLE_ADMINISTRATOR,
     .summary = "All reservations; status, item, limit, after",
     .view = "history"},
    {.method = "PUT",
     .path = "/customers/{}",
     .kind = ROUTE_COMMAND,
     .roles = ROLE_CUSTOMER,
     .summary = "Name, contact and language of the caller (me is the caller)",
     .type = RECORD_REGISTER_CUSTOMER,
     .part_field = "customer_id",
     .caller_field = "customer_id",
     .scope = SCOPE_OWN_PART},
    {.method = "GET",
     .path = "/customers/{}/reservations",
     .kind = ROUTE_VIEW,
     .roles = ANYBODY,
     .summary = "A customer's reservations, with every step; limit, after",
     .view = "history",
     .scope = SCOPE_OWN_PART},
    {.method = "GET",
     .path = "/items",
     .kind = ROUTE_VIEW,
     .roles = ANYBODY,
     .summary = "What is on sale, and how much of it is left; limit, after",
     .view = "catalog"},
    {.method = "GET",
     .path = "/items/{}",
     .kind = ROUTE_VIEW,
     .roles = ANYBODY,
     .summary = "One item, with its seats; limit, after",
     .view = "catalog"},
    {.method = "PUT",
     .path = "/items/{}",
     .kind = ROUTE_COMMAND,
     .roles = ROLE_MANAGER,
     .summary = "An item and how it sells",
     .type = RECORD_REGISTER_ITEM,
     .part_field = "item_id",
     .caller_field = "manager_id"},
    {.method = "POST",
     .path = "/items/{}/receipts",
     .kind = ROUTE_COMMAND,
     .roles = ROLE_MANAGER,
     .summary = "More units of an item; a receipt counts once",
     .type = RECORD_RECEIVE_STOCK,
     .part_field = "item_id",
     .caller_field = "manager_id",
     .id_field = "receipt_id"},
    {.method = "POST",
     .path = "/items/{}/closing",
     .kind = ROUTE_COMMAND,
     .roles = ROLE_MANAGER,
     .summary = "No new reservations of the item from here on",
     .type = RECORD_CLOSE_ITEM,
     .part_field = "item_id",
     .caller_field = "manager_id"},
    {.method = "GET",
     .path = "/tallies",
     .kind = ROUTE_VIEW,
     .roles = STAFF,
     .summary = "What was sold, by item and option; limit, after",
     .view = "tally"},
    {.method = "GET",
     .path = "/tallies/{}",
     .kind = ROUTE_VIEW,
     .roles = STAFF,
     .summary = "What was sold of an item, by option",
     .view = "tally"},
    {.method = "GET",
     .path = "/events",
     .kind = ROUTE_EVENTS,
     .roles = ROLE_CUSTOMER | ROLE_ADMINISTRATOR,
     .summary = "Each step of the caller's reservations as it commits; of all, for administrators"},
    {.method = "GET",
     .path = "/openapi.json",
     .kind = ROUTE_DOCUMENT,
     .summary = "This interface, as OpenAPI 3.1"},
    {0}};

/* The pattern has at most one {}, which takes what is left between its ends and is not empty: MHD
 * has decoded %XX in the whole path, and an id may hold a slash. */
static bool matches(const char *pattern, struct str path, struct str *part) {
  const char *hole = strstr(pattern, "{}");
  *part = (struct str){0};
  if (!hole) return str_equal(str_of(pattern), path);
  struct str head = {pattern, (size_t)(hole - pattern)}, tail = str_of(hole + 2);
  if (path.size <= head.size + tail.size || !str_starts_with(path, head)) return false;
  *part = (struct str){path.data + head.size, path.size - head.size - tail.size};
  return str_equal((struct str){part->data + part->size, tail.size}, tail);
}

/* The longest pattern of the path, so that a wrong method is told, and not taken for an id such as
 * x/payment. NULL: there is none. */
static const char *pattern_of(struct str path) {
  const char *found = NULL;
  struct str part;
  for (const struct gateway_route *route = gateway_routes; route->method; route++) {
    bool longer = !found || strlen(route->path) > strlen(found);
    if (longer && matches(route->path, path, &part)) found = route->path;
  }
  return found;
}

const struct gateway_route *gateway_route_find(const char *method, const char *path,
                                               struct str *part, char *allowed, size_t size) {
  const char *pattern = pattern_of(str_of(path));
  if (strcmp(method, "HEAD") == 0) method = "GET";
  allowed[0] = '\0';
  for (const struct gateway_route *route = gateway_routes; pattern && route->method; route++) {
    if (strcmp(route->path, pattern) != 0) continue;
    matches(pattern, str_of(path), part);
    if (strcmp(route->method, method) == 0) return route;
    size_t used = strlen(allowed);
    snprintf(allowed + used, size - used, "%s%s", used ? ", " : "", route->method);
  }
  return NULL;
}
