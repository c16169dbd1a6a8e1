/* Every filter of this build, ended by NULL: for what works on all of them. */
#ifndef HOLDFAST_PROCESSORS_H
#define HOLDFAST_PROCESSORS_H

#include "processor.h"

extern const struct processor *const all_processors[];

#endif
