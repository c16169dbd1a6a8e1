/* Items, and the commands about them. */
#ifndef HOLDFAST_ITEMS_H
#define HOLDFAST_ITEMS_H

#include "runtime/contract/processor.h"
#include "gen/events.h"

struct str item_key(struct context *context, struct str item_id);

/* NULL: it is not registered. */
const struct stock_level *item_get(struct context *context, struct str item_id);

/* The row and what others see of it are the same record. */
void item_put(struct context *context, const struct stock_level *item);

void item_register(struct context *context, const struct event *event);
void item_receive(struct context *context, const struct event *event);
void item_close(struct context *context, const struct event *event);

#endif
