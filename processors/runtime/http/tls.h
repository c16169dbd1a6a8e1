/* TLS of a listener (1.2 and 1.3, RFC 5246 and 8446): a certificate and its key from PEM files,
 * which are read again when they change.
 *
 * A connection keeps the certificate that it began with; one that begins later gets the newest.
 * What cannot be read, or does not fit together, changes nothing, and a warning says so. */
#ifndef HOLDFAST_HTTP_TLS_H
#define HOLDFAST_HTTP_TLS_H

#include <gnutls/gnutls.h>

#include "runtime/base/failure.h"
#include "runtime/base/options.h"

#define TLS_LOOK_MS 1000 /* between two looks at the files' times */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE"

/* --tls-certificate and --tls-key */
extern const struct option_desc tls_options[];

struct tls;
struct tls_certificate;

/* *out stays NULL where the options name no certificate. False with the failure set: EX_USAGE for
 * one of the two alone, EX_CONFIG for files that are of no use. A thread of its own looks at
 * them. */
bool tls_open(const struct options *options, struct tls **out, struct failure *failure);
void tls_close(struct tls *tls); /* NULL is fine; every certificate was given back */

/* The files are read again now, whatever their times say (SIGHUP). NULL is fine. */
void tls_read_again(struct tls *tls);

/* Gives the session, whose handshake has not begun, the newest certificate; to be given back once
 * the session has ended. Any thread. */
struct tls_certificate *tls_take(struct tls *tls, gnutls_session_t session);
void tls_give(struct tls *tls, struct tls_certificate *certificate);

#endif
