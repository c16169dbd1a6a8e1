/* A record that cannot be processed, whatever is wrong with it: it cannot be fetched or read, or
 * its decision would produce something too large. On a topic that others write it becomes a dead
 * letter; on all others it stops the filter, with the place and the way out. */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sysexits.h>

#include "runtime/base/report.h"
#include "runtime/base/mutant.h"
#include "runtime/core/internal.h"

/* A dead letter must always fit: the longest id is 64 bytes, the longest record that is read 64
 * KiB. */
#define KEY_KEPT ((size_t)1024)
#define VALUE_KEPT RECORD_SIZE_MAX

/* ---- dead letters ---- */

/* "3000000 bytes, sha256 ..." of what is not kept whole. SHA-256, so that nobody can make another
 * record that passes for the one that was sent, and any shell can compare. */
static struct str describe(struct arena *arena, struct str whole) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  char text[2 * EVP_MAX_MD_SIZE + 1] = "";
  unsigned int size = 0;
  if (!EVP_Digest(whole.data, whole.size, hash, &size, EVP_sha256(), NULL)) size = 0;
  for (unsigned int i = 0; i < size; i++) snprintf(text + (size_t)2 * i, 3, "%02x", hash[i]);
  return arena_format(arena, "%zu bytes, sha256 %s", whole.size, text);
}

/* What is kept of the text. *whole: what it was, where that is not all of it. */
static struct str cut(struct arena *arena, struct str text, size_t kept, struct str *whole) {
  if (text.size <= kept || MUTANT("dead-letter-whole")) return text;
  *whole = describe(arena, text);
  return (struct str){text.data, kept};
}

void dead_letter(struct context *context, const char *reason) {
  struct runtime *runtime = context->runtime;
  const struct log_record *record = context->record;
  atomic_fetch_add_explicit(&runtime->metrics.dead_letters, 1, memory_order_relaxed);
  report_warning("%s-%" PRId32 "@%" PRId64 " goes to dead-letters: %s", runtime->processor->input,
                 record->partition, record->offset, reason);
  struct log_output out = {
      .topic = runtime->dead_letters_topic, .partition = -1, .error = str_of(reason)};
  out.key = cut(&runtime->arena, record->key, KEY_KEPT, &out.whole_key);
  out.value = cut(&runtime->arena, record->value, VALUE_KEPT, &out.whole_value);
  context_produce(context, &out);
}

enum log_status fault_answer(struct context *context, const char *reason) {
  struct runtime *runtime = context->runtime;
  const struct log_record *record = context->record;
  if (MUTANT("dead-letter-swallowed") && runtime->processor->open_input) return LOG_OK;
  if (runtime->processor->open_input) {
    context->event = &(struct event){.time = record->timestamp, .traceparent = record->traceparent};
    dead_letter(context, reason);
    return context->status;
  }
  runtime->unreadable = true;
  runtime_fail(runtime, EX_CONFIG,
               "%s-%" PRId32 "@%" PRId64
               " cannot be processed: %s. Nothing is lost: the record stays, and this filter waits "
               "for a version that can process it, or for 'holdfast skip %s %" PRId32 " %" PRId64
               "'",
               runtime->processor->input, record->partition, record->offset, reason,
               runtime->processor->input, record->partition, record->offset);
  return LOG_FATAL;
}

/* ---- faults that show after something was produced ---- */

/* What the record has caused so far is in the open transaction, with what others have: it is
 * aborted, the same records are read again, and this one is answered before it is decided. */
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
