/* A slot's place in its group, given up for good.
 *
 * A static member keeps its partitions until its session times out (KIP-345), which is right for a
 * restart and wrong for an instance that will not come back. */
#ifndef HOLDFAST_KAFKA_RELEASE_H
#define HOLDFAST_KAFKA_RELEASE_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"
#include "runtime/contract/processor.h"

enum kafka_release { KAFKA_RELEASED, KAFKA_RELEASED_BEFORE, KAFKA_RELEASE_FAILED };

/* Ends the slot's open transaction and takes it out of its group: a process that still has the slot
 * is fenced. Ten seconds at most for each step. The failure is EX_UNAVAILABLE or EX_CONFIG. */
enum kafka_release kafka_release_slot(const struct options *options,
                                      const struct processor *processor, int slot,
                                      struct failure *failure);

#endif
