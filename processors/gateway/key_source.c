#include "gateway/key_source.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/arena.h"

struct answer {
  char *data;
  size_t size, capacity, max;
  bool too_large;
  const atomic_bool *ending;
};

static bool begins_with(const char *text, const char *beginning) {
  return strncmp(text, beginning, strlen(beginning)) == 0;
}

bool source_is_url(const char *source) {
  return begins_with(source, "http://") || begins_with(source, "https://");
}

bool source_is_open(const char *source) {
  static const char *const own[] = {"127.0.0.1", "localhost", "[::1]"};
  const char *host = source + strlen("http://");
  if (!begins_with(source, "http://")) return false;
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
    size_t size = strlen(own[i]);
    if (strncmp(host, own[i], size) == 0 && (!host[size] || strchr(":/", host[size]))) return false;
  }
  return true;
}

static size_t take_piece(char *data, size_t size, size_t count, void *user) {
  struct answer *answer = user;
  size_t bytes = size * count;
  answer->too_large = bytes > answer->max - answer->size;
  if (answer->too_large) return 0; /* ends the transfer */
  answer->data = xgrow(answer->data, &answer->capacity, answer->size + bytes + 1, 1);
  memcpy(answer->data + answer->size, data, bytes);
  answer->size += bytes;
  return bytes;
}

static int is_ending(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total,
                     curl_off_t up_now) {
  (void)total, (void)now, (void)up_total, (void)up_now;
  return atomic_load(((struct answer *)user)->ending);
}

static void configure(CURL *easy, const char *url, struct answer *answer) {
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)FETCH_CONNECT_MS);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)FETCH_MS);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_piece);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, is_ending);
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, answer);
}

static bool fetch(const char *url, struct answer *answer, char *why) {
  char error[CURL_ERROR_SIZE] = "";
  long status = 0;
  CURL *easy = curl_easy_init();
  if (!easy) abort(); /* no memory */
  configure(easy, url, answer);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
  CURLcode ended = curl_easy_perform(easy);
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_cleanup(easy);
  bool fine = ended == CURLE_OK && status == 200;
  if (answer->too_large) {
    snprintf(why, KEY_WHY_SIZE, "it has more than %zu bytes", answer->max);
  } else if (ended == CURLE_OK && !fine) {
    snprintf(why, KEY_WHY_SIZE, "it answers %ld, not 200", status);
  } else if (!fine) {
    snprintf(why, KEY_WHY_SIZE, "%.150s", *error ? error : curl_easy_strerror(ended));
  }
  return fine;
}

static bool read_file(const char *path, struct answer *answer, char *why) {
  FILE *file = fopen(path, "r");
  if (file) {
    answer->capacity = answer->max + 2;
    answer->data = xmalloc(answer->capacity);
    answer->size = fread(answer->data, 1, answer->max + 1, file);
  }
  bool fine = file && !ferror(file);
  if (!fine) snprintf(why, KEY_WHY_SIZE, "%s", strerror(errno));
  if (file) fclose(file);
  if (answer->size <= answer->max) return fine;
  snprintf(why, KEY_WHY_SIZE, "it has more than %zu bytes", answer->max);
  return false;
}

bool source_read(const char *source, size_t max, const atomic_bool *ending, struct str *out,
                 char *why) {
  struct answer answer = {.max = max, .ending = ending};
  bool fine = source_is_url(source) ? fetch(source, &answer, why) : read_file(source, &answer, why);
  if (!fine) {
    free(answer.data);
    return false;
  }
  answer.data = xgrow(answer.data, &answer.capacity, answer.size + 1, 1);
  answer.data[answer.size] = '\0';
  *out = (struct str){answer.data, answer.size};
  return true;
}
