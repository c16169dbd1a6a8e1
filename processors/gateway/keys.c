#include "gateway/keys.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "gateway/jwk.h"
#include "gateway/key_source.h"
#include "runtime/base/arena.h"
#include "runtime/base/clock.h"
#include "runtime/base/report.h"
#include "runtime/base/worker.h"

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
  char told[KEY_WHY_SIZE]; /* the thread's: the last warning, so that it is given once */
  struct worker worker;    /* its lock is of what follows */
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
  worker_lock(&keys->worker);
  struct reading *reading = keys->current;
  if (reading) reading->users++;
  worker_unlock(&keys->worker);
  return reading;
}

static void let_go(struct keys *keys, struct reading *reading) {
  if (!reading) return;
  worker_lock(&keys->worker);
  bool last = --reading->users == 0;
  worker_unlock(&keys->worker);
  if (last) reading_free(reading);
}

static bool understand(const struct keys *keys, struct reading *reading, char *why) {
  if (!keys->is_secret) return jwks_parse(reading->text, keys->source, &reading->set, why);
  reading->set = (struct key_set){xcalloc(1, sizeof(struct key)), 1};
  return key_of_secret(reading->text, reading->set.keys, why);
}

/* Takes the reading and counts it as a look. */
static void install(struct keys *keys, struct reading *reading) {
  worker_lock(&keys->worker);
  struct reading *old = keys->current;
  reading->users = 1;
  reading->generation = old ? old->generation + 1 : 1;
  keys->current = reading;
  worker_wake(&keys->worker);
  worker_unlock(&keys->worker);
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
  bool fine = source_read(keys->source, max, &keys->worker.ending, &reading->text, why);
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
  if (!fine && strcmp(why, keys->told) != 0 && !atomic_load(&keys->worker.ending))
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

static void *read_again(void *user) {
  struct keys *keys = user;
  worker_lock(&keys->worker);
  while (!keys->worker.ending) {
    int64_t due_ms = keys->looked_ms + pause_ms(keys);
    if (keys->looked_ms && clock_monotonic_ms() < due_ms) {
      worker_wait(&keys->worker, due_ms);
      continue;
    }
    keys->wanted = false;
    worker_unlock(&keys->worker);
    look_again(keys);
    worker_lock(&keys->worker);
    keys->looked_ms = clock_monotonic_ms();
  }
  worker_unlock(&keys->worker);
  return NULL;
}

/* ---- the owner ---- */

void keys_close(struct keys *keys) {
  if (!keys) return;
  worker_end(&keys->worker);
  let_go(keys, keys->current);
  worker_free(&keys->worker);
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
  worker_init(&keys->worker);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  if (!keys->is_url && !look(keys, why)) {
    failure_set(failure, EX_CONFIG, "%s: the keys cannot be read: %s", keys->source, why);
    keys_close(keys);
    return NULL;
  }
  if (source_is_open(keys->source))
    report_warning("the keys come from %s without TLS: whoever is between can give others",
                   keys->source);
  keys->looked_ms = keys->is_url ? 0 : clock_monotonic_ms();
  worker_start(&keys->worker, "keys", read_again, keys);
  return keys;
}

bool keys_wait(struct keys *keys, int timeout_ms) {
  int64_t until_ms = clock_monotonic_ms() + timeout_ms;
  worker_lock(&keys->worker);
  while (!keys->current && clock_monotonic_ms() < until_ms) worker_wait(&keys->worker, until_ms);
  bool ready = keys->current != NULL;
  worker_unlock(&keys->worker);
  return ready;
}

uint64_t keys_generation(struct keys *keys) {
  worker_lock(&keys->worker);
  uint64_t generation = keys->current ? keys->current->generation : 0;
  worker_unlock(&keys->worker);
  return generation;
}

/* ---- checks ---- */

/* Asks for another reading, and says whether one comes at once. */
static enum key_answer seek(struct keys *keys) {
  if (!keys->is_url) return KEY_UNKNOWN;
  worker_lock(&keys->worker);
  bool soon = !keys->current || clock_monotonic_ms() - keys->looked_ms >= keys->retry_ms;
  if (!keys->wanted) worker_wake(&keys->worker);
  keys->wanted = true;
  worker_unlock(&keys->worker);
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
