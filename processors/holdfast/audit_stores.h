/* Compares stores on this machine with the fold of their changelogs. */
#ifndef HOLDFAST_AUDIT_STORES_H
#define HOLDFAST_AUDIT_STORES_H

#include "auditor/auditor.h"
#include "runtime/base/failure.h"
#include "runtime/base/options.h"

/* Every store under directory (<filter>-<slot>), also while its filter runs: as it stands at this
 * moment. *compared: stores that are equal. False: the failure is set. */
bool audit_stores(const struct options *options, const char *directory, const char *spill,
                  void (*report)(void *user, const struct audit_violation *violation), void *user,
                  int64_t *compared, struct failure *failure);

#endif
