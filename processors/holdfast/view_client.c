#include "view_client.h"

#include <curl/curl.h>
#include <stdlib.h>

#define ANSWER_MAX ((size_t)64 << 20)
#define URL_MAX 2048

static const struct view_thing things[] = {{"reservation", "history", "/reservations/%s"},
                                           {"customer", "history", "/customers/%s/reservations"},
                                           {"item", "catalog", "/items/%s?limit=500"},
                                           {"tally", "tally", "/tallies/%s?limit=500"}};

const struct view_thing *view_thing(const char *name) {
  for (size_t i = 0; i < sizeof things / sizeof *things; i++) {
    if (strcmp(name, things[i].name) == 0) return &things[i];
  }
  return NULL;
}

void view_url(const struct options *options, const struct view_thing *thing, char *url,
              size_t size) {
  char option[64];
  snprintf(option, sizeof option, "%s-url", thing->view);
  snprintf(url, size, "%s", options_text(options, option));
}

struct answer {
  char *data;
  size_t size, capacity;
};

static size_t take(char *data, size_t size, size_t count, void *user) {
  struct answer *answer = user;
  size_t bytes = size * count;
  if (answer->size + bytes > ANSWER_MAX) return 0;
  answer->data = xgrow(answer->data, &answer->capacity, answer->size + bytes, 1);
  memcpy(answer->data + answer->size, data, bytes);
  answer->size += bytes;
  return bytes;
}

/* False: the question does not fit. */
static bool write_question(char url[URL_MAX], CURL *curl, const char *base,
                           const struct view_thing *thing, const char *id) {
  char path[URL_MAX];
  char *escaped = curl_easy_escape(curl, id, 0);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  int path_size = snprintf(path, URL_MAX, thing->path, escaped);
#pragma GCC diagnostic pop
  curl_free(escaped);
  return path_size < URL_MAX && snprintf(url, URL_MAX, "%s%s", base, path) < URL_MAX;
}

json_t *view_ask(const char *base, const struct view_thing *thing, const char *id, long *status,
                 char *error) {
  static CURL *curl;
  if (!curl) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    curl = curl_easy_init();
  }
  char url[URL_MAX];
  if (!write_question(url, curl, base, thing, id)) {
    *status = 414;
    return json_pack("{s:s,s:s}", "title", "Too long", "detail",
                     "the question is too long: ids have at most 64 bytes");
  }
  struct answer answer = {0};
  curl_easy_reset(curl);
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 10000L);
  CURLcode code = curl_easy_perform(curl);
  json_t *json = NULL;
  if (code != CURLE_OK) {
    snprintf(error, 512, "nobody answers at %s: %s", url, curl_easy_strerror(code));
  } else {
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    json = json_loadb(answer.data ? answer.data : "", answer.size, 0, NULL);
    if (!json) snprintf(error, 512, "the answer at %s is no JSON", url);
  }
  free(answer.data);
  return json;
}
