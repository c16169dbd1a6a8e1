/* Calls to the payment provider: PUT {url}/{charges|refunds}/{key} with a JSON body, many at a time
 * over kept-alive connections.
 *
 * The key is the idempotency key: the provider answers a repeated PUT with what it answered first.
 * judge.c says what an answer means; README.md has the provider's contract. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/contract/calls.h"
#include "charge.h"
#include "judge.h"

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
     .help =
         "a call that takes longer counts against the provider: see processors/charge/README.md"},
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
  long told; /* the status that was warned of last */
  char url[CALLS_URL_SIZE];
};

static void provider_close(void *world) {
  struct provider *provider = world;
  calls_close(provider->calls);
  free(provider);
}

static void *provider_open(const struct options *options, char *error, size_t size) {
  const char *url = options_text(options, "provider-url");
  if (!calls_url_fits(url)) {
    snprintf(
        error, size,
        "--provider-url must begin with http:// or https:// and have 255 bytes at most, not '%s'",
        url);
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
  /* The runtime asks for room first; if a call is not started, the row's due time brings it
   * back. */
  calls_start(provider->calls, partition, key,
              &(struct call_request){.method = "PUT", .url = url, .body = {body, size}});
}

/* A status outside of the contract is asked again for as long as it comes: a person must hear of
 * it, and not at each call. */
static void warn_of(struct provider *provider, const struct call_answer *answer,
                    enum call_result result) {
  if (result != CALL_LOST || !answer->status || answer->status == provider->told) return;
  provider->told = answer->status;
  report_warning(
      "the provider answered %ld in %d tries, which leaves open whether money moved: such charges "
      "stay unknown and are asked again by their keys, see processors/charge/README.md",
      answer->status, answer->tries);
}

static bool provider_next(void *world, int timeout_ms, int32_t *partition, struct str *key,
                          int *result) {
  struct provider *provider = world;
  struct call_answer answer;
  if (!calls_next(provider->calls, timeout_ms, partition, key, &answer)) return false;
  enum call_result judged = charge_judge(&answer);
  warn_of(provider, &answer, judged);
  *result = (int)judged | (answer.took_ms > provider->slow_ms ? CALL_SLOW : 0);
  return true;
}

const struct world provider_world = {.open = provider_open,
                                     .close = provider_close,
                                     .room = provider_room,
                                     .start = provider_start,
                                     .next = provider_next,
                                     .in_flight = provider_in_flight};
