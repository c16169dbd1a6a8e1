/* A request, from its arrival to its answer.
 *
 * It may wait for the log to take its command, then for the outcome, and for a view; meanwhile its
 * connection is suspended. */
#ifndef HOLDFAST_GATEWAY_EXCHANGE_H
#define HOLDFAST_GATEWAY_EXCHANGE_H

#include <stdatomic.h>

#include "access_log.h"
#include "arrivals.h"
#include "events.h"
#include "limits.h"
#include "runtime/http/listener.h"
#include "runtime/kafka/sender.h"
#include "token.h"
#include "views.h"
#include "waiting.h"

#define WAIT_S_MAX 60 /* of Prefer: wait */

/* What all exchanges share. */
struct gateway {
  struct kafka_sender *sender;
  struct waiting *waiting;
  struct views *views;
  struct arrivals *arrivals;
  struct events *events;
  struct keys *keys; /* NULL: --auth none */
  struct token_rules rules;
  struct access_log *access_log;      /* NULL: none */
  const char *origins;                /* that browsers may ask from: see cors.h; NULL: none */
  struct limits *callers, *addresses; /* NULL: no limit */
  struct codec *codec;                /* under the lock */
  pthread_mutex_t codec_lock;
  atomic_bool leaving, draining; /* not ready; takes no more commands */
  atomic_size_t open;            /* exchanges */
};

/* The answer of the gateway's listener; user is the gateway. */
listener_answer exchange_answer;
void exchange_forget(void *state);

/* Of the sender and the views: user is an exchange. */
kafka_sender_heard exchange_sent;
views_answered exchange_seen;

#endif
