/* The list of deliberately broken versions (mutant.h). */
#ifndef HOLDFAST_MUTANTS_H
#define HOLDFAST_MUTANTS_H

#include <stdbool.h>

struct mutant {
  const char *name, *what;
};

int mutant_count(void);
const struct mutant *mutant_at(int index);
bool mutant_select(const char *name); /* false: there is none of that name */
const char *mutant_name(void);        /* NULL: none was selected */

#endif
