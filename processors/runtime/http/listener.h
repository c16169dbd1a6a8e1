/* An HTTP listener that slow or many clients cannot hold up: the transport under the probes
 * (health.c), a view's questions (server.c) and the gateway.
 *
 * A connection has a time for its first request and the answer to it, and as long again for each
 * that follows: however slowly bytes drip, then it is closed. If more come than may be open, the
 * address that has the most of them loses its oldest: so one address cannot keep out another, and
 * behind a proxy, with one address for all, a client that waits cannot keep out one that asks. */
#ifndef HOLDFAST_HTTP_LISTENER_H
#define HOLDFAST_HTTP_LISTENER_H

#include <microhttpd.h>

#include "runtime/base/failure.h"
#include "runtime/base/options.h"
#include "runtime/contract/view.h"

struct listener;

struct listener_limits {
  unsigned connections; /* open at a time */
  int exchange_ms;      /* from a connection's start or last answer to the next */
  size_t head;          /* bytes of a request's line and headers, and of some of its body */
  size_t body;          /* bytes; 0: questions alone (GET, HEAD), whose bodies are read past */
};
extern const struct listener_limits listener_questions;

/* Answers one request with listener_send..; on a thread of the listener, which it
 * must not hold. To answer later it sets *state, suspends the connection and returns MHD_YES; once
 * the connection is resumed it is called again with that state. */
typedef enum MHD_Result listener_answer(void *user, const char *path, struct http_request *request,
                                        void **state);

/* Listens on "HOST:PORT" (IPv4 in numbers; port 0 takes a free one), without answering yet. NULL
 * with the failure set: EX_USAGE for a bad text, EX_TEMPFAIL where the port is in use, EX_CONFIG
 * where it may not be had, EX_UNAVAILABLE where the address is not this machine's. option is the
 * name of the text in messages. */
struct listener *listener_open(const char *option, const char *address, struct failure *failure);

/* Speaks TLS, where the options (tls_options of tls.h) have a certificate. Before it answers. False
 * with the failure set as by tls_open. */
bool listener_secure(struct listener *listener, const struct options *options,
                     struct failure *failure);

/* Reads certificate and key again now. */
void listener_read_again(struct listener *listener);

/* Answers from now on. forget frees a state that was set (NULL: nothing is set). EX_CONFIG where the
 * process may not open a file for each connection. */
bool listener_serve(struct listener *listener, const struct listener_limits *limits,
                    unsigned threads, listener_answer *answer, void (*forget)(void *state),
                    void *user, struct failure *failure);

/* The answer waits for something: this request's time is the answerer's own affair. False: too many
 * of its address wait already; answer it at once. */
bool listener_hold(const struct http_request *request);

/* It waits no longer: whoever asked has the usual time to take the answer. */
void listener_release(const struct http_request *request);

/* "HOST" as bound, which may be 0.0.0.0, and the port. */
const char *listener_host(const struct listener *listener);
uint16_t listener_port(const struct listener *listener);

/* Ends every connection. None may be suspended. NULL is fine. */
void listener_close(struct listener *listener);

/* The text is copied. */
enum MHD_Result listener_send_text(const struct http_request *request, const char *type,
                                   const char *text, size_t size);
/* Sends and takes the request's body: a problem document from status 400 on. */
enum MHD_Result listener_send_json(struct http_request *request);

#endif
