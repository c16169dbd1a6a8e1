/* A small pipeline on the log in memory, that has sold two books, and the audit of its log,
 * tampered with. */
#ifndef HOLDFAST_TEST_SHOP_H
#define HOLDFAST_TEST_SHOP_H

#include "auditor/auditor.h"
#include "harness.h"

#define FILTERS_MAX 16

struct shop {
  struct memory_cluster *cluster;
  struct codec *codec;
  struct arena arena;
  struct runtime *runtimes[FILTERS_MAX];
  int count;
  int32_t partitions;
};

void shop_settle(struct shop *shop);

/* put: it is not read yet. The others settle after it. */
void shop_put_command(struct shop *shop, int32_t partition, int64_t time, int type,
                      const void *value);
void shop_command_to(struct shop *shop, int32_t partition, int64_t time, int type,
                     const void *value);
void shop_command(struct shop *shop, int type, const void *value);

/* replace: gives another filter in the place of one; NULL: none does. */
void shop_open_filters(struct shop *shop, int32_t partitions,
                       const struct processor *(*replace)(const struct processor *));
void shop_sell(struct shop *shop);
void shop_open(struct shop *shop); /* filters of one partition, and sells */
void shop_close(struct shop *shop);

/* ---- the audit of what is left ---- */

struct tampering {
  const char *name;
  enum audit_topic topic;
  const char *type;        /* of the record */
  const char *reservation; /* its correlation; NULL: any */
  int nth;                 /* of those that fit, from 0 */
  bool twice;              /* else it is missing */
  int rule;                /* the broken one; -1: none */
};
extern const struct tampering untouched;

/* The findings of the last audit. */
extern bool shop_broken[AUDIT_RULE_COUNT];
extern int shop_violations;
void shop_report(void *user, const struct audit_violation *violation);

/* unread: the consumer of that topic has not begun. */
void shop_audit_read(struct shop *shop, const struct tampering *tampering, int unread,
                     struct audit_summary *summary);
void shop_audit(struct shop *shop, const struct tampering *tampering);

#endif
