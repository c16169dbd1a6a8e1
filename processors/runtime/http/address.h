/* The address at which other instances reach this one. */
#ifndef HOLDFAST_HTTP_ADDRESS_H
#define HOLDFAST_HTTP_ADDRESS_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"

#define ADDRESS_TEXT_MAX 16 /* of IPv4, with its NUL */

/* listening: the address that it listens at. 0.0.0.0 is nowhere that another one can go to: then it
 * is the address from which the brokers of the options are reached. False: there is no way to
 * any. */
bool address_of_this(const char *listening, const struct options *options,
                     char out[ADDRESS_TEXT_MAX], struct failure *failure);

#endif
