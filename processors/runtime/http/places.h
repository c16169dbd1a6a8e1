/* The connections of a listener: how old each is, and which one goes if too many come.
 *
 * A connection that is not held has a time for its first request and the answer to it, and as long
 * again for each that follows; then it is closed. If one more comes than there may be, the address
 * that has the most of them loses its oldest. All calls are safe on any thread. */
#ifndef HOLDFAST_HTTP_PLACES_H
#define HOLDFAST_HTTP_PLACES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct places;

/* A connection, and its request so far. Its own thread alone looks at what is not private. */
struct place {
  bool headers_seen;
  size_t body_size;                    /* bytes that came */
  char *body;                          /* of those, what is kept; owned */
  struct tls_certificate *certificate; /* the listener's; NULL: no TLS */

  /* Private. */
  struct places *of;
  bool ended, held;
  int socket;
  in_addr_t address;
  int64_t since; /* its start or its last answer, monotonic ms */
  struct place *older, *newer, *next_free;
};

/* most: connections that may be open. age_ms: of one that is not held. A thread of its own closes
 * those whose time is over. */
struct places *places_new(size_t most, int64_t age_ms);
void places_free(struct places *places); /* NULL is fine; all were given back */

/* Sockets that may be there at a time: those that were ended are still to be closed. */
size_t places_sockets(const struct places *places);

struct place *places_take(struct places *places, int socket, in_addr_t address);
void places_give(struct place *place);

/* Its age begins anew, and it is held no longer. */
void places_answered(struct place *place);

/* It waits for something, or is told of things as they come: it may grow old. False: its address has
 * seven of eight places held, and one address must not keep out others. */
bool places_hold(struct place *place);
void places_release(struct place *place); /* its age begins anew */

#endif
