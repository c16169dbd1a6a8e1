/* The ACLs of a cluster, for `holdfast acls`. */
#ifndef HOLDFAST_KAFKA_ACLS_H
#define HOLDFAST_KAFKA_ACLS_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"
#include "runtime/core/rights.h"

struct kafka_acl {
  const char *principal; /* "User:payment" */
  const char *host;      /* "*": any */
  /* Its name with the pipeline's prefix. A resource that this librdkafka does not know is
   * RIGHT_OTHER_RESOURCE: to 2.0.2 transactional ids are */
  struct right right;
  bool denies;
};

struct kafka_acls;

/* NULL with the failure set: also where no broker answers. */
struct kafka_acls *kafka_acls_open(const struct options *options, struct failure *failure);
void kafka_acls_close(struct kafka_acls *acls); /* NULL is fine */

/* Gives every ACL of the cluster to take. No ACL at all can also mean that this principal may not
 * look: librdkafka drops the broker's word (to 2.15). */
bool kafka_acls_list(struct kafka_acls *acls, void (*take)(void *user, const struct kafka_acl *acl),
                     void *user, struct failure *failure);

/* Creates those with made[i] false, and sets it where they are there then: those on resources that
 * this librdkafka does not know stay false. False: the failure is set. */
bool kafka_acls_create(struct kafka_acls *acls, const struct kafka_acl *wanted, size_t count,
                       bool *made, struct failure *failure);

/* Of the library in use, for people: "2.0.2". */
const char *kafka_library_version(void);

#endif
