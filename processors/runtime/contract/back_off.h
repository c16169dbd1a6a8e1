#ifndef HOLDFAST_CONTRACT_BACK_OFF_H
#define HOLDFAST_CONTRACT_BACK_OFF_H

#include <stdint.h>

/* The wait after so many tries: doubles with each, from the first to the longest. Any unit. */
static inline int64_t back_off(int64_t first, int64_t longest, int32_t tries) {
  int64_t wait = first;
  for (int32_t i = 1; i < tries && wait < longest; i++) wait *= 2;
  return wait < longest ? wait : longest;
}

#endif
