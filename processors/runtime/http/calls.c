#include "runtime/contract/calls.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/base/worker.h"
#include "runtime/contract/processor.h"

#define DRIVER_LOOKS_MS 1000 /* it is woken for whatever is new */

struct call {
  CURL *easy;
  struct call *next; /* in the list where it is */
  struct curl_slist *headers;
  int32_t partition;
  char key[ROW_KEY_SIZE_MAX];
  size_t key_size;
  char *answer; /* grows to what came */
  size_t answer_size, answer_capacity, answer_max;
  int tries;
  bool cut;       /* more came than answer_max: it was read and discarded */
  CURLcode ended; /* how */
};

struct queue {
  struct call *first, *last;
};

/* A call is free, begun, driven or ended, and in one thread's hands at a time. */
struct calls {
  CURLM *multi;            /* the driver's, but for its waking */
  struct call *all, *free; /* the owner's */
  struct call *lent;       /* the owner's: its answer was handed out */
  size_t limit, in_flight; /* the owner's */
  long timeout_ms;
  struct worker driver;      /* starts with the first call; wakes the owner where one has ended */
  struct queue begun, ended; /* under its lock */
};

static void push(struct queue *queue, struct call *call) {
  call->next = NULL;
  if (queue->first) {
    queue->last->next = call;
  } else {
    queue->first = call;
  }
  queue->last = call;
}

static struct call *pop(struct queue *queue) {
  struct call *call = queue->first;
  if (call) queue->first = call->next;
  return call;
}

struct calls *calls_open(size_t limit, long timeout_ms, size_t answer_max) {
  struct calls *calls = xcalloc(1, sizeof *calls);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  calls->multi = curl_multi_init();
  curl_multi_setopt(calls->multi, CURLMOPT_MAXCONNECTS, (long)limit);
  worker_init(&calls->driver);
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
  worker_tell_to_end(&calls->driver);
  curl_multi_wakeup(calls->multi);
  worker_free(&calls->driver);
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

/* ---- the driver ---- */

static void take_ended(struct calls *calls) {
  CURLMsg *message;
  int left;
  while ((message = curl_multi_info_read(calls->multi, &left))) {
    if (message->msg != CURLMSG_DONE) continue;
    struct call *call;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
    call->ended = message->data.result;
    curl_multi_remove_handle(calls->multi, call->easy); /* the message has gone with it */
    worker_lock(&calls->driver);
    push(&calls->ended, call);
    worker_wake(&calls->driver);
    worker_unlock(&calls->driver);
  }
}

/* False: it is to end. */
static bool take_begun(struct calls *calls) {
  worker_lock(&calls->driver);
  for (struct call *call; (call = pop(&calls->begun));)
    curl_multi_add_handle(calls->multi, call->easy);
  bool ending = calls->driver.ending;
  worker_unlock(&calls->driver);
  return !ending;
}

static void *drive(void *user) {
  struct calls *calls = user;
  int running;
  while (take_begun(calls)) {
    curl_multi_perform(calls->multi, &running);
    take_ended(calls);
    curl_multi_poll(calls->multi, NULL, 0, DRIVER_LOOKS_MS, NULL);
  }
  return NULL;
}

/* ---- the owner ---- */

static size_t take_answer(char *data, size_t size, size_t count, void *user) {
  struct call *call = user;
  size_t bytes = size * count, room = call->answer_max - call->answer_size;
  size_t kept = bytes < room ? bytes : room;
  call->answer = xgrow(call->answer, &call->answer_capacity, call->answer_size + kept, 1);
  memcpy(call->answer + call->answer_size, data, kept);
  call->answer_size += kept;
  call->cut |= kept < bytes;
  return bytes; /* all of it: with less the call would fail, whatever its status was */
}

/* libcurl has a connection and sends the request next: for the first time, or again, without a
 * word, because a kept connection died before the first byte of its answer. */
static int count_try(void *user, char *peer, char *own, int peer_port, int own_port) {
  (void)peer, (void)own, (void)peer_port, (void)own_port;
  ((struct call *)user)->tries++;
  return CURL_PREREQFUNC_OK;
}

static void configure(const struct calls *calls, struct call *call,
                      const struct call_request *request) {
  call->headers = curl_slist_append(NULL, "Content-Type: application/json");
  for (size_t i = 0; request->headers[i]; i++)
    call->headers = curl_slist_append(call->headers, request->headers[i]);
  curl_easy_setopt(call->easy, CURLOPT_URL, request->url);
  curl_easy_setopt(call->easy, CURLOPT_PATH_AS_IS, 1L); /* .. may be an id */
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
  curl_easy_setopt(call->easy, CURLOPT_PREREQFUNCTION, count_try);
  curl_easy_setopt(call->easy, CURLOPT_PREREQDATA, call);
  curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
}

/* The call that was lent to the caller goes back with the next question or call: it counts as room
 * already. */
static void put_back(struct calls *calls) {
  if (!calls->lent) return;
  calls->lent->next = calls->free;
  calls->free = calls->lent;
  calls->lent = NULL;
}

bool calls_start(struct calls *calls, int32_t partition, struct str key,
                 const struct call_request *request) {
  put_back(calls);
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
  call->tries = 0;
  call->cut = false;
  configure(calls, call, request);
  if (!calls->driver.started) worker_start(&calls->driver, "calls", drive, calls);
  worker_lock(&calls->driver);
  push(&calls->begun, call);
  worker_unlock(&calls->driver);
  curl_multi_wakeup(calls->multi);
  return true;
}

static void read_answer(struct call *call, struct call_answer *answer) {
  curl_off_t took_us = 0;
  curl_easy_getinfo(call->easy, CURLINFO_TOTAL_TIME_T, &took_us);
  *answer = (struct call_answer){.tries = call->tries,
                                 .cut = call->cut || call->ended != CURLE_OK,
                                 .body = {call->answer, call->answer_size},
                                 .took_ms = (int64_t)took_us / 1000};
  curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &answer->status);
}

static struct call *wait_ended(struct calls *calls, int timeout_ms) {
  int64_t until = clock_monotonic_ms() + timeout_ms;
  worker_lock(&calls->driver);
  while (!calls->ended.first && timeout_ms > 0 && worker_wait(&calls->driver, until)) {
  }
  struct call *call = pop(&calls->ended);
  worker_unlock(&calls->driver);
  return call;
}

bool calls_next(struct calls *calls, int timeout_ms, int32_t *partition, struct str *key,
                struct call_answer *answer) {
  put_back(calls);
  if (calls->in_flight == 0) return false;
  struct call *call = wait_ended(calls, timeout_ms);
  if (!call) return false;
  read_answer(call, answer);
  *partition = call->partition;
  *key = (struct str){call->key, call->key_size};
  curl_slist_free_all(call->headers);
  call->headers = NULL;
  calls->lent = call;
  calls->in_flight--;
  return true;
}

void calls_escape(struct str text, char *out, size_t size) {
  char *escaped = text.size ? curl_easy_escape(NULL, text.data, (int)text.size) : NULL;
  snprintf(out, size, "%s", escaped ? escaped : "");
  curl_free(escaped);
}

bool calls_url_fits(const char *url) {
  bool names_host =
      (strncmp(url, "http://", 7) == 0 && url[7]) || (strncmp(url, "https://", 8) == 0 && url[8]);
  return names_host && strlen(url) < CALLS_URL_SIZE;
}
