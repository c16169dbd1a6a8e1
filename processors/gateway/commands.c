#include "commands.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

#include "gen/records.h"
#include "reserve-requested/checks.h"
#include "runtime/base/clock.h"
#include "runtime/record/json.h"
#include "runtime/record/line.h"

#define ID_BYTES 16

static bool refuse(struct http_request *request, int status, const char *title,
                   const char *detail) {
  http_problem(request, status, title, detail);
  return false;
}

/* ---- ids ---- */

/* A UUID of version 7 (RFC 9562, 5.7): in the order of their times, so that rows of one time lie
 * together in every store. */
static struct str new_id(struct arena *arena) {
  unsigned char id[ID_BYTES];
  uint64_t now = (uint64_t)clock_wall_ms();
  if (getrandom(id, sizeof id, 0) != sizeof id) abort(); /* cannot fail for so few bytes */
  for (int i = 0; i < 6; i++) id[i] = (unsigned char)(now >> (40 - 8 * i));
  id[6] = (unsigned char)(0x70 | (id[6] & 0x0f));
  id[8] = (unsigned char)(0x80 | (id[8] & 0x3f));
  return arena_format(arena, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                      id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10],
                      id[11], id[12], id[13], id[14], id[15]);
}

static void digest_text(EVP_MD_CTX *digest, struct str text) {
  uint64_t size = text.size; /* so that no two pairs run into the same bytes */
  EVP_DigestUpdate(digest, &size, sizeof size);
  EVP_DigestUpdate(digest, text.data, text.size);
}

/* The same for the same caller and key, in any instance and at any time; and nobody finds another's
 * that would be the same. */
static struct str id_of_key(const struct caller *caller, struct str key, struct arena *arena) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  EVP_MD_CTX *digest = EVP_MD_CTX_new();
  EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
  digest_text(digest, (struct str){caller->subject, caller->subject_size});
  digest_text(digest, key);
  EVP_DigestFinal_ex(digest, hash, NULL);
  EVP_MD_CTX_free(digest);
  char text[2 * ID_BYTES + 1];
  for (int i = 0; i < ID_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", hash[i]);
  return arena_format(arena, "k-%s", text);
}

/* A string of a structured field (RFC 9651), as the draft wants it, or the bare text, as most
 * clients send it. */
static bool find_key(struct http_request *request, struct str *key) {
  const char *text = request->header(request, "Idempotency-Key");
  *key = (struct str){0};
  if (!text) return true;
  size_t size = strlen(text);
  if (size >= 2 && text[0] == '"' && text[size - 1] == '"') text++, size -= 2;
  bool fits = size >= 1 && size <= IDEMPOTENCY_KEY_MAX;
  for (size_t i = 0; i < size && fits; i++)
    fits = text[i] > ' ' && text[i] < 0x7f && text[i] != '"';
  *key = (struct str){text, size};
  return fits || refuse(request, 400, "Bad Idempotency-Key",
                        "it has 1 to 255 printable characters, in quotes or without");
}

/* ---- the body ---- */

static bool is_json(const char *type) {
  if (!type) return true; /* as a shell's curl -d without a header would be, but for its default */
  size_t size = strcspn(type, "; ");
  return (size == 16 && strncasecmp(type, "application/json", size) == 0) ||
         (size > 5 && strncasecmp(type + size - 5, "+json", 5) == 0);
}

/* A new reference, or NULL with the problem. An empty body is an empty object. */
static json_t *parse_body(struct http_request *request) {
  struct str body = request->content;
  if (!body.size) return json_object();
  if (!is_json(request->header(request, "Content-Type"))) {
    refuse(request, 415, "Unsupported media type", "the body must be application/json");
    return NULL;
  }
  json_error_t error;
  json_t *json = json_loadb(body.data, body.size, JSON_REJECT_DUPLICATES, &error);
  if (json_is_object(json)) return json;
  char detail[JSON_ERROR_TEXT_LENGTH + 64];
  if (json) {
    snprintf(detail, sizeof detail, "the body must be a JSON object");
  } else {
    snprintf(detail, sizeof detail, "line %d, column %d: %s", error.line, error.column, error.text);
  }
  json_decref(json);
  refuse(request, 400, "Not JSON", detail);
  return NULL;
}

/* What the path and the token say, the body need not say, and must not say otherwise. */
static bool set_field(struct http_request *request, json_t *json, const char *field,
                      struct str text) {
  json_t *said = json_object_get(json, field);
  bool same =
      !said || (json_is_string(said) &&
                str_equal((struct str){json_string_value(said), json_string_length(said)}, text));
  if (same && json_object_set_new(json, field, json_stringn(text.data, text.size)) == 0)
    return true;
  char detail[160];
  snprintf(detail, sizeof detail, "%s of the body is not that of the path, the token or the method",
           field);
  return refuse(request, 422, "Contradiction", detail);
}

static bool set_id(struct http_request *request, const struct caller *caller, json_t *json,
                   const char *field, struct arena *arena, bool *keyed) {
  struct str key;
  if (!find_key(request, &key)) return false;
  bool chosen = json_object_get(json, field) != NULL;
  *keyed = key.size && !chosen;
  if (chosen) return true;
  struct str id = key.size ? id_of_key(caller, key, arena) : new_id(arena);
  return set_field(request, json, field, id);
}

/* ---- the record ---- */

static const char *wrong(struct record record) {
  switch (record.type) {
    case RECORD_RESERVE: return wrong_reserve(record.value);
    case RECORD_REGISTER_ITEM: return wrong_register_item(record.value);
    case RECORD_RECEIVE_STOCK: return wrong_receive_stock(record.value);
    case RECORD_CLOSE_ITEM: return wrong_close_item(record.value);
    case RECORD_REGISTER_CUSTOMER: return wrong_register_customer(record.value);
    case RECORD_PAY: {
      const struct pay *pay = record.value;
      return wrong_ids(pay->reservation_id, pay->customer_id);
    }
    case RECORD_CANCEL: {
      const struct cancel *cancel = record.value;
      return wrong_ids(cancel->reservation_id, cancel->customer_id);
    }
    default: return "not a command";
  }
}

static bool encode(const json_t *json, struct http_request *request, struct codec *codec,
                   struct arena *arena, struct command *out) {
  char error[CODEC_ERROR_SIZE];
  const char *fault = error;
  if (record_from_json(codec_schemas(codec), json, arena, &out->record, error))
    fault = wrong(out->record);
  if (fault) return refuse(request, 422, "Not a valid command", fault);
  out->about = command_key(out->record);
  out->key = out->about;
  out->value = codec_encode(codec, out->record, arena);
  return out->value.data || refuse(request, 422, "Not a valid command",
                                   "as a record it is larger than the 64 KiB that one may have");
}

bool command_make(const struct gateway_route *route, const struct caller *caller, struct str part,
                  struct http_request *request, struct codec *codec, struct arena *arena,
                  struct command *out) {
  const struct str subject = {caller->subject, caller->subject_size};
  json_t *json = parse_body(request);
  *out = (struct command){0};
  bool fine =
      json &&
      set_field(request, json, "type", str_of(holdfast_schemas.records[route->type]->name)) &&
      (!route->part_field || set_field(request, json, route->part_field, part)) &&
      (!route->caller_field || set_field(request, json, route->caller_field, subject)) &&
      (!route->id_field || set_id(request, caller, json, route->id_field, arena, &out->keyed)) &&
      encode(json, request, codec, arena, out);
  json_decref(json);
  return fine;
}
