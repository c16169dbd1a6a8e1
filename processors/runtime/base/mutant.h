/* Deliberately broken versions, by name: the simulator must find each. They exist in the
 * simulator's build only; everywhere else MUTANT is false and the compiler drops it.
 *
 * tests/sim/mutants.c lists them with what each breaks. */
#ifndef HOLDFAST_BASE_MUTANT_H
#define HOLDFAST_BASE_MUTANT_H

#include <stdbool.h>

#ifdef HOLDFAST_MUTANTS
bool mutant_runs(const char *name);
#define MUTANT(name) mutant_runs(name)
#else
#define MUTANT(name) false
#endif

#endif
