/* Shared by the files of `holdfast reset`: reset.c plans and does it, reset_rows.c sets rows
 * back. */
#ifndef HOLDFAST_RESET_H
#define HOLDFAST_RESET_H

#include "runtime/contract/processor.h"
#include "runtime/core/recovery.h"
#include "runtime/kafka/admin.h"
#include "runtime/kafka/rewrite.h"
#include "runtime/store/store.h"

#define RESET_PARTITIONS_MAX 256

struct reset {
  const struct options *options;
  const struct processor *processor;
  struct kafka_admin *admin;
  int32_t partitions;
  bool accept_loss;
  int64_t to[RESET_PARTITIONS_MAX], epoch, first[RESET_PARTITIONS_MAX], end[RESET_PARTITIONS_MAX];
  struct log_offset committed[RESET_PARTITIONS_MAX];
  /* Of committed; zero where that is not ours */
  struct commit_metadata metadata[RESET_PARTITIONS_MAX];
  struct bounds {
    int64_t first, end;
  } changelog[RESET_PARTITIONS_MAX];  /* zero where there is none */
  int64_t last[RESET_PARTITIONS_MAX]; /* of the changelog: C of the new offsets */
  int64_t tombstones[RESET_PARTITIONS_MAX], written[RESET_PARTITIONS_MAX];
  int64_t remembered[RESET_PARTITIONS_MAX]; /* the first record that is within the window */
  struct kafka_rewrite *rewrite;            /* NULL: only planned */
  struct store *state, *recorded;
  char directory[300];
  int32_t partition; /* in work */
  bool fine;
  struct failure failure;
};

/* The rows as they were at that place, and as the changelog has them, in stores of their own. */
bool reset_make_state(struct reset *reset);

/* The changelog records that turn the latter into the former: counted, and written if a rewrite has
 * begun. */
bool reset_rewrite_rows(struct reset *reset);

#endif
