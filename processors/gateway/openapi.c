#include "openapi.h"

#include <stdio.h>
#include <string.h>

#include "gen/records.h"
#include "routes.h"
#include "runtime/record/schema.h"
#include "token.h"

#define OPERATION_MAX 64

/* As the entrance checks them (reserve-requested/checks.c); of texts their bytes. Rules between
 * fields are told in its refusals alone. */
static const struct {
  const char *field;
  int64_t least, most;
  const char *record; /* NULL: any */
} bounds[] = {
    {"quantity", 1, INT32_MAX, "ReceiveStock"},
    {"quantity", 0, 1000000, "Reserve"},
    {"seats", 1, 64, "Reserve"}, /* each of them */
    {"seats", 1, 1000, NULL},
    {"reservation_id", 1, 64, NULL},
    {"item_id", 1, 64, NULL},
    {"receipt_id", 1, 64, NULL},
    {"option", 0, 64, NULL},
    {"options", 1, 64, NULL},
    {"title", 1, 256, NULL},
    {"name", 1, 256, NULL},
    {"contact", 1, 256, NULL},
    {"screen", 0, 256, NULL},
    {"row", 1, 16, NULL},
    {"first", 1, 9000, NULL},
    {"capacity", 0, INT32_MAX, NULL},
    {"max_per_reservation", 1, 1000000, NULL},
    {"hold_seconds", 1, 31536000, NULL},
    {"amount", 0, INT64_C(1000000000000), NULL},
    {"price", 0, INT64_C(1000000000000), NULL},
};

static void set_bounds(json_t *schema, const char *record, const struct field *field) {
  bool text = field->kind == FIELD_STRING;
  for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
    if (strcmp(bounds[i].field, field->name) != 0) continue;
    if (bounds[i].record && strcmp(bounds[i].record, record) != 0) continue;
    json_object_set_new(schema, text ? "minLength" : "minimum", json_integer(bounds[i].least));
    json_object_set_new(schema, text ? "maxLength" : "maximum", json_integer(bounds[i].most));
    return;
  }
}

static json_t *schema_of_record(const struct record_desc *record,
                                const struct gateway_route *route);

static json_t *schema_of_field(const char *record, const struct field *field) {
  json_t *schema = NULL;
  switch (field->kind) {
    case FIELD_STRING: schema = json_pack("{s:s}", "type", "string"); break;
    case FIELD_BYTES:
      schema = json_pack("{s:s,s:s}", "type", "string", "pattern", "^([0-9a-f]{2})*$");
      break;
    case FIELD_INT: schema = json_pack("{s:s,s:s}", "type", "integer", "format", "int32"); break;
    case FIELD_LONG: schema = json_pack("{s:s,s:s}", "type", "integer", "format", "int64"); break;
    case FIELD_BOOL: schema = json_pack("{s:s}", "type", "boolean"); break;
    case FIELD_ENUM: {
      json_t *symbols = json_array();
      for (int i = 0; i < field->symbols->count; i++)
        json_array_append_new(symbols, json_string(field->symbols->symbols[i]));
      schema = json_pack("{s:s,s:o}", "type", "string", "enum", symbols);
      break;
    }
    case FIELD_RECORD: schema = schema_of_record(field->record, NULL); break;
  }
  if (field->kind != FIELD_RECORD) set_bounds(schema, record, field);
  return field->array ? json_pack("{s:s,s:o}", "type", "array", "items", schema) : schema;
}

static bool is_field(const char *field, const char *name) {
  return field && strcmp(field, name) == 0;
}

/* route: of the command that the record is; NULL: it stands inside another. */
static json_t *schema_of_record(const struct record_desc *record,
                                const struct gateway_route *route) {
  json_t *properties = json_object(), *required = json_array();
  for (size_t i = 0; i < record->field_count; i++) {
    const struct field *field = &record->fields[i];
    /* The path and the token say these */
    if (route &&
        (is_field(route->part_field, field->name) || is_field(route->caller_field, field->name)))
      continue;
    json_object_set_new(properties, field->name, schema_of_field(record->name, field));
    if (!field->has_default && !(route && is_field(route->id_field, field->name)))
      json_array_append_new(required, json_string(field->name));
  }
  json_t *schema = json_pack("{s:s,s:o,s:b}", "type", "object", "properties", properties,
                             "additionalProperties", 0);
  if (json_array_size(required)) json_object_set(schema, "required", required);
  json_decref(required);
  return schema;
}

static json_t *parameter(const char *in, const char *name, bool required, json_t *schema,
                         const char *description) {
  return json_pack("{s:s,s:s,s:b,s:o,s:s}", "name", name, "in", in, "required", required, "schema",
                   schema, "description", description);
}

static json_t *text_of(int most) {
  return json_pack("{s:s,s:i,s:i}", "type", "string", "minLength", 1, "maxLength", most);
}

static json_t *parameters_of(const struct gateway_route *route) {
  json_t *all = json_array();
  if (strstr(route->path, "{}"))
    json_array_append_new(all, parameter("path", "id", true, text_of(64), "1 to 64 bytes"));
  if (route->id_field)
    json_array_append_new(all, parameter("header", "Idempotency-Key", false, text_of(255),
                                         "makes the id, so that a repeat is the same command"));
  if (route->waits)
    json_array_append_new(
        all, parameter("header", "Prefer", false, json_pack("{s:s}", "type", "string"),
                       "wait=N: the outcome, if it comes within N seconds (at most 60)"));
  bool list = route->kind == ROUTE_VIEW && route->scope != SCOPE_OWN_RESERVATION;
  if (list) {
    json_array_append_new(
        all, parameter("query", "limit", false,
                       json_pack("{s:s,s:i,s:i}", "type", "integer", "minimum", 1, "maximum", 500),
                       "of the page"));
    json_array_append_new(all,
                          parameter("query", "after", false, json_pack("{s:s}", "type", "string"),
                                    "next of the page before"));
  }
  return all;
}

static void add_answer(json_t *answers, const char *status, const char *description,
                       const char *type) {
  json_object_set_new(answers, status,
                      json_pack("{s:s,s:{s:{s:{s:s}}}}", "description", description, "content",
                                type, "schema", "type", "object"));
}

/* Such as post_reservations_id_payment. */
static void name_operation(const struct gateway_route *route, char *out, size_t size) {
  size_t used = (size_t)snprintf(out, size, "%s", route->method);
  for (size_t i = 0; i < used; i++) out[i] = (char)(out[i] | 0x20);
  for (const char *at = route->path; *at && used + 4 < size; at++) {
    if (*at == '{') used += (size_t)snprintf(out + used, size - used, "id");
    if (*at != '{' && *at != '}') out[used++] = *at == '/' || *at == '.' ? '_' : *at;
  }
  out[used] = '\0';
}

/* What can be done with the resource that a command made or changed. */
static json_t *links_of(const struct gateway_route *route) {
  json_t *links = json_object();
  const char *open = strstr(route->path, "{}");
  char resource[OPERATION_MAX], name[OPERATION_MAX], id[OPERATION_MAX];
  if (open) {
    snprintf(resource, sizeof resource, "%.*s{}", (int)(open - route->path), route->path);
    snprintf(id, sizeof id, "$request.path.id");
  } else {
    snprintf(resource, sizeof resource, "%s/{}", route->path);
    snprintf(id, sizeof id, "$response.body#/%s", route->id_field);
  }
  for (const struct gateway_route *other = gateway_routes; other->method; other++) {
    if (other == route || !str_starts_with(str_of(other->path), str_of(resource))) continue;
    name_operation(other, name, sizeof name);
    json_object_set_new(links, name,
                        json_pack("{s:s,s:{s:s}}", "operationId", name, "parameters", "id", id));
  }
  return links;
}

static json_t *answers_of(const struct gateway_route *route) {
  static const char problem[] = "application/problem+json", json[] = "application/json";
  json_t *answers = json_object();
  if (route->kind != ROUTE_COMMAND || route->waits)
    add_answer(answers, "200", route->waits ? "the outcome" : "as it is now", json);
  if (route->kind == ROUTE_COMMAND) {
    add_answer(answers, "202", "it is in the log, for good", json);
    add_answer(answers, "409", "refused", problem);
    add_answer(answers, "413", "too large", problem);
    add_answer(answers, "415", "not JSON", problem);
    add_answer(answers, "422", "no valid command, or the key of another", problem);
    add_answer(answers, "504", "unknown whether it is in the log: send it again", problem);
    json_object_set_new(json_object_get(answers, "202"), "links", links_of(route));
    if (route->waits)
      json_object_set_new(json_object_get(answers, "200"), "links", links_of(route));
  }
  if (route->kind == ROUTE_DOCUMENT) return answers;
  add_answer(answers, "400", "malformed", problem);
  add_answer(answers, "401", "no valid token", problem);
  add_answer(answers, "403", "another role is needed", problem);
  add_answer(answers, "404", "unknown", problem);
  if (route->kind == ROUTE_VIEW) add_answer(answers, "414", "too long", problem);
  add_answer(answers, "429", "too many requests", problem);
  add_answer(answers, "503", "not now: Retry-After says when", problem);
  return answers;
}

static json_t *operation_of(const struct gateway_route *route) {
  char name[OPERATION_MAX];
  name_operation(route, name, sizeof name);
  json_t *operation = json_pack("{s:s,s:s,s:o,s:o}", "operationId", name, "summary", route->summary,
                                "parameters", parameters_of(route), "responses", answers_of(route));
  if (route->kind == ROUTE_COMMAND) {
    const struct record_desc *record = holdfast_schemas.records[route->type];
    json_t *schema = schema_of_record(record, route);
    bool required = json_object_get(schema, "required") != NULL;
    json_object_set_new(operation, "requestBody",
                        json_pack("{s:b,s:{s:{s:o}}}", "required", required, "content",
                                  "application/json", "schema", schema));
  }
  if (route->roles) json_object_set_new(operation, "security", json_pack("[{s:[]}]", "token"));
  return operation;
}

/* {} has a name there. */
static void put_path(json_t *paths, const struct gateway_route *route) {
  char path[128], method[8] = "";
  const char *open = strstr(route->path, "{}");
  snprintf(path, sizeof path, "%.*s%s%s", open ? (int)(open - route->path) : 128, route->path,
           open ? "{id}" : "", open ? open + 2 : "");
  for (size_t i = 0; route->method[i]; i++) method[i] = (char)(route->method[i] | 0x20);
  json_t *item = json_object_get(paths, path);
  if (!item) json_object_set_new(paths, path, item = json_object());
  json_object_set_new(item, method, operation_of(route));
}

json_t *openapi_document(void) {
  json_t *paths = json_object();
  for (const struct gateway_route *route = gateway_routes; route->method; route++)
    put_path(paths, route);
  return json_pack(
      "{s:s,s:{s:s,s:s,s:s},s:o,s:{s:{s:{s:s,s:s,s:s}}}}", "openapi", "3.1.0", "info", "title",
      "Holdfast", "version", "1", "description",
      "Reservations that are never oversold: each request once, however often it is sent.", "paths",
      paths, "components", "securitySchemes", "token", "type", "http", "scheme", "bearer",
      "bearerFormat", "JWT");
}
