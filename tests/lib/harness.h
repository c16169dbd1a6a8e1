/* One filter on the log in memory, for tests of its decisions: give it a record, see what came out
 * and what it remembers. */
#ifndef HOLDFAST_TEST_HARNESS_H
#define HOLDFAST_TEST_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "runtime/record/line.h"
#include "runtime/memory/pipe.h"
#include "runtime/contract/processors.h"
#include "gen/records.h"
#include "runtime/core/runtime.h"

struct harness {
  struct memory_cluster *cluster;
  const struct processor *processor;
  struct runtime *runtime;
  struct log *log; /* of the runtime */
  struct codec *codec;
  struct tail *tail;
  struct arena arena;
  struct str cause; /* the causation of what is sent from now on */
  char out[8192];   /* the output of the last record, see harness_send */
};

const struct processor *find_processor(const char *name);

void harness_open(struct harness *harness, const char *processor);
/* Borrowed */
void harness_open_processor(struct harness *harness, const struct processor *processor);
void harness_open_on(struct harness *harness, const char *processor, int32_t partitions);
void harness_close(struct harness *harness);

/* Gives the filter a record at a time (milliseconds) and returns a line of what it emitted:
 * "Type(a,b) Type(...)", with the values of status, reason, refusal, kind, hold, approved, to,
 * counted and delivered where the record has them; "-" for nothing. Dead letters are
 * "dead-letter(reason)". */
const char *harness_send(struct harness *harness, int64_t time, const char *key, int type,
                         const void *value);

/* The same from JSON, keyed as a command is. */
const char *harness_json(struct harness *harness, int64_t time, const char *json);

/* The same into a partition; the others go to partition 0, the only one if nobody asked for
 * more. */
const char *harness_send_to(struct harness *harness, int32_t partition, int64_t time,
                            const char *key, int type, const void *value);

/* Raw bytes as the value. */
const char *harness_bytes(struct harness *harness, const char *key, struct str bytes);

/* Lets time pass and returns what came out. */
const char *harness_wait(struct harness *harness, int64_t time);

/* The row of that key (prefix and parts, NULs as '/') as JSON, or NULL. Owned by the caller. */
json_t *harness_row(struct harness *harness, const char *key);

#endif
