/* Calls to the payment provider: PUT {url}/{charges|refunds}/{key} with a JSON body, many at a time
 * over kept-alive connections.
 *
 * The key is the idempotency key: the provider answers a repeated PUT with what it answered first.
 * 200 {"status":"approved"} or
 * {"status":"declined"} settles; 4xx and 503 say that nothing was done; everything else, and
 * silence, leaves it open. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "calls.h"
#include "charge.h"

#define ANSWER_MAX 4096
#define URL_MAX 600

const struct option_desc provider_options[] = {
    {.name = "provider-url",
     .metavar = "URL",
     .value = "http://127.0.0.1:8090",
     .help = "the payment provider"},
    {.name = "provider-timeout-ms",
     .kind = OPTION_NUMBER,
     .metavar = "MS",
     .value = "2000",
     .min = 10,
     .max = 10000,
     .help = "deadline of a call: without an answer by then it is asked again by its key"},
    {.name = "provider-slow-ms",
     .kind = OPTION_NUMBER,
     .metavar = "MS",
     .value = "610",
     .min = 1,
     .max = 10000,
     .help = "a call that takes longer counts against the provider: see README, breaker"},
    {.name = "provider-calls",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "64",
     .min = 1,
     .max = 1000,
     .help = "calls in flight at most"},
    {0},
};

struct provider {
  struct calls *calls;
  long slow_ms;
  char url[256];
};

static void provider_close(void *world) {
  struct provider *provider = world;
  calls_close(provider->calls);
  free(provider);
}

static void *provider_open(const struct options *options, char *error, size_t size) {
  const char *url = options_text(options, "provider-url");
  if (!calls_url_fits(url)) {
    snprintf(error, size, "--provider-url must begin with http:// or https://, not '%s'", url);
    return NULL;
  }
  struct provider *provider = xcalloc(1, sizeof *provider);
  snprintf(provider->url, sizeof provider->url, "%s", url);
  provider->slow_ms = (long)options_number(options, "provider-slow-ms");
  provider->calls = calls_open((size_t)options_number(options, "provider-calls"),
                               (long)options_number(options, "provider-timeout-ms"), ANSWER_MAX);
  return provider;
}

static size_t provider_room(void *world) {
  return calls_room(((struct provider *)world)->calls);
}

static size_t provider_in_flight(void *world) {
  return calls_in_flight(((struct provider *)world)->calls);
}

static void provider_start(void *world, int32_t partition, struct str key, const void *value) {
  struct provider *provider = world;
  const struct charge *row = value;
  char url[URL_MAX], escaped[URL_MAX - 300], body[512];
  calls_escape((struct str){key.data + 1, key.size - 1}, escaped, sizeof escaped);
  snprintf(url, sizeof url, "%s/%s/%s", provider->url,
           row->kind == CHARGE_KIND_CHARGE ? "charges" : "refunds", escaped);
  json_t *json = json_pack("{s:I,s:s%}", "amount", (json_int_t)row->amount, "customer",
                           row->customer_id.data, row->customer_id.size);
  size_t size = json_dumpb(json, body, sizeof body, JSON_COMPACT);
  json_decref(json);
  /* The runtime asks for room first; where a call is not started, the row's due time is the way
   * back. */
  calls_start(provider->calls, partition, key,
              &(struct call_request){.method = "PUT", .url = url, .body = {body, size}});
}

static enum call_result judge(const struct call_answer *answer) {
  if (!answer->reached || answer->status == 503 || (answer->status >= 400 && answer->status < 500))
    return CALL_NOT_MADE;
  if (answer->status != 200) return CALL_LOST;
  json_t *json = json_loadb(answer->body.data, answer->body.size, 0, NULL);
  const char *text = json_string_value(json_object_get(json, "status"));
  enum call_result result = text && strcmp(text, "approved") == 0   ? CALL_APPROVED
                            : text && strcmp(text, "declined") == 0 ? CALL_DECLINED
                                                                    : CALL_LOST;
  json_decref(json);
  return result;
}

static bool provider_next(void *world, int timeout_ms, int32_t *partition, struct str *key,
                          int *result) {
  struct provider *provider = world;
  struct call_answer answer;
  if (!calls_next(provider->calls, timeout_ms, partition, key, &answer)) return false;
  *result = (int)judge(&answer) | (answer.took_ms > provider->slow_ms ? CALL_SLOW : 0);
  return true;
}

const struct world provider_world = {.open = provider_open,
                                     .close = provider_close,
                                     .room = provider_room,
                                     .start = provider_start,
                                     .next = provider_next,
                                     .in_flight = provider_in_flight};
