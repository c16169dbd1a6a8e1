/* Calls to the receiver of notices: POST {url} with a JSON body that says it all, the text in the
 * customer's language in it.
 *
 * Idempotency-Key: see notice_id, the same for each try.
 * X-Holdfast-Signature: sha256={HMAC-SHA256 of the body by the secret, in hexadecimal} (RFC 2104).
 *
 * 2xx takes the notice; 4xx refuses it for ever, except for 408, 425 and 429, which like all else
 * mean later. The status counts as soon as it is there, whatever the body does after it. */
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/contract/calls.h"
#include "notify.h"

#define ANSWER_MAX 1024 /* nobody reads it */
#define TEXT_MAX 2048
#define HASH_BYTES 16 /* nobody finds two alike */

const struct option_desc webhook_options[] = {
    {.name = "webhook-url",
     .metavar = "URL",
     .value = "http://127.0.0.1:8091",
     .help = "receiver of the notices"},
    {.name = "webhook-secret",
     .metavar = "TEXT",
     .value = "",
     .secret = true,
     .help = "signs each notice; from the environment or the file, so that nobody sees it"},
    {.name = "webhook-timeout-ms",
     .kind = OPTION_NUMBER,
     .metavar = "MS",
     .value = "5000",
     .min = 10,
     .max = 30000,
     .help = "deadline of a call"},
    {.name = "webhook-calls",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "64",
     .min = 1,
     .max = 1000,
     .help = "calls in flight at most"},
    {0},
};

struct webhook {
  struct calls *calls;
  const char *url, *secret; /* borrowed from the options */
};

static void *webhook_open(const struct options *options, char *error, size_t size) {
  const char *url = options_text(options, "webhook-url");
  if (!calls_url_fits(url)) {
    snprintf(
        error, size,
        "--webhook-url must begin with http:// or https:// and have 255 bytes at most, not '%s'",
        url);
    return NULL;
  }
  struct webhook *webhook = xcalloc(1, sizeof *webhook);
  webhook->url = url;
  webhook->secret = options_text(options, "webhook-secret");
  if (!*webhook->secret)
    report_warning(
        "notices are not signed: HOLDFAST_WEBHOOK_SECRET or the properties file has no "
        "webhook-secret");
  webhook->calls = calls_open((size_t)options_number(options, "webhook-calls"),
                              (long)options_number(options, "webhook-timeout-ms"), ANSWER_MAX);
  return webhook;
}

static void webhook_close(void *world) {
  struct webhook *webhook = world;
  calls_close(webhook->calls);
  free(webhook);
}

static size_t webhook_room(void *world) {
  return calls_room(((struct webhook *)world)->calls);
}

static size_t webhook_in_flight(void *world) {
  return calls_in_flight(((struct webhook *)world)->calls);
}

static void hash_bytes(EVP_MD_CTX *hash, const void *data, size_t size) {
  uint64_t length = size; /* so that no two contents run into the same bytes */
  EVP_DigestUpdate(hash, &length, sizeof length);
  EVP_DigestUpdate(hash, data, size);
}

/* Two customers may have used one reservation_id, one customer may use it again a window later, and
 * a sender may try to be taken for another: the hash is one that nobody can aim. */
static void hash_notice(const struct notice *notice, char text[HASH_BYTES * 2 + 1]) {
  bool refused = notice->command.size > 0;
  const int64_t numbers[] = {notice->content_hash, notice->opened_at, refused ? notice->at : 0};
  unsigned char digest[EVP_MAX_MD_SIZE];
  EVP_MD_CTX *hash = EVP_MD_CTX_new();
  EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
  hash_bytes(hash, notice->customer_id.data, notice->customer_id.size);
  hash_bytes(hash, notice->place.data, notice->place.size);
  hash_bytes(hash, numbers, sizeof numbers);
  EVP_DigestFinal_ex(hash, digest, NULL);
  EVP_MD_CTX_free(hash);
  for (size_t i = 0; i < HASH_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

/* The deliberately broken version. */
static bool mutated(bool earlier) {
  return earlier || MUTANT("notice-id-shared");
}

void notice_id(const struct notice *notice, char id[NOTICE_ID_SIZE]) {
  char reservation[3 * 64 + 1], step[16] = "refused", hash[HASH_BYTES * 2 + 1];
  calls_escape(notice->reservation_id, reservation, sizeof reservation);
  bool refused = notice->command.size > 0, earlier = !refused && !notice->content_hash;
  if (!refused) snprintf(step, sizeof step, "%d", (int)notice->revision);
  hash_notice(notice, hash);
  if (mutated(earlier)) { /* a row of an earlier version was called with it */
    snprintf(id, NOTICE_ID_SIZE, "%s:%s", reservation, step);
  } else {
    snprintf(id, NOTICE_ID_SIZE, "%s:%s:%s", reservation, step, hash);
  }
}

static void remove_members(json_t *json, const char *const *names) {
  for (; *names; names++) json_object_del(json, *names);
}

/* A refusal has the members that a step has too, where they mean something. */
static json_t *notice_json(const struct notice *notice) {
  static const char *const own[] = {"type",      "number",         "attempts",
                                    "due_at",    "correlation_id", "content_hash",
                                    "opened_at", "refusal",        NULL},
                           *const of_steps[] = {"revision", "quantity", "seats", "option",
                                                "amount",   "screen",   "until", NULL},
                           *const of_refusals[] = {"command", "detail", "place", NULL};
  json_t *json =
      record_to_json(&holdfast_schemas, (struct record){.type = RECORD_NOTICE, .value = notice});
  remove_members(json, own);
  remove_members(json, notice->command.size ? of_steps : of_refusals);
  if (!notice->command.size) return json;
  json_object_set_new(json, "status", json_string("REFUSED"));
  json_object_set_new(json, "reason", json_string(refusal_enum.symbols[notice->refusal]));
  return json;
}

static char *make_body(const struct notice *notice) {
  char text[TEXT_MAX];
  json_t *json = notice_json(notice);
  notice_text(notice, text, sizeof text);
  json_object_set_new(json, "text", json_text(str_of(text)));
  char *body = json_dumps(json, JSON_COMPACT);
  json_decref(json);
  return body;
}

static void sign(const char *secret, const char *body, char *header, size_t size) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)body, strlen(body), digest,
       &length);
  int used = snprintf(header, size, "X-Holdfast-Signature: sha256=");
  for (unsigned i = 0; i < length; i++)
    used += snprintf(header + used, size - (size_t)used, "%02x", digest[i]);
}

static void webhook_start(void *world, int32_t partition, struct str key, const void *row) {
  struct webhook *webhook = world;
  const struct notice *notice = row;
  char id[NOTICE_ID_SIZE], key_header[NOTICE_ID_SIZE + 32], signature[128] = "";
  notice_id(notice, id);
  snprintf(key_header, sizeof key_header, "Idempotency-Key: %s", id);
  char *body = make_body(notice);
  if (*webhook->secret) sign(webhook->secret, body, signature, sizeof signature);
  calls_start(webhook->calls, partition, key,
              &(struct call_request){.method = "POST",
                                     .url = webhook->url,
                                     .headers = {key_header, *signature ? signature : NULL},
                                     .body = str_of(body)});
  free(body);
}

static bool webhook_next(void *world, int timeout_ms, int32_t *partition, struct str *key,
                         int *result) {
  struct call_answer answer;
  if (!calls_next(((struct webhook *)world)->calls, timeout_ms, partition, key, &answer))
    return false;
  bool later = answer.status == 408 || answer.status == 425 || answer.status == 429;
  *result = answer.status >= 200 && answer.status < 300             ? NOTICE_TAKEN
            : answer.status >= 400 && answer.status < 500 && !later ? NOTICE_REFUSED
                                                                    : NOTICE_FAILED;
  return true;
}

const struct world webhook_world = {.open = webhook_open,
                                    .close = webhook_close,
                                    .room = webhook_room,
                                    .start = webhook_start,
                                    .next = webhook_next,
                                    .in_flight = webhook_in_flight};
