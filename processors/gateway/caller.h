/* Who asks: by a token, or by headers where nobody needs one; whether they may, and have room. */
#ifndef HOLDFAST_GATEWAY_CALLER_H
#define HOLDFAST_GATEWAY_CALLER_H

#include "answers.h"
#include "exchange.h"

/* The caller that the request's token says, or without tokens (--auth none) the headers
 * Holdfast-Subject and Holdfast-Roles: an administrator called anybody without them. False: the
 * answer is set, as they are unknown, have none of the roles, or ask too much. */
bool caller_comes_in(struct gateway *gateway, unsigned roles, struct http_request *request,
                     struct caller *caller, struct answer *answer);

/* False: the answer is set, as too much is asked from there. */
bool caller_address_has_room(struct gateway *gateway, const struct http_request *request,
                             struct answer *answer);

#endif
