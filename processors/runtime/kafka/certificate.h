/* The certificate by which this process shows who it is. */
#ifndef HOLDFAST_KAFKA_CERTIFICATE_H
#define HOLDFAST_KAFKA_CERTIFICATE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/failure.h"

/* Looks at the first certificate of a PEM file. False with the failure set: it has expired, of which
 * brokers say no more than that they do not like it. One that cannot be read is librdkafka's to
 * tell. */
bool certificate_is_of_today(const char *path, struct failure *failure);

/* The end of the one that was looked at, seconds since 1970; 0: none was. Any thread. */
int64_t certificate_ends(void);

#endif
