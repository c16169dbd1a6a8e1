/* How much one caller, or one address, may ask: a token bucket for each, in bounded memory.
 *
 * A bucket has room for `burst` requests and fills by per_minute. Buckets live in a table of fixed
 * size. Where a new one finds its places taken, the bucket goes that is the nearest to full: it
 * waited longest, and forgetting it gives its owner the least. A full bucket is forgotten without
 * any gain, so only more callers at once than the table has places for are given something.
 *
 * Any number of threads. The clock is the caller's. */
#ifndef HOLDFAST_GATEWAY_LIMITS_H
#define HOLDFAST_GATEWAY_LIMITS_H

#include <sys/socket.h>

#include "runtime/base/str.h"

#define LIMIT_BUCKETS 65536 /* 24 bytes each */
#define LIMIT_PER_MINUTE_MAX 60000000
#define LIMIT_BURST_MAX 1000000
#define LIMIT_ADDRESS_SIZE 8
#define LIMIT_HEADER_SIZE 96

struct limits;

struct limit_rate {
  int64_t per_minute; /* 1 to LIMIT_PER_MINUTE_MAX */
  int64_t burst;      /* 1 to LIMIT_BURST_MAX */
};

struct limit_answer {
  bool taken;        /* false: answer 429 */
  int64_t remaining; /* requests that it may send at once now */
  int64_t next_s;    /* seconds until it may send the next, rounded up: Retry-After. 0: now */
  int64_t full_s;    /* seconds until it may send a whole burst, rounded up */
};

struct limits *limits_open(struct limit_rate rate);
void limits_close(struct limits *limits); /* NULL is fine */

/* Takes one request of who's bucket, or says when there will be one; a refusal costs nothing.
 * who: any bytes, see limit_address. now_ms: of a clock that never goes back. */
struct limit_answer limits_take(struct limits *limits, struct str who, int64_t now_ms);

/* Whom an address belongs to: all of an IPv4 address, in IPv6 too (RFC 4291, section 2.5.5.2); of
 * an IPv6 address the first 64 bits, which one subscriber has whole. Empty: another family. */
struct str limit_address(const struct sockaddr *address, char out[LIMIT_ADDRESS_SIZE]);

/* The values of RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10); name is
 * a word of letters, such as caller. The window is the time that an empty bucket fills in. */
void limit_policy_header(const struct limits *limits, const char *name,
                         char out[LIMIT_HEADER_SIZE]);
void limit_header(const struct limit_answer *answer, const char *name, char out[LIMIT_HEADER_SIZE]);

#endif
