/* What a rehearsal found, step by step. */
#ifndef HOLDFAST_REHEARSAL_H
#define HOLDFAST_REHEARSAL_H

#include <jansson.h>
#include <sys/types.h>

#include "runtime/base/options.h"
#include "runtime/kafka/admin.h"

#define REHEARSED_MAX 16

struct child {
  const char *name; /* of the filter; borrowed */
  pid_t pid;        /* 0: it does not run */
};

struct rehearsal {
  const struct options *options; /* with the rehearsal's own prefix */
  struct kafka_admin *admin;
  const char *folder; /* of its own: stores, logs, and the properties of its processes */
  bool json;
  json_t *findings;
  int failed, warned;
  struct child children[REHEARSED_MAX];
  size_t child_count;
};

enum finding { FINDING_OK, FINDING_WARNING, FINDING_FAILED };

/* Tells it, and remembers it for the end. Returns false for FINDING_FAILED. */
bool rehearsal_find(struct rehearsal *rehearsal, enum finding finding, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- rehearse_cluster.c ---- */

/* Settings that a promise depends on, each with the reason where it is not as it should be. */
void rehearse_settings(struct rehearsal *rehearsal);

/* The broker's clock beside this machine's. */
void rehearse_clock(struct rehearsal *rehearsal);

/* ---- rehearse_processes.c ---- */

/* Writes options and librdkafka's properties to a file of the folder that only its owner reads: so
 * no secret is in a command line. */
bool rehearse_write_properties(struct rehearsal *rehearsal);

/* `holdfast WORD...` to its end; its output in out, cut to the size. The code, or -1. */
int rehearse_run(struct rehearsal *rehearsal, const char *const *words, char *out, size_t size);

/* Every filter that calls nobody outside. False: one could not be started. */
bool rehearse_start_all(struct rehearsal *rehearsal);
bool rehearse_start(struct rehearsal *rehearsal, struct child *child);
struct child *rehearse_child(struct rehearsal *rehearsal, const char *name);

/* Ends it with the signal and waits. The exit code, or minus the signal. */
int rehearse_end(struct child *child, int signal);

/* Starts again what has ended by itself with a code that says so. */
void rehearse_supervise(struct rehearsal *rehearsal);

#endif
