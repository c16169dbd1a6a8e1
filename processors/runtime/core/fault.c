/* A fault of a record that shows after it was decided: noted here, answered by decide.c when the
 * record is read again. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "runtime/core/internal.h"

/* The record's outputs so far are in the open transaction, with those of others: it is aborted, the
 * same records are read again, and this one is answered instead of decided. */
enum log_status fault_found(struct runtime *runtime, int32_t partition, int64_t offset,
                            const char *what, const char *why) {
  struct fault *fault = &runtime->fault;
  *fault = (struct fault){.found = true, .partition = partition, .offset = offset};
  snprintf(fault->reason, sizeof fault->reason, "%s: %s", what, why);
  failure_set(&runtime->log->failure, EX_DATAERR, "%s-%" PRId32 "@%" PRId64 ": %s",
              runtime->processor->input, partition, offset, fault->reason);
  return LOG_ABORT;
}

bool fault_is_of(const struct runtime *runtime, const struct log_record *record) {
  const struct fault *fault = &runtime->fault;
  return fault->found && fault->partition == record->partition && fault->offset == record->offset;
}
