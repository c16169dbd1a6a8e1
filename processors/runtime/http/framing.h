/* Whether a request's end is where everybody on its way sees it (RFC 9112, sections 3.2 and 6): two
 * that read it otherwise can be made to take a part of its body for another's request. */
#ifndef HOLDFAST_HTTP_FRAMING_H
#define HOLDFAST_HTTP_FRAMING_H

#include <microhttpd.h>

/* What is wrong, for a 400 after which the connection must be closed; NULL: nothing. version: as
 * the request says it. */
const char *framing_fault(struct MHD_Connection *connection, const char *version);

#endif
