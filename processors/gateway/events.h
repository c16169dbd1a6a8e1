/* Steps of reservations, told as they commit: server-sent events (HTML standard, 9.2).
 *
 * The last of them are kept in memory, of bounded size, for all who listen. The id of an event says
 * how far each partition of reservation-events was told, so that any instance can go on where
 * another ended (Last-Event-ID): from memory, or from the log if it is longer ago. Who reads so
 * slowly that memory has moved on is ended, and goes on in that way.
 *
 * All calls are safe on any thread. */
#ifndef HOLDFAST_GATEWAY_EVENTS_H
#define HOLDFAST_GATEWAY_EVENTS_H

#include "gen/records.h"
#include "runtime/base/options.h"
#include "runtime/contract/view.h"

#define EVENT_PARTITIONS_MAX 256

struct events;

struct events *events_new(const struct options *options);
void events_free(struct events *events); /* NULL is fine; nobody listens */

/* The news begin there, of count partitions (at most EVENT_PARTITIONS_MAX); 0: they are
 * interrupted. Every stream ends: who listens goes on by the last id. */
void events_begin(struct events *events, const int64_t *from, int32_t count);

void events_push(struct events *events, int32_t partition, int64_t offset,
                 const struct status_changed *step);

/* Now and then: who has heard nothing for a while gets a comment, so that a dead connection is
 * noticed. */
void events_tick(struct events *events, int64_t now);

/* Answers with the stream of a customer's steps, or of all (customer.data NULL). last: the text of
 * Last-Event-ID; NULL: from now on. False: the request has its problem. */
bool events_listen(struct events *events, struct http_request *request, struct str customer,
                   const char *last);

/* Every stream ends, and no other begins. */
void events_end(struct events *events);

#endif
