/* Every filter of this build, ended by NULL: for what works on all of them. */
#ifndef HOLDFAST_CONTRACT_PROCESSORS_H
#define HOLDFAST_CONTRACT_PROCESSORS_H

#include "runtime/contract/processor.h"

extern const struct processor *const all_processors[];

#endif
