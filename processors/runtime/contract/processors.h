/* Every filter of this build, ended by NULL: for what works on all of them. */
#ifndef HOLDFAST_CONTRACT_PROCESSORS_H
#define HOLDFAST_CONTRACT_PROCESSORS_H

#include "runtime/contract/processor.h"

extern const struct processor *const all_processors[];

/* The one of that name, or NULL. */
static inline const struct processor *processor_named(const char *name) {
  for (const struct processor *const *p = all_processors; *p; p++) {
    if (strcmp((*p)->name, name) == 0) return *p;
  }
  return NULL;
}

#endif
