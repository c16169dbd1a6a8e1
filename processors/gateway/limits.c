#include "gateway/limits.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

#include "runtime/base/arena.h"

#define WAYS 8
#define SETS (LIMIT_BUCKETS / WAYS)
#define LOCKS 64 /* so that threads seldom meet */
#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MINUTE (60 * NS_PER_S)

/* All that a bucket needs is when it will be full: what is missing now follows (the generic cell
 * rate algorithm, ITU-T I.371). One that was never used, or is full again, has a time that has
 * passed. */
struct bucket {
  XXH128_hash_t who; /* of 2^128: nobody shares a bucket */
  int64_t full_ns;
};

struct limits {
  int64_t interval_ns; /* a request's */
  int64_t burst;
  uint64_t seed; /* so that nobody chooses whose places to share */
  pthread_mutex_t locks[LOCKS];
  struct bucket buckets[SETS][WAYS];
};

struct limits *limits_open(struct limit_rate rate) {
  struct limits *limits = xcalloc(1, sizeof *limits);
  limits->interval_ns = NS_PER_MINUTE / rate.per_minute;
  limits->burst = rate.burst;
  if (getrandom(&limits->seed, sizeof limits->seed, 0) != sizeof limits->seed) abort();
  for (size_t i = 0; i < LOCKS; i++) pthread_mutex_init(&limits->locks[i], NULL);
  return limits;
}

void limits_close(struct limits *limits) {
  if (!limits) return;
  for (size_t i = 0; i < LOCKS; i++) pthread_mutex_destroy(&limits->locks[i]);
  free(limits);
}

/* Who's bucket, or the one that makes room for it. */
static struct bucket *bucket_of(struct bucket *set, XXH128_hash_t who) {
  struct bucket *fullest = set;
  for (size_t i = 0; i < WAYS; i++) {
    if (XXH128_isEqual(set[i].who, who)) return &set[i];
    if (set[i].full_ns < fullest->full_ns) fullest = &set[i];
  }
  *fullest = (struct bucket){.who = who};
  return fullest;
}

static int64_t round_up(int64_t ns, int64_t unit) {
  return (ns + unit - 1) / unit;
}

static struct limit_answer take(const struct limits *limits, struct bucket *bucket,
                                int64_t now_ns) {
  const int64_t room_ns = (limits->burst - 1) * limits->interval_ns;
  int64_t missing_ns = bucket->full_ns > now_ns ? bucket->full_ns - now_ns : 0;
  bool taken = missing_ns <= room_ns;
  if (taken) missing_ns += limits->interval_ns;
  bucket->full_ns = now_ns + missing_ns;
  return (struct limit_answer){
      .taken = taken,
      .remaining = limits->burst - round_up(missing_ns, limits->interval_ns),
      .next_s = missing_ns > room_ns ? round_up(missing_ns - room_ns, NS_PER_S) : 0,
      .full_s = round_up(missing_ns, NS_PER_S),
  };
}

struct limit_answer limits_take(struct limits *limits, struct str who, int64_t now_ms) {
  XXH128_hash_t hash = XXH3_128bits_withSeed(who.data, who.size, limits->seed);
  size_t set = hash.low64 % SETS;
  pthread_mutex_t *lock = &limits->locks[set % LOCKS];
  pthread_mutex_lock(lock);
  struct limit_answer answer =
      take(limits, bucket_of(limits->buckets[set], hash), now_ms * INT64_C(1000000));
  pthread_mutex_unlock(lock);
  return answer;
}

struct str limit_address(const struct sockaddr *address, char out[LIMIT_ADDRESS_SIZE]) {
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  if (address->sa_family == AF_INET) {
    memcpy(&v4, address, sizeof v4);
    memcpy(out, &v4.sin_addr, 4);
    return (struct str){out, 4};
  }
  if (address->sa_family != AF_INET6) return (struct str){0};
  memcpy(&v6, address, sizeof v6);
  bool mapped = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
  memcpy(out, v6.sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 8);
  return (struct str){out, mapped ? 4 : 8};
}

void limit_policy_header(const struct limits *limits, const char *name,
                         char out[LIMIT_HEADER_SIZE]) {
  snprintf(out, LIMIT_HEADER_SIZE, "\"%.20s\";q=%" PRId64 ";w=%" PRId64, name, limits->burst,
           round_up(limits->burst * limits->interval_ns, NS_PER_S));
}

void limit_header(const struct limit_answer *answer, const char *name,
                  char out[LIMIT_HEADER_SIZE]) {
  snprintf(out, LIMIT_HEADER_SIZE, "\"%.20s\";r=%" PRId64 ";t=%" PRId64, name, answer->remaining,
           answer->remaining ? answer->full_s : answer->next_s);
}
