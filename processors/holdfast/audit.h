/* Shared by the files of `holdfast audit`: audit.c goes round, audit_read.c reads the topics,
 * audit_tell.c says what was found. */
#ifndef HOLDFAST_AUDIT_H
#define HOLDFAST_AUDIT_H

#include <jansson.h>
#include <signal.h>

#include "audit_provider.h"
#include "auditor/auditor.h"
#include "runtime/kafka/admin.h"
#include "runtime/kafka/io.h"

#define KNOWN_MAX 4096

struct audit {
  const struct options *options;
  struct kafka_admin *admin;
  struct kafka_reader *reader;
  struct auditor *auditor;
  struct store *store;
  struct provider_books books;
  char directory[300];
  int32_t partitions[AUDIT_TOPIC_COUNT];
  int64_t wanted[AUDIT_TOPIC_COUNT][AUDIT_PARTITIONS_MAX]; /* to be read up to here */
  json_t *violations;
  bool json, follow, progress;
  int64_t printed, found, told_at, records;
  uint64_t known[KNOWN_MAX]; /* told by --follow */
  size_t known_count;
  struct failure failure;
};

extern volatile sig_atomic_t audit_stopping; /* by a signal */

/* ---- audit_read.c ---- */
bool audit_find_topics(struct audit *audit);

/* Reads each consumer's progress before anything else, so that all its effects are there. */
bool audit_ask_consumers(struct audit *audit);
bool audit_read_all(struct audit *audit, bool mark_only);

/* ---- audit_tell.c ---- */
void audit_tell_violation(void *audit, const struct audit_violation *violation);
void audit_tell_progress(struct audit *audit, const char *what, int64_t done, int64_t all);
void audit_tell_summary(struct audit *audit, const struct audit_summary *summary, int64_t stores);

#endif
