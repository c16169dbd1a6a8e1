#include "answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "gen/records.h"
#include "openapi.h"
#include "runtime/contract/calls.h"
#include "reserve-requested/checks.h"
#include "runtime/contract/status.h"
#include "runtime/record/json.h"

/* ---- the parts of an answer ---- */

bool answer_is_set(const struct answer *answer) {
  return answer->status != 0;
}

static void set_header(struct answer *answer, const char *name, const char *value) {
  if (answer->header_count == ANSWER_HEADERS_MAX) abort(); /* no answer has so many */
  answer->headers[answer->header_count++] = (struct http_header){name, xstrdup(value)};
}

/* Of the answer that was set before; those of every answer stay. */
static void drop_headers(struct answer *answer) {
  while (answer->header_count > answer->kept_headers)
    free((void *)(uintptr_t)answer->headers[--answer->header_count].value);
}

static void set_number(struct answer *answer, const char *name, int64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%lld", (long long)value);
  set_header(answer, name, text);
}

/* Takes the body. What was set before is replaced; headers stay. */
static void set(struct answer *answer, int status, const char *type, json_t *body) {
  char *text = body ? json_dumps(body, JSON_PRESERVE_ORDER | JSON_COMPACT) : NULL;
  json_decref(body);
  free(answer->body);
  answer->status = status;
  answer->type = type;
  answer->body = text;
  answer->size = text ? strlen(text) : 0;
  if (text) text[answer->size++] = '\n'; /* in place of the NUL: the size says where it ends */
}

/* Members of `more` (taken; NULL: none) follow the standard ones. */
static void problem(struct answer *answer, int status, const char *title, const char *detail,
                    json_t *more) {
  json_t *body = json_pack("{s:s,s:i,s:o}", "title", title, "status", status, "detail",
                           json_text(str_of(detail)));
  if (more) json_object_update(body, more);
  json_decref(more);
  set(answer, status, "application/problem+json", body);
}

enum MHD_Result answer_send(struct answer *answer, struct http_request *request) {
  request->status = answer->status;
  request->headers = answer->headers;
  request->header_count = answer->header_count;
  return listener_send_text(request, answer->type, answer->body ? answer->body : "", answer->size);
}

void answer_free(struct answer *answer) {
  answer->kept_headers = 0;
  drop_headers(answer);
  free(answer->body);
}

/* ---- headers of every answer ---- */

void answer_traced(struct answer *answer, const char *trace) {
  set_header(answer, "traceparent", trace);
  answer->kept_headers = answer->header_count;
}

static bool is_listed(const char *list, const char *origin) {
  size_t size = strlen(origin);
  if (strcmp(list, "*") == 0) return true;
  for (; *list; list += strspn(list, ", ")) {
    size_t one = strcspn(list, ", ");
    if (one == size && strncmp(list, origin, size) == 0) return true;
    list += one;
  }
  return false;
}

void answer_to_browser(struct answer *answer, const struct http_request *request,
                       const char *origins) {
  const char *origin = origins ? request->header(request, "Origin") : NULL;
  if (!origin || !is_listed(origins, origin)) return;
  set_header(answer, "Access-Control-Allow-Origin", origin);
  set_header(answer, "Vary", "Origin");
  set_header(answer, "Access-Control-Expose-Headers",
             "Location, ETag, Retry-After, RateLimit, RateLimit-Policy, traceparent");
  answer->kept_headers = answer->header_count;
}

bool answer_preflight(struct answer *answer) {
  set_header(answer, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE");
  set_header(answer, "Access-Control-Allow-Headers",
             "Authorization, Content-Type, Idempotency-Key, Prefer, If-None-Match, Last-Event-ID, "
             "traceparent");
  set_header(answer, "Access-Control-Max-Age", "600");
  answer->status = 204;
  answer->type = "text/plain";
  return false;
}

/* ---- who may ---- */

bool answer_unknown_caller(struct answer *answer, bool sent, const struct token_refusal *why) {
  if (why->again_s) {
    set_number(answer, "Retry-After", why->again_s);
    problem(answer, 503, "Keys are being read", why->text, NULL);
    return false;
  }
  char text[TOKEN_WHY_SIZE + 64] = "Bearer"; /* alone where no token was sent (RFC 6750, 3.1) */
  if (sent)
    snprintf(text, sizeof text, "Bearer error=\"invalid_token\", error_description=\"%s\"",
             why->text);
  set_header(answer, "WWW-Authenticate", text);
  problem(answer, 401, "Unknown caller", why->text, NULL);
  return false;
}

bool answer_forbidden(struct answer *answer, unsigned roles) {
  char detail[128] = "this needs the role";
  for (unsigned role = 1; role <= ROLE_ADMINISTRATOR; role <<= 1) {
    size_t used = strlen(detail);
    if (roles & role)
      snprintf(detail + used, sizeof detail - used, "%s %s", roles & (role - 1) ? " or" : "",
               role_name((enum role)role));
  }
  problem(answer, 403, "Forbidden", detail, NULL);
  return false;
}

bool answer_not_theirs(struct answer *answer) {
  problem(answer, 403, "Forbidden", "the path names another customer: me is the caller", NULL);
  return false;
}

bool answer_limit(struct answer *answer, const struct limits *limits, const char *name,
                  const struct limit_answer *taken) {
  if (taken->taken) return true;
  char text[LIMIT_HEADER_SIZE];
  limit_policy_header(limits, name, text);
  set_header(answer, "RateLimit-Policy", text);
  limit_header(taken, name, text);
  set_header(answer, "RateLimit", text);
  set_number(answer, "Retry-After", taken->next_s);
  problem(answer, 429, "Too many requests", "ask again later: Retry-After says when", NULL);
  return false;
}

bool answer_no_route(struct answer *answer, const char *allowed) {
  if (*allowed) {
    set_header(answer, "Allow", allowed);
    problem(answer, 405, "Method not allowed", "Allow has the methods of this path", NULL);
  } else {
    problem(answer, 404, "Not found", "there is no such path: /openapi.json has those that are",
            NULL);
  }
  return false;
}

bool answer_draining(struct answer *answer) {
  set_number(answer, "Retry-After", 1);
  set_header(answer, "Connection", "close");
  problem(answer, 503, "Closing", "this instance takes no more commands: another does", NULL);
  return false;
}

/* ---- commands ---- */

void answer_problem(struct answer *answer, struct http_request *request) {
  json_t *body = request->body;
  request->body = NULL;
  if (request->status == 503) set_number(answer, "Retry-After", 1);
  set(answer, request->status, "application/problem+json", body);
}

void answer_full(struct answer *answer) {
  set_number(answer, "Retry-After", 1);
  problem(answer, 503, "Too much waits", "nothing was done; ask again", NULL);
}

void answer_no_id(struct answer *answer) {
  problem(answer, 404, "Unknown", "no id is longer than 64 bytes", NULL);
}

void answer_bad_limit(struct answer *answer) {
  problem(answer, 400, "Bad limit", "limit must be a number from 1 to 500", NULL);
}

void answer_too_long(struct answer *answer) {
  problem(answer, 414, "Too long", "the path or its query is longer than any id or cursor is",
          NULL);
}

void answer_not_sent(struct answer *answer, const struct kafka_receipt *receipt) {
  char detail[256];
  set_number(answer, "Retry-After", 1);
  if (receipt->sent == KAFKA_NOT_SENT) {
    snprintf(detail, sizeof detail, "nothing was done, as Kafka does not answer: %s", receipt->why);
    problem(answer, 503, "Not accepted", detail, NULL);
    return;
  }
  snprintf(detail, sizeof detail,
           "Kafka did not say whether it has the command (%s): send it again with the same "
           "Idempotency-Key or id, and it is done once",
           receipt->why);
  problem(answer, 504, "Unknown", detail, NULL);
}

void answer_accepted(struct answer *answer, const struct gateway_route *route, struct str about,
                     const struct kafka_receipt *receipt) {
  const char *field = route->part_field ? route->part_field : route->id_field;
  char place[96], location[256], escaped[3 * 64 + 1];
  calls_escape(about, escaped, sizeof escaped);
  snprintf(place, sizeof place, "reservation-commands-%d-%lld", (int)receipt->partition,
           (long long)receipt->offset);
  snprintf(location, sizeof location, "%s/%s",
           strcmp(field, "item_id") == 0       ? "/items"
           : strcmp(field, "customer_id") == 0 ? "/customers"
                                               : "/reservations",
           escaped);
  set_header(answer, "Location", location);
  set(answer, 202, "application/json",
      json_pack("{s:o,s:s,s:s}", field, json_text(about), "status", "ACCEPTED", "place", place));
}

void answer_arriving(struct answer *answer, struct str reservation) {
  set_number(answer, "Retry-After", 1);
  set(answer, 202, "application/json",
      json_pack("{s:o,s:s}", "reservation_id", json_text(reservation), "status", "ACCEPTED"));
}

static bool is_outcome(int type, enum status status, enum payment_due payment) {
  if (type == RECORD_RESERVE && status == STATUS_HELD) return payment == PAYMENT_DUE_BY_CUSTOMER;
  if (type == RECORD_CANCEL) return status == STATUS_CANCELLED || status == STATUS_REFUNDING;
  return status_is_outcome(status) || status == STATUS_PAYMENT_DEFERRED;
}

bool answer_is_outcome(const struct command *command, const struct status_changed *step) {
  int type = command->record.type;
  return is_outcome(type, step->status, step->payment) &&
         (type != RECORD_RESERVE ||
          reserve_content_hash(command->record.value) == step->content_hash);
}

/* A refusal as invalid says nothing of the content. */
bool answer_is_refusal(const struct command *command, const struct command_refused *refusal,
                       struct str caller) {
  const struct record record = command->record;
  return str_equal(refusal->sender_id, caller) &&
         str_equal(refusal->command, str_of(holdfast_schemas.records[record.type]->name)) &&
         (record.type != RECORD_RESERVE || refusal->refusal == REFUSAL_INVALID ||
          refusal->content_hash == reserve_content_hash(record.value));
}

static bool is_text(const json_t *json, const char *name, struct str text) {
  const json_t *said = json_object_get(json, name);
  return json_is_string(said) &&
         str_equal((struct str){json_string_value(said), json_string_length(said)}, text);
}

/* As far as the view shows it: another reservation of the same id gets the ledger's refusal. */
static bool is_what_was_asked(const struct reserve *reserve, const json_t *reservation) {
  int64_t amount = json_integer_value(json_object_get(reservation, "amount"));
  int64_t quantity = json_integer_value(json_object_get(reservation, "quantity"));
  return is_text(reservation, "item_id", reserve->item_id) &&
         is_text(reservation, "option", reserve->option) &&
         (!reserve->amount || reserve->amount == amount) && reserve_quantity(reserve) == quantity;
}

static int status_of_refusal(const struct command_refused *refusal, bool keyed) {
  switch (refusal->refusal) {
    case REFUSAL_INVALID: return 422;
    case REFUSAL_ID_REUSED: return keyed ? 422 : 409;
    case REFUSAL_UNKNOWN_RESERVATION:
    case REFUSAL_UNKNOWN_ITEM: return 404;
    case REFUSAL_NOT_DUE:
    case REFUSAL_ALREADY_PAID:
    case REFUSAL_ALREADY_ENDED:
    case REFUSAL_ITEM_DIFFERS:
    case REFUSAL_NOT_COUNTED:
    case REFUSAL_OVERFLOW:
    case REFUSAL_TOO_OLD: return 409;
  }
  return 409;
}

json_t *answer_step_json(const struct status_changed *step) {
  static const char *const inner[] = {"type", "content_hash", "hold", "opened_at", NULL};
  json_t *json = record_to_json(&holdfast_schemas, (struct record){RECORD_STATUS_CHANGED, step});
  for (const char *const *name = inner; *name; name++) json_object_del(json, *name);
  return json;
}

bool answer_news(struct answer *answer, bool keyed, const struct news *news) {
  if (news->step) {
    set(answer, 200, "application/json", answer_step_json(news->step));
    return true;
  }
  const struct command_refused *refusal = news->refusal;
  char detail[512];
  snprintf(detail, sizeof detail, "%.*s", STR_ARGS(refusal->detail));
  drop_headers(answer); /* the Location of what was taken */
  problem(answer, status_of_refusal(refusal, keyed), "Refused", detail,
          json_pack("{s:s,s:o}", "refusal", refusal_enum.symbols[refusal->refusal],
                    "reservation_id", json_text(refusal->reservation_id)));
  return true;
}

/* -1: none of that name. */
static int symbol_of(const struct enum_desc *symbols, const json_t *text) {
  for (int i = 0; json_is_string(text) && i < symbols->count; i++) {
    if (strcmp(json_string_value(text), symbols->symbols[i]) == 0) return i;
  }
  return -1;
}

bool answer_view_outcome(struct answer *answer, const struct command *command,
                         const json_t *reservation) {
  int type = command->record.type;
  if (type == RECORD_PAY) return false; /* an earlier outcome says nothing of this Pay */
  const json_t *timeline = json_object_get(reservation, "timeline");
  const json_t *step = json_array_get(timeline, json_array_size(timeline) - 1);
  int status = symbol_of(&status_enum, json_object_get(reservation, "status"));
  int payment = symbol_of(&payment_due_enum, json_object_get(step, "payment"));
  if (status < 0 || !is_outcome(type, (enum status)status,
                                payment < 0 ? PAYMENT_DUE_NONE : (enum payment_due)payment))
    return false;
  if (type == RECORD_RESERVE && !is_what_was_asked(command->record.value, reservation))
    return false;
  json_t *body = json_copy((json_t *)(uintptr_t)reservation);
  json_object_set(body, "until", json_object_get(step, "until"));
  json_object_set(body, "payment", json_object_get(step, "payment"));
  json_object_del(body, "timeline");
  set(answer, 200, "application/json", body);
  return true;
}

/* ---- views and documents ---- */

static void set_bytes(struct answer *answer, int status, const char *type, struct str bytes) {
  answer->body = xmalloc(bytes.size + 1);
  memcpy(answer->body, bytes.data, bytes.size);
  answer->size = bytes.size;
  answer->status = status;
  answer->type = type;
}

void answer_view(struct answer *answer, struct http_request *request, long status,
                 struct str body) {
  char tag[24];
  if (status == 404 && !body.size) { /* also another's: nobody can tell which */
    problem(answer, 404, "Unknown reservation", "no reservation of this id is known", NULL);
    return;
  }
  if (status == 0 || status >= 500) {
    set_number(answer, "Retry-After", 1);
    problem(answer, 503, "No answer", "the view does not answer now; ask again", NULL);
    return;
  }
  if (status != 200) {
    set_bytes(answer, (int)status, "application/problem+json", body);
    return;
  }
  snprintf(tag, sizeof tag, "\"%016llx\"", (unsigned long long)XXH3_64bits(body.data, body.size));
  set_header(answer, "ETag", tag);
  set_header(answer, "Cache-Control", "no-cache");
  const char *known = request->header(request, "If-None-Match");
  if (known && (strcmp(known, "*") == 0 || strstr(known, tag))) {
    answer->status = 304;
    answer->type = "application/json";
  } else {
    set_bytes(answer, 200, "application/json", body);
  }
}

void answer_document(struct answer *answer) {
  set(answer, 200, "application/json", openapi_document());
}
