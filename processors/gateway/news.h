/* News of reservations as they commit: each gateway reads all of reservation-events, without a
 * group, and tells who waits. */
#ifndef HOLDFAST_GATEWAY_NEWS_H
#define HOLDFAST_GATEWAY_NEWS_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"
#include "events.h"
#include "waiting.h"

struct news_reader;

/* From now on, to who waits and who listens. A thread of its own, which also ends what waits too
 * long. NULL with the failure set. */
struct news_reader *news_open(const struct options *options, struct waiting *waiting,
                              struct events *events, struct failure *failure);

/* The broker has answered lately. */
bool news_come(struct news_reader *reader);
void news_close(struct news_reader *reader); /* NULL is fine */

#endif
