/* The reservations that were asked for lately, through any gateway or none: each reads all of
 * reservation-commands, without a group. So nobody hears that a reservation is unknown which is on
 * its way. The last ARRIVALS_MAX are known, in memory of fixed size. */
#ifndef HOLDFAST_GATEWAY_ARRIVALS_H
#define HOLDFAST_GATEWAY_ARRIVALS_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"
#include "runtime/base/str.h"

#define ARRIVALS_MAX 262144

struct arrivals;

/* From now on, on a thread of its own. NULL with the failure set. */
struct arrivals *arrivals_open(const struct options *options, struct failure *failure);

/* Of that customer (data NULL: of anybody). Any thread. */
bool arrivals_have(struct arrivals *arrivals, struct str reservation, struct str customer);
void arrivals_close(struct arrivals *arrivals); /* NULL is fine */

#endif
