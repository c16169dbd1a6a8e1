#include "gateway/keys.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "gateway/jwk.h"
#include "gateway/key_source.h"
#include "runtime/base/arena.h"
#include "runtime/base/clock.h"
#include "runtime/base/report.h"

/* The keys of one reading. Never changed, and freed by the last who holds it. */
struct reading {
  struct key_set set;
  struct str text; /* owned: what they were read from */
  uint64_t generation;
  int users; /* under the lock */
};

struct keys {
  char *source; /* owned */
  bool is_secret, is_url;
  int64_t retry_ms;
  atomic_bool ending;
  pthread_t thread;
  char told[KEY_WHY_SIZE]; /* the thread's: the last warning, so that it is given once */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  struct reading *current; /* NULL: none yet */
  int64_t looked_ms;       /* when the last reading ended */
  bool wanted;             /* a kid was unknown since the last reading began */
};

/* ---- reading ---- */

static void reading_free(struct reading *reading) {
  key_set_free(&reading->set);
  if (reading->text.data)
    OPENSSL_cleanse((char *)(uintptr_t)reading->text.data, reading->text.size);
  free((char *)(uintptr_t)reading->text.data);
  free(reading);
}

static struct reading *hold(struct keys *keys) {
  pthread_mutex_lock(&keys->lock);
  struct reading *reading = keys->current;
  if (reading) reading->users++;
  pthread_mutex_unlock(&keys->lock);
  return reading;
}

static void let_go(struct keys *keys, struct reading *reading) {
  if (!reading) return;
  pthread_mutex_lock(&keys->lock);
  bool last = --reading->users == 0;
  pthread_mutex_unlock(&keys->lock);
  if (last) reading_free(reading);
}

static bool understand(const struct keys *keys, struct reading *reading, char *why) {
  if (!keys->is_secret) return jwks_parse(reading->text, keys->source, &reading->set, why);
  reading->set = (struct key_set){xcalloc(1, sizeof(struct key)), 1};
  return key_of_secret(reading->text, reading->set.keys, why);
}

/* Takes the reading and counts it as a look. */
static void install(struct keys *keys, struct reading *reading) {
  pthread_mutex_lock(&keys->lock);
  struct reading *old = keys->current;
  reading->users = 1;
  reading->generation = old ? old->generation + 1 : 1;
  keys->current = reading;
  pthread_cond_broadcast(&keys->changed);
  pthread_mutex_unlock(&keys->lock);
  let_go(keys, old);
}

/* The text has changed: only the thread replaces `current`, so it may look without the lock. */
static bool is_new(const struct keys *keys, struct str text) {
  return !keys->current || !str_equal(keys->current->text, text);
}

/* False: the keys are as they were, and why says what is wrong with the source. */
static bool look(struct keys *keys, char *why) {
  struct reading *reading = xcalloc(1, sizeof *reading);
  size_t max = keys->is_secret ? SECRET_SIZE_MAX + 2 : JWKS_SIZE_MAX;
  bool fine = source_read(keys->source, max, &keys->ending, &reading->text, why);
  bool changed = fine && is_new(keys, reading->text);
  fine = fine && (!changed || understand(keys, reading, why));
  if (fine && changed) {
    size_t count = reading->set.count;
    install(keys, reading);
    report_info("%zu %s from %s", count, count == 1 ? "key" : "keys", keys->source);
  } else {
    reading_free(reading);
  }
  return fine;
}

static void look_again(struct keys *keys) {
  char why[KEY_WHY_SIZE] = "";
  bool fine = look(keys, why);
  if (!fine && strcmp(why, keys->told) != 0 && !atomic_load(&keys->ending))
    report_warning("%s: the keys cannot be read: %s; %s", keys->source, why,
                   keys->current ? "the old ones stay" : "no token can be checked");
  snprintf(keys->told, sizeof keys->told, "%s", why);
}

/* ---- the thread ---- */

/* With the lock held: milliseconds between the last reading and the next. */
static int64_t pause_ms(const struct keys *keys) {
  if (!keys->is_url) return FILE_LOOK_MS;
  if (!keys->current) return URL_FIRST_MS < keys->retry_ms ? URL_FIRST_MS : keys->retry_ms;
  return keys->wanted ? keys->retry_ms : URL_LOOK_S * INT64_C(1000);
}

static void wait_until(struct keys *keys, int64_t at_ms) {
  struct timespec at = {at_ms / 1000, at_ms % 1000 * 1000000};
  pthread_cond_timedwait(&keys->changed, &keys->lock, &at);
}

static void *read_again(void *user) {
  struct keys *keys = user;
  pthread_setname_np(pthread_self(), "keys"); /* for top -H and profiles */
  pthread_mutex_lock(&keys->lock);
  while (!atomic_load(&keys->ending)) {
    int64_t due_ms = keys->looked_ms + pause_ms(keys);
    if (keys->looked_ms && clock_monotonic_ms() < due_ms) {
      wait_until(keys, due_ms);
      continue;
    }
    keys->wanted = false;
    pthread_mutex_unlock(&keys->lock);
    look_again(keys);
    pthread_mutex_lock(&keys->lock);
    keys->looked_ms = clock_monotonic_ms();
  }
  pthread_mutex_unlock(&keys->lock);
  return NULL;
}

/* ---- the owner ---- */

static void init_lock(struct keys *keys) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_mutex_init(&keys->lock, NULL);
  pthread_cond_init(&keys->changed, &attributes);
  pthread_condattr_destroy(&attributes);
}

static void destroy(struct keys *keys) {
  let_go(keys, keys->current);
  pthread_cond_destroy(&keys->changed);
  pthread_mutex_destroy(&keys->lock);
  free(keys->source);
  free(keys);
}

struct keys *keys_open(const struct keys_source *source, struct failure *failure) {
  char why[KEY_WHY_SIZE];
  struct keys *keys = xcalloc(1, sizeof *keys);
  keys->is_secret = !source->jwks;
  keys->source = xstrdup(keys->is_secret ? source->secret : source->jwks);
  keys->is_url = !keys->is_secret && source_is_url(keys->source);
  keys->retry_ms = source->retry_ms ? source->retry_ms : UNKNOWN_KID_MS;
  init_lock(keys);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  if (!keys->is_url && !look(keys, why)) {
    failure_set(failure, EX_CONFIG, "%s: the keys cannot be read: %s", keys->source, why);
    destroy(keys);
    return NULL;
  }
  if (source_is_open(keys->source))
    report_warning("the keys come from %s without TLS: whoever is between can give others",
                   keys->source);
  keys->looked_ms = keys->is_url ? 0 : clock_monotonic_ms();
  if (pthread_create(&keys->thread, NULL, read_again, keys) != 0) abort(); /* no memory */
  return keys;
}

void keys_close(struct keys *keys) {
  if (!keys) return;
  pthread_mutex_lock(&keys->lock);
  atomic_store(&keys->ending, true);
  pthread_cond_broadcast(&keys->changed);
  pthread_mutex_unlock(&keys->lock);
  pthread_join(keys->thread, NULL);
  destroy(keys);
}

bool keys_wait(struct keys *keys, int timeout_ms) {
  int64_t until_ms = clock_monotonic_ms() + timeout_ms;
  pthread_mutex_lock(&keys->lock);
  while (!keys->current && clock_monotonic_ms() < until_ms) wait_until(keys, until_ms);
  bool ready = keys->current != NULL;
  pthread_mutex_unlock(&keys->lock);
  return ready;
}

uint64_t keys_generation(struct keys *keys) {
  pthread_mutex_lock(&keys->lock);
  uint64_t generation = keys->current ? keys->current->generation : 0;
  pthread_mutex_unlock(&keys->lock);
  return generation;
}

/* ---- checks ---- */

/* Asks for another reading, and says whether one comes at once. */
static enum key_answer seek(struct keys *keys) {
  if (!keys->is_url) return KEY_UNKNOWN;
  pthread_mutex_lock(&keys->lock);
  bool soon = !keys->current || clock_monotonic_ms() - keys->looked_ms >= keys->retry_ms;
  if (!keys->wanted) pthread_cond_broadcast(&keys->changed);
  keys->wanted = true;
  pthread_mutex_unlock(&keys->lock);
  return soon ? KEY_SOUGHT : KEY_UNKNOWN;
}

static bool names(struct str kid, const struct key *key) {
  return !kid.data || (key->kid && str_equal(kid, str_of(key->kid)));
}

/* KEY_SIGNED: *found is the key to ask. */
static enum key_answer find(const struct key_set *set, struct str kid, enum algorithm algorithm,
                            const struct key **found) {
  bool named = false;
  *found = NULL;
  for (size_t i = 0; i < set->count; i++) {
    const struct key *key = &set->keys[i];
    if (!names(kid, key) && key->kid) continue;
    named |= names(kid, key);
    if (key->algorithm != algorithm) continue;
    if (*found) return KEY_AMBIGUOUS;
    *found = key;
  }
  if (*found) return KEY_SIGNED;
  return named ? KEY_OTHER_ALGORITHM : KEY_UNKNOWN;
}

enum key_answer keys_check(struct keys *keys, struct str kid, enum algorithm algorithm,
                           struct str text, struct str signature, uint64_t *generation) {
  const struct key *key;
  struct reading *reading = hold(keys);
  *generation = reading ? reading->generation : 0;
  enum key_answer answer = reading ? find(&reading->set, kid, algorithm, &key) : KEY_UNKNOWN;
  if (answer == KEY_SIGNED && !signature_fits(key, text, signature)) answer = KEY_FORGED;
  let_go(keys, reading);
  return answer == KEY_UNKNOWN ? seek(keys) : answer;
}
