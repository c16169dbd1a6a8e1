#include "runtime/kafka/acls.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "runtime/kafka/access.h"
#include "runtime/kafka/client.h"

#define TIMEOUT_MS 15000

struct kafka_acls {
  rd_kafka_t *handle;
  rd_kafka_queue_t *queue;
};

const char *kafka_library_version(void) {
  return rd_kafka_version_str();
}

struct kafka_acls *kafka_acls_open(const struct options *options, struct failure *failure) {
  rd_kafka_conf_t *conf = kafka_conf(options, "holdfast", NULL, failure);
  rd_kafka_t *handle = conf ? kafka_open(RD_KAFKA_PRODUCER, conf, failure) : NULL;
  if (!handle) return NULL;
  if (!kafka_is_there(handle, options, failure)) {
    rd_kafka_destroy(handle);
    return NULL;
  }
  struct kafka_acls *acls = xcalloc(1, sizeof *acls);
  *acls = (struct kafka_acls){.handle = handle, .queue = rd_kafka_queue_new(handle)};
  return acls;
}

void kafka_acls_close(struct kafka_acls *acls) {
  if (!acls) return;
  rd_kafka_queue_destroy(acls->queue);
  rd_kafka_destroy(acls->handle);
  free(acls);
}

static rd_kafka_event_t *await(struct kafka_acls *acls, const char *what, struct failure *failure) {
  rd_kafka_event_t *event = rd_kafka_queue_poll(acls->queue, TIMEOUT_MS);
  if (event && !rd_kafka_event_error(event)) return event;
  failure_set(failure, EX_UNAVAILABLE, "%s: %s", what,
              event ? rd_kafka_event_error_string(event) : "no answer");
  if (event) rd_kafka_event_destroy(event);
  return NULL;
}

/* ---- what is there ---- */

static void convert(const rd_kafka_AclBinding_t *binding, struct kafka_acl *out) {
  rd_kafka_ResourcePatternType_t pattern = rd_kafka_AclBinding_resource_pattern_type(binding);
  *out = (struct kafka_acl){
      .principal = rd_kafka_AclBinding_principal(binding),
      .host = rd_kafka_AclBinding_host(binding),
      .denies = rd_kafka_AclBinding_permission_type(binding) == RD_KAFKA_ACL_PERMISSION_TYPE_DENY,
      .right = {.resource = (enum right_resource)rd_kafka_AclBinding_restype(binding),
                .operation = (enum right_operation)rd_kafka_AclBinding_operation(binding),
                .prefixed = pattern == RD_KAFKA_RESOURCE_PATTERN_PREFIXED}};
  snprintf(out->right.name, sizeof out->right.name, "%s", rd_kafka_AclBinding_name(binding));
}

bool kafka_acls_list(struct kafka_acls *acls, void (*take)(void *user, const struct kafka_acl *acl),
                     void *user, struct failure *failure) {
  char error[256];
  rd_kafka_AclBindingFilter_t *all = rd_kafka_AclBindingFilter_new(
      RD_KAFKA_RESOURCE_ANY, NULL, RD_KAFKA_RESOURCE_PATTERN_ANY, NULL, NULL,
      RD_KAFKA_ACL_OPERATION_ANY, RD_KAFKA_ACL_PERMISSION_TYPE_ANY, error, sizeof error);
  if (!all) return failure_set(failure, EX_SOFTWARE, "asking for ACLs: %s", error);
  rd_kafka_DescribeAcls(acls->handle, all, NULL, acls->queue);
  rd_kafka_AclBinding_destroy(all);
  rd_kafka_event_t *event = await(acls, "asking for ACLs", failure);
  if (!event) return false;
  size_t count;
  const rd_kafka_AclBinding_t **found =
      rd_kafka_DescribeAcls_result_acls(rd_kafka_event_DescribeAcls_result(event), &count);
  for (size_t i = 0; i < count; i++) {
    struct kafka_acl acl;
    convert(found[i], &acl);
    take(user, &acl);
  }
  rd_kafka_event_destroy(event);
  return true;
}

/* ---- what is made ---- */

/* NULL: this librdkafka does not know the resource, though the number is the protocol's. */
static rd_kafka_AclBinding_t *binding_of(const struct kafka_acl *acl) {
  return rd_kafka_AclBinding_new(
      (rd_kafka_ResourceType_t)acl->right.resource, acl->right.name,
      acl->right.prefixed ? RD_KAFKA_RESOURCE_PATTERN_PREFIXED : RD_KAFKA_RESOURCE_PATTERN_LITERAL,
      acl->principal, acl->host, (rd_kafka_AclOperation_t)acl->right.operation,
      acl->denies ? RD_KAFKA_ACL_PERMISSION_TYPE_DENY : RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, NULL,
      0);
}

static bool refuse(const rd_kafka_error_t *error, struct failure *failure) {
  if (rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
    return access_denied(failure, "Alter", "cluster", "kafka-cluster");
  return failure_set(failure, EX_CONFIG, "an ACL cannot be made: %s", rd_kafka_error_string(error));
}

static bool send_bindings(struct kafka_acls *acls, rd_kafka_AclBinding_t **bindings, size_t count,
                          struct failure *failure) {
  rd_kafka_CreateAcls(acls->handle, bindings, count, NULL, acls->queue);
  rd_kafka_event_t *event = await(acls, "making ACLs", failure);
  if (!event) return false;
  bool fine = true;
  const rd_kafka_acl_result_t **results =
      rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(event), &count);
  for (size_t i = 0; i < count && fine; i++) {
    const rd_kafka_error_t *error = rd_kafka_acl_result_error(results[i]);
    if (error) fine = refuse(error, failure);
  }
  rd_kafka_event_destroy(event);
  return fine;
}

bool kafka_acls_create(struct kafka_acls *acls, const struct kafka_acl *wanted, size_t count,
                       bool *made, struct failure *failure) {
  rd_kafka_AclBinding_t **bindings = xcalloc(count + 1, sizeof *bindings);
  size_t known = 0;
  for (size_t i = 0; i < count; i++) {
    rd_kafka_AclBinding_t *binding = made[i] ? NULL : binding_of(&wanted[i]);
    if (!binding) continue;
    bindings[known++] = binding;
    made[i] = true;
  }
  bool fine = known == 0 || send_bindings(acls, bindings, known, failure);
  rd_kafka_AclBinding_destroy_array(bindings, known);
  free(bindings);
  return fine;
}
