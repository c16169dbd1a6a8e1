#include "mutants.h"

#include <string.h>

#include "mutant.h"

static const struct mutant mutants[] = {
    {"none", "nothing is broken"},
};

static const struct mutant *selected;

int mutant_count(void) {
  return sizeof mutants / sizeof *mutants;
}

const struct mutant *mutant_at(int index) {
  return &mutants[index];
}

bool mutant_select(const char *name) {
  for (int i = 0; i < mutant_count(); i++) {
    if (strcmp(mutants[i].name, name) == 0) selected = &mutants[i];
  }
  return selected && strcmp(selected->name, name) == 0;
}

const char *mutant_name(void) {
  return selected ? selected->name : NULL;
}

bool mutant_runs(const char *name) {
  return selected && strcmp(selected->name, name) == 0;
}
