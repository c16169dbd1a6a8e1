/* Who needs which right: the filters by their declarations, and whoever else works with the topics. */
#ifndef HOLDFAST_GRANTS_H
#define HOLDFAST_GRANTS_H

#include "runtime/core/rights.h"

#define PRINCIPAL_MAX 256

struct grant {
  char principal[PRINCIPAL_MAX]; /* "User:payment" */
  struct right right;
  bool there; /* the cluster gives it */
};

struct grants {
  struct grant *list; /* by principal, in the order of the pipeline's processes; owned */
  size_t count, capacity;
};

/* All processes, or those of these names. pattern: a principal with {} for the process's name; NULL:
 * "User:", the prefix and the name. False: `wrong` is a name that no process has. */
bool grants_collect(struct grants *grants, const char *pattern, const char *prefix,
                    char *const *names, int name_count, const char **wrong);
void grants_free(struct grants *grants);

/* The names of processes that are no filters, ended by NULL. */
extern const char *const grants_roles[];

#endif
