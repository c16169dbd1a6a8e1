/* Holds: units and seats that are taken, sold and given back. */
#ifndef HOLDFAST_HOLDS_H
#define HOLDFAST_HOLDS_H

#include "runtime/contract/processor.h"
#include "gen/events.h"

struct str hold_key(struct context *context, struct str item_id, struct str reservation_id,
                    int64_t content_hash);

void hold_request(struct context *context, const struct event *event);
void hold_confirm(struct context *context, const struct event *event);
void hold_release(struct context *context, const struct event *event);

#endif
