/* Calls to the payment provider: PUT {url}/{charges|refunds}/{key} with a JSON body, many at a time
 * over kept-alive connections.
 *
 * The key is the idempotency key: the provider answers a repeated PUT with what it answered first.
 * 200 {"status":"approved"} or
 * {"status":"declined"} settles; 4xx and 503 say that nothing was done; everything else, and
 * silence, leaves it open. */
#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

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
     .value = "610",
     .min = 10,
     .max = 10000,
     .help = "deadline of a call"},
    {.name = "provider-calls",
     .kind = OPTION_NUMBER,
     .metavar = "N",
     .value = "64",
     .min = 1,
     .max = 1000,
     .help = "calls in flight at most"},
    {0},
};

struct call {
  CURL *easy;
  struct call *next; /* of the free ones */
  int32_t partition;
  char key[ROW_KEY_SIZE_MAX];
  size_t key_size;
  char body[256], answer[ANSWER_MAX + 1];
  size_t answer_size;
};

struct provider {
  CURLM *multi;
  struct curl_slist *headers;
  struct call *calls, *free_calls;
  size_t limit, in_flight;
  long timeout_ms;
  char url[256], last_key[ROW_KEY_SIZE_MAX];
};

static size_t take_answer(char *data, size_t size, size_t count, void *user) {
  struct call *call = user;
  size_t bytes = size * count, room = ANSWER_MAX - call->answer_size;
  if (bytes > room) return 0; /* not an answer of a provider: the call fails */
  memcpy(call->answer + call->answer_size, data, bytes);
  call->answer_size += bytes;
  return bytes;
}

static void provider_close(void *world) {
  struct provider *provider = world;
  for (size_t i = 0; i < provider->limit; i++) {
    if (!provider->calls[i].easy) continue;
    curl_multi_remove_handle(provider->multi, provider->calls[i].easy);
    curl_easy_cleanup(provider->calls[i].easy);
  }
  curl_multi_cleanup(provider->multi);
  curl_slist_free_all(provider->headers);
  free(provider->calls);
  free(provider);
}

static void *provider_open(const struct options *options, char *error, size_t size) {
  struct provider *provider = xcalloc(1, sizeof *provider);
  snprintf(provider->url, sizeof provider->url, "%s",
           options ? options_text(options, "provider-url") : provider_options[0].value);
  provider->timeout_ms = options ? (long)options_number(options, "provider-timeout-ms") : 610;
  provider->limit = options ? (size_t)options_number(options, "provider-calls") : 64;
  if (strncmp(provider->url, "http://", 7) != 0 && strncmp(provider->url, "https://", 8) != 0) {
    snprintf(error, size, "--provider-url must begin with http:// or https://, not '%s'",
             provider->url);
    free(provider);
    return NULL;
  }
  curl_global_init(CURL_GLOBAL_DEFAULT);
  provider->multi = curl_multi_init();
  curl_multi_setopt(provider->multi, CURLMOPT_MAXCONNECTS, (long)provider->limit);
  provider->headers = curl_slist_append(NULL, "Content-Type: application/json");
  provider->calls = xcalloc(provider->limit, sizeof *provider->calls);
  for (size_t i = 0; i < provider->limit; i++) {
    provider->calls[i].next = provider->free_calls;
    provider->free_calls = &provider->calls[i];
  }
  return provider;
}

static size_t provider_room(void *world) {
  struct provider *provider = world;
  return provider->limit - provider->in_flight;
}

static size_t provider_in_flight(void *world) {
  return ((struct provider *)world)->in_flight;
}

/* Keys hold "/" and whatever an id may hold: escaped whole. */
static void set_url(struct provider *provider, struct call *call, const struct charge *row) {
  char url[URL_MAX];
  char *escaped = curl_easy_escape(call->easy, call->key + 1, (int)call->key_size - 1);
  snprintf(url, sizeof url, "%s/%s/%s", provider->url,
           row->kind == CHARGE_KIND_CHARGE ? "charges" : "refunds", escaped);
  curl_free(escaped);
  curl_easy_setopt(call->easy, CURLOPT_URL, url);
}

static void provider_start(void *world, int32_t partition, struct str key, const void *value) {
  struct provider *provider = world;
  const struct charge *row = value;
  struct call *call = provider->free_calls;
  if (!call || key.size > sizeof call->key)
    return; /* the runtime asks for room first; the row's due time is the way back */
  provider->free_calls = call->next;
  provider->in_flight++;
  if (!call->easy) call->easy = curl_easy_init();
  call->partition = partition;
  memcpy(call->key, key.data, key.size);
  call->key_size = key.size;
  call->answer_size = 0;
  json_t *body = json_pack("{s:I,s:s%}", "amount", (json_int_t)row->amount, "customer",
                           row->customer_id.data, row->customer_id.size);
  size_t size = json_dumpb(body, call->body, sizeof call->body, JSON_COMPACT);
  json_decref(body);
  curl_easy_reset(call->easy);
  set_url(provider, call, row);
  curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, "PUT");
  curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, provider->headers);
  curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->body);
  curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE,
                   (long)(size < sizeof call->body ? size : sizeof call->body));
  curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, provider->timeout_ms);
  curl_easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, take_answer);
  curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
  curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
  curl_multi_add_handle(provider->multi, call->easy);
}

static enum call_result judge(const struct call *call, CURLcode code) {
  if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST) return CALL_NOT_MADE;
  if (code != CURLE_OK) return CALL_LOST;
  long status = 0;
  curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
  if (status == 503 || status == 429 || (status >= 400 && status < 500)) return CALL_NOT_MADE;
  if (status != 200) return CALL_LOST;
  json_t *answer = json_loadb(call->answer, call->answer_size, 0, NULL);
  const char *text = json_string_value(json_object_get(answer, "status"));
  enum call_result result = text && strcmp(text, "approved") == 0   ? CALL_APPROVED
                            : text && strcmp(text, "declined") == 0 ? CALL_DECLINED
                                                                    : CALL_LOST;
  json_decref(answer);
  return result;
}

static bool provider_next(void *world, int timeout_ms, int32_t *partition, struct str *key,
                          int *result) {
  struct provider *provider = world;
  if (provider->in_flight == 0) return false;
  int running, left;
  curl_multi_perform(provider->multi, &running);
  CURLMsg *message = curl_multi_info_read(provider->multi, &left);
  if (!message && timeout_ms > 0) {
    curl_multi_poll(provider->multi, NULL, 0, timeout_ms, NULL);
    curl_multi_perform(provider->multi, &running);
    message = curl_multi_info_read(provider->multi, &left);
  }
  if (!message || message->msg != CURLMSG_DONE) return false;
  struct call *call;
  curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
  *result = judge(call, message->data.result);
  *partition = call->partition;
  memcpy(provider->last_key, call->key, call->key_size);
  *key = (struct str){provider->last_key, call->key_size};
  curl_multi_remove_handle(provider->multi, call->easy);
  call->next = provider->free_calls;
  provider->free_calls = call;
  provider->in_flight--;
  return true;
}

const struct world provider_world = {.open = provider_open,
                                     .close = provider_close,
                                     .room = provider_room,
                                     .start = provider_start,
                                     .next = provider_next,
                                     .in_flight = provider_in_flight};
