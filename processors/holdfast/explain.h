/* Shared by the files of `holdfast explain`, in the order in which a story goes through them. */
#ifndef HOLDFAST_EXPLAIN_H
#define HOLDFAST_EXPLAIN_H

#include <jansson.h>

#include "runtime/base/options.h"
#include "runtime/kafka/admin.h"
#include "runtime/record/codec.h"
#include "runtime/record/message.h"

#define STEPS_MAX 2000

struct happening {
  const char *topic;
  int32_t partition;
  struct message record; /* in the arena */
  struct record value;
  bool readable;
  int64_t at;               /* when it was produced, as far as anybody knows */
  int64_t took;             /* since its cause was produced; -1: not known */
  int depth;                /* causes before it */
  struct str before, after; /* of the ledger, where it is an input of payment */
  json_t *stock;            /* as stock-check saw it; NULL */
};

struct story {
  const struct options *options;
  struct kafka_admin *admin;
  struct codec *codec;
  struct arena arena;
  struct str id, item, customer;
  struct happening steps[STEPS_MAX];
  size_t count;
  struct failure failure;
};

/* ---- explain_gather.c ---- */

/* Every record about the reservation, in the order of time, each after its cause. */
bool explain_gather(struct story *story);
struct str explain_text(const struct codec *codec, struct record record, struct str name);

/* ---- explain_decide.c: the rows that the filters saw ---- */
void explain_ledger(struct story *story);
bool explain_stock(struct story *story);

/* ---- explain_tell.c ---- */
void explain_tell(struct story *story);

#endif
