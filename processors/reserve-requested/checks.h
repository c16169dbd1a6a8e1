/* The rules of a valid command. Each returns the fault, as a text for people, or NULL. And what a
 * valid Reserve asks for. */
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

/* The number of units; of seats, the named ones with those that are to be found beside them. */
int32_t reserve_quantity(const struct reserve *reserve);

/* Names what a Reserve asks for: the same content under an id is a repeat, another one is refused.
 * XXH3, 64 bits. */
int64_t reserve_content_hash(const struct reserve *reserve);

#endif
