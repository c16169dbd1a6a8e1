/* The words of the gateway's answers: statuses, headers, and problem documents (RFC 9457). */
#ifndef HOLDFAST_GATEWAY_ANSWERS_H
#define HOLDFAST_GATEWAY_ANSWERS_H

#include "commands.h"
#include "limits.h"
#include "routes.h"
#include "runtime/http/listener.h"
#include "runtime/kafka/sender.h"
#include "token.h"
#include "waiting.h"

#define ANSWER_HEADERS_MAX 12

struct answer {
  int status; /* 0: not set */
  char *body; /* owned; NULL: none */
  size_t size;
  const char *type;
  struct http_header headers[ANSWER_HEADERS_MAX]; /* values owned */
  size_t header_count, kept_headers;              /* kept: of every answer, the first ones */
};

bool answer_is_set(const struct answer *answer);
enum MHD_Result answer_send(struct answer *answer, struct http_request *request);
void answer_free(struct answer *answer);

/* Headers that every answer has: the trace, and what a browser wants to know of a page of another
 * origin (CORS, the fetch standard). origins: with commas between, or *; NULL: none. */
void answer_traced(struct answer *answer, const char *trace);
void answer_to_browser(struct answer *answer, const struct http_request *request,
                       const char *origins);
bool answer_preflight(struct answer *answer); /* false */

/* ---- who may ---- */

/* These set the answer and return false: 401 or 503, 403, 403, 429 (true: there was room, and only the
 * headers are set). */
bool answer_unknown_caller(struct answer *answer, bool sent, const struct token_refusal *why);
bool answer_forbidden(struct answer *answer, unsigned roles);
bool answer_not_theirs(struct answer *answer);
bool answer_limit(struct answer *answer, const struct limits *limits, const char *name,
                  const struct limit_answer *taken);

/* 404, or 405 where other methods are allowed; 503. False. */
bool answer_no_route(struct answer *answer, const char *allowed);
bool answer_draining(struct answer *answer);

/* ---- commands ---- */

void answer_problem(struct answer *answer, struct http_request *request); /* the request's; taken */
void answer_full(struct answer *answer);
void answer_no_id(struct answer *answer);
void answer_bad_limit(struct answer *answer);
void answer_too_long(struct answer *answer);
void answer_not_sent(struct answer *answer, const struct kafka_receipt *receipt);
void answer_accepted(struct answer *answer, const struct gateway_route *route, struct str about,
                     const struct kafka_receipt *receipt);

/* To a GET: the view does not have it yet, and it is in the log. */
void answer_arriving(struct answer *answer, struct str reservation);

/* A step by which the command has its outcome: of a Reserve, the step of a reservation of the same
 * content. */
bool answer_is_outcome(const struct command *command, const struct status_changed *step);

/* That command's refusal, sent by the caller. */
bool answer_is_refusal(const struct command *command, const struct command_refused *refusal,
                       struct str caller);

/* A step as it is shown. A new reference. */
json_t *answer_step_json(const struct status_changed *step);

/* The outcome, or the refusal. keyed: the id was made from an Idempotency-Key. True. */
bool answer_news(struct answer *answer, bool keyed, const struct news *news);

/* The same from the view's JSON; false: there is no outcome yet. */
bool answer_view_outcome(struct answer *answer, const struct command *command,
                         const json_t *reservation);

/* ---- views and documents ---- */

/* status 0: nobody answered. 304 where the request has the entity's tag. */
void answer_view(struct answer *answer, struct http_request *request, long status, struct str body);
void answer_document(struct answer *answer);

#endif
