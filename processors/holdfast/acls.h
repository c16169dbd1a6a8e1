/* What `holdfast acls` found, and how it tells it. */
#ifndef HOLDFAST_ACLS_H
#define HOLDFAST_ACLS_H

#include <stdio.h>

#include "grants.h"
#include "runtime/base/options.h"

enum acls_format { ACLS_TEXT, ACLS_JSON, ACLS_TOOL };

/* An ACL that nothing here asks for. */
struct unasked {
  char principal[PRINCIPAL_MAX];
  struct right right;
  bool ours;   /* the principal is one of the pipeline's; else only the resource is */
  bool denies; /* takes a right away */
};

struct acls {
  const char *prefix; /* of the pipeline: other resources are not its matter */
  struct grants grants;
  struct unasked *unasked; /* owned */
  size_t unasked_count, unasked_capacity;
  size_t seen; /* ACLs that the cluster showed */
};

/* All rights, whether there or not. */
void acls_tell_all(const struct acls *acls, enum acls_format format, const struct options *options);

/* What differs: missing rights, and ACLs that nothing asks for. */
void acls_tell_difference(const struct acls *acls, enum acls_format format,
                          const struct options *options);

/* The rights that are not there, as commands for Kafka's own tool. */
void acls_tell_commands(const struct acls *acls, bool missing_only, const struct options *options);

size_t acls_missing(const struct acls *acls);

#endif
