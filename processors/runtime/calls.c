#include "calls.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "processor.h"

struct call {
  CURL *easy;
  struct call *next; /* of the free ones */
  struct curl_slist *headers;
  int32_t partition;
  char key[ROW_KEY_SIZE_MAX];
  size_t key_size;
  char *answer; /* grows to what came */
  size_t answer_size, answer_capacity, answer_max;
};

struct calls {
  CURLM *multi;
  struct call *all, *free, *last; /* last: ended, and lent to who asked */
  size_t limit, in_flight;
  long timeout_ms;
};

struct calls *calls_open(size_t limit, long timeout_ms, size_t answer_max) {
  struct calls *calls = xcalloc(1, sizeof *calls);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  calls->multi = curl_multi_init();
  curl_multi_setopt(calls->multi, CURLMOPT_MAXCONNECTS, (long)limit);
  calls->limit = limit;
  calls->timeout_ms = timeout_ms;
  calls->all = xcalloc(limit, sizeof *calls->all);
  for (size_t i = 0; i < limit; i++) {
    calls->all[i].next = calls->free;
    calls->all[i].answer_max = answer_max;
    calls->free = &calls->all[i];
  }
  return calls;
}

void calls_close(struct calls *calls) {
  if (!calls) return;
  for (size_t i = 0; i < calls->limit; i++) {
    struct call *call = &calls->all[i];
    free(call->answer);
    if (!call->easy) continue;
    curl_multi_remove_handle(calls->multi, call->easy);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
  }
  curl_multi_cleanup(calls->multi);
  free(calls->all);
  free(calls);
}

size_t calls_in_flight(const struct calls *calls) {
  return calls->in_flight;
}

size_t calls_room(const struct calls *calls) {
  return calls->limit - calls->in_flight;
}

static size_t take_answer(char *data, size_t size, size_t count, void *user) {
  struct call *call = user;
  size_t bytes = size * count;
  if (bytes > call->answer_max - call->answer_size) return 0; /* the call fails */
  call->answer = xgrow(call->answer, &call->answer_capacity, call->answer_size + bytes, 1);
  memcpy(call->answer + call->answer_size, data, bytes);
  call->answer_size += bytes;
  return bytes;
}

static void configure(const struct calls *calls, struct call *call,
                      const struct call_request *request) {
  call->headers = curl_slist_append(NULL, "Content-Type: application/json");
  for (size_t i = 0; request->headers[i]; i++)
    call->headers = curl_slist_append(call->headers, request->headers[i]);
  curl_easy_setopt(call->easy, CURLOPT_URL, request->url);
  curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, request->method);
  curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
  if (request->body.data) {
    curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE, (long)request->body.size);
    curl_easy_setopt(call->easy, CURLOPT_COPYPOSTFIELDS, request->body.data);
  }
  curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, calls->timeout_ms);
  curl_easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, take_answer);
  curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
  curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
}

bool calls_start(struct calls *calls, int32_t partition, struct str key,
                 const struct call_request *request) {
  struct call *call = calls->free;
  if (!call || key.size > sizeof call->key) return false;
  calls->free = call->next;
  calls->in_flight++;
  if (!call->easy) call->easy = curl_easy_init();
  curl_easy_reset(call->easy);
  call->partition = partition;
  memcpy(call->key, key.data, key.size);
  call->key_size = key.size;
  call->answer_size = 0;
  configure(calls, call, request);
  curl_multi_add_handle(calls->multi, call->easy);
  return true;
}

static void read_answer(struct call *call, CURLcode code, struct call_answer *answer) {
  curl_off_t took_us = 0;
  curl_easy_getinfo(call->easy, CURLINFO_TOTAL_TIME_T, &took_us);
  *answer = (struct call_answer){
      .reached = code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST,
      .body = {call->answer, call->answer_size},
      .took_ms = (int64_t)took_us / 1000};
  if (code == CURLE_OK) curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &answer->status);
}

/* What the caller was lent goes back with the next question. */
static void put_back(struct calls *calls) {
  if (!calls->last) return;
  calls->last->next = calls->free;
  calls->free = calls->last;
  calls->last = NULL;
}

bool calls_next(struct calls *calls, int timeout_ms, int32_t *partition, struct str *key,
                struct call_answer *answer) {
  put_back(calls);
  if (calls->in_flight == 0) return false;
  int running, left;
  curl_multi_perform(calls->multi, &running);
  CURLMsg *message = curl_multi_info_read(calls->multi, &left);
  if (!message && timeout_ms > 0) {
    curl_multi_poll(calls->multi, NULL, 0, timeout_ms, NULL);
    curl_multi_perform(calls->multi, &running);
    message = curl_multi_info_read(calls->multi, &left);
  }
  if (!message || message->msg != CURLMSG_DONE) return false;
  struct call *call;
  curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
  read_answer(call, message->data.result, answer);
  *partition = call->partition;
  *key = (struct str){call->key, call->key_size};
  curl_multi_remove_handle(calls->multi, call->easy);
  curl_slist_free_all(call->headers);
  call->headers = NULL;
  calls->last = call;
  calls->in_flight--;
  return true;
}

void calls_escape(struct str text, char *out, size_t size) {
  char *escaped = curl_easy_escape(NULL, text.data, (int)text.size);
  snprintf(out, size, "%s", text.size && escaped ? escaped : "");
  curl_free(escaped);
}

bool calls_url_fits(const char *url) {
  return (strncmp(url, "http://", 7) == 0 && url[7]) ||
         (strncmp(url, "https://", 8) == 0 && url[8]);
}
