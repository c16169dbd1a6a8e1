/* Calls to the receiver of notices: POST {url} with a JSON body that says it all, the text in the
 * customer's language in it.
 *
 * Idempotency-Key: {reservation}:{revision}, the same for each try.
 * X-Holdfast-Signature: sha256={HMAC-SHA256 of the body by the secret, in hexadecimal} (RFC 2104).
 *
 * 2xx takes the notice; 4xx refuses it for ever, except for 408, 425 and 429, which like all else
 * mean later. The status counts as soon as it is there, whatever the body does after it. */
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "calls.h"
#include "json.h"
#include "logging.h"
#include "notify.h"

#define ANSWER_MAX 1024 /* nobody reads it */
#define TEXT_MAX 2048
#define KEY_MAX 400

const struct option_desc webhook_options[] = {
    {.name = "webhook-url",
     .metavar = "URL",
     .value = "http://127.0.0.1:8091",
     .help = "who takes the notices"},
    {.name = "webhook-secret",
     .metavar = "TEXT",
     .value = "",
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
    snprintf(error, size, "--webhook-url must begin with http:// or https://, not '%s'", url);
    return NULL;
  }
  struct webhook *webhook = xcalloc(1, sizeof *webhook);
  webhook->url = url;
  webhook->secret = options_text(options, "webhook-secret");
  if (!*webhook->secret)
    log_warning(
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

static char *make_body(const struct notice *notice) {
  char text[TEXT_MAX];
  json_t *json =
      record_to_json(&holdfast_schemas, (struct record){.type = RECORD_NOTICE, .value = notice});
  static const char *const own[] = {"type", "number", "attempts", "due_at", "correlation_id"};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) json_object_del(json, own[i]);
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
  char id[KEY_MAX], escaped[KEY_MAX - 64], signature[128] = "";
  calls_escape(notice->reservation_id, escaped, sizeof escaped);
  snprintf(id, sizeof id, "Idempotency-Key: %s:%d", escaped, (int)notice->revision);
  char *body = make_body(notice);
  if (*webhook->secret) sign(webhook->secret, body, signature, sizeof signature);
  calls_start(webhook->calls, partition, key,
              &(struct call_request){.method = "POST",
                                     .url = webhook->url,
                                     .headers = {id, *signature ? signature : NULL},
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
