/* The rules of a valid command. Each returns the fault, as a text for people, or NULL. */
#ifndef HOLDFAST_CHECKS_H
#define HOLDFAST_CHECKS_H

#include "runtime/contract/processor.h"
#include "gen/events.h"

#define ID_MAX 64

bool valid_id(struct str id);

const char *wrong_register_item(const struct register_item *item);
const char *wrong_receive_stock(const struct receive_stock *receive);
const char *wrong_close_item(const struct close_item *close);
const char *wrong_register_customer(const struct register_customer *customer);
const char *wrong_reserve(const struct reserve *reserve);

/* Of a Pay or a Cancel. */
const char *wrong_ids(struct str reservation_id, struct str customer_id);

#endif
