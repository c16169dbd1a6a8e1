/* A request's body, made into the record of a command. */
#ifndef HOLDFAST_GATEWAY_COMMANDS_H
#define HOLDFAST_GATEWAY_COMMANDS_H

#include "routes.h"
#include "runtime/contract/view.h"
#include "runtime/record/codec.h"
#include "token.h"

#define IDEMPOTENCY_KEY_MAX 255

struct command {
  struct str about; /* the reservation, item or customer that it is about */
  struct record record;
  struct str key, value; /* of the log's record */
  bool keyed;            /* its id was made from an Idempotency-Key */
};

/* All of the command is in the arena. False: the request has its problem: 400 for a header or a
 * text that is no JSON, 415 for another type, 422 for content that no command may have. The codec
 * is used by this call alone. */
bool command_make(const struct gateway_route *route, const struct caller *caller, struct str part,
                  struct http_request *request, struct codec *codec, struct arena *arena,
                  struct command *out);

#endif
