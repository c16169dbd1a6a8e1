/* The inputs of a reservation's ledger, by name. */
#ifndef HOLDFAST_TEST_LEDGER_INPUTS_H
#define HOLDFAST_TEST_LEDGER_INPUTS_H

#include "harness.h"

#define LEDGER_TIME INT64_C(1000000) /* of every input */

/* "open", "pay", "cancel", "held AT_ONCE", "charge approved", "hold end", ...: as the tests of the
 * ledger say them. Returns what came out. */
const char *ledger_give(struct harness *harness, const char *reservation, const char *input);

#endif
