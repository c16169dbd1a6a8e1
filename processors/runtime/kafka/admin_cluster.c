/* Requests about a cluster as a whole: settings of its brokers, and the removal of all that is under a prefix. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "runtime/kafka/admin.h"
#include "runtime/kafka/internal.h"

#define TIMEOUT_MS 15000
#define NAMES_MAX 256 /* of one request */

/* ---- settings ---- */

static int32_t first_broker(struct kafka_admin *admin) {
  const struct rd_kafka_metadata *metadata;
  if (rd_kafka_metadata(admin->handle, 0, NULL, &metadata, TIMEOUT_MS)) return -1;
  int32_t id = metadata->broker_cnt ? metadata->brokers[0].id : -1;
  rd_kafka_metadata_destroy(metadata);
  return id;
}

static bool find_entry(rd_kafka_event_t *event, const char *name, char *out, size_t size) {
  size_t count, entry_count;
  const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
      rd_kafka_event_DescribeConfigs_result(event), &count);
  if (!count || rd_kafka_ConfigResource_error(resources[0])) return false;
  const rd_kafka_ConfigEntry_t **entries =
      rd_kafka_ConfigResource_configs(resources[0], &entry_count);
  for (size_t i = 0; i < entry_count; i++) {
    const char *value = rd_kafka_ConfigEntry_value(entries[i]);
    if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), name) != 0 || !value) continue;
    snprintf(out, size, "%s", value);
    return true;
  }
  return false;
}

bool kafka_admin_broker_setting(struct kafka_admin *admin, const char *name, char *out, size_t size,
                                struct failure *failure) {
  char id[16];
  snprintf(id, sizeof id, "%d", (int)first_broker(admin));
  rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_BROKER, id);
  rd_kafka_DescribeConfigs(admin->handle, &resource, 1, NULL, admin->queue);
  rd_kafka_event_t *event = kafka_admin_await(admin, failure, "asking for a broker's settings");
  bool found = event && find_entry(event, name, out, size);
  if (event && !found)
    failure_set(failure, EX_UNAVAILABLE, "broker %s does not tell '%s'", id, name);
  if (event) rd_kafka_event_destroy(event);
  rd_kafka_ConfigResource_destroy(resource);
  return found;
}

/* ---- removal ---- */

struct names {
  char *list[NAMES_MAX];
  size_t count;
};

static void take_name(struct names *names, const char *name, const char *prefix) {
  if (strncmp(name, prefix, strlen(prefix)) == 0 && names->count < NAMES_MAX)
    names->list[names->count++] = xstrdup(name);
}

static void names_free(struct names *names) {
  for (size_t i = 0; i < names->count; i++) free(names->list[i]);
}

static bool topics_under(struct kafka_admin *admin, const char *prefix, struct names *out,
                         struct failure *failure) {
  const struct rd_kafka_metadata *metadata;
  rd_kafka_resp_err_t error = rd_kafka_metadata(admin->handle, 1, NULL, &metadata, TIMEOUT_MS);
  if (error)
    return failure_set(failure, EX_UNAVAILABLE, "asking for topics: %s", rd_kafka_err2str(error));
  for (int i = 0; i < metadata->topic_cnt; i++) take_name(out, metadata->topics[i].topic, prefix);
  rd_kafka_metadata_destroy(metadata);
  return true;
}

static bool groups_under(struct kafka_admin *admin, const char *prefix, struct names *out,
                         struct failure *failure) {
  const struct rd_kafka_group_list *groups;
  rd_kafka_resp_err_t error = rd_kafka_list_groups(admin->handle, NULL, &groups, TIMEOUT_MS);
  if (error)
    return failure_set(failure, EX_UNAVAILABLE, "asking for groups: %s", rd_kafka_err2str(error));
  for (int i = 0; i < groups->group_cnt; i++) take_name(out, groups->groups[i].group, prefix);
  rd_kafka_group_list_destroy(groups);
  return true;
}

static bool delete_topics(struct kafka_admin *admin, const struct names *names,
                          struct failure *failure) {
  rd_kafka_DeleteTopic_t *topics[NAMES_MAX];
  for (size_t i = 0; i < names->count; i++) topics[i] = rd_kafka_DeleteTopic_new(names->list[i]);
  rd_kafka_DeleteTopics(admin->handle, topics, names->count, NULL, admin->queue);
  rd_kafka_event_t *event = kafka_admin_await(admin, failure, "deleting topics");
  bool deleted = event != NULL;
  size_t count = 0;
  const rd_kafka_topic_result_t **results = NULL;
  if (event)
    results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
  for (size_t i = 0; i < count && deleted; i++) {
    rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[i]);
    if (error && error != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
      deleted = failure_set(failure, EX_UNAVAILABLE, "deleting '%s': %s",
                            rd_kafka_topic_result_name(results[i]), rd_kafka_err2str(error));
  }
  if (event) rd_kafka_event_destroy(event);
  rd_kafka_DeleteTopic_destroy_array(topics, names->count);
  return deleted;
}

static bool delete_groups(struct kafka_admin *admin, const struct names *names,
                          struct failure *failure) {
  rd_kafka_DeleteGroup_t *groups[NAMES_MAX];
  for (size_t i = 0; i < names->count; i++) groups[i] = rd_kafka_DeleteGroup_new(names->list[i]);
  rd_kafka_DeleteGroups(admin->handle, groups, names->count, NULL, admin->queue);
  rd_kafka_event_t *event = kafka_admin_await(admin, failure, "deleting groups");
  bool deleted = event != NULL;
  size_t count = 0;
  const rd_kafka_group_result_t **results = NULL;
  if (event)
    results =
        rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &count);
  for (size_t i = 0; i < count && deleted; i++) {
    const rd_kafka_error_t *error = rd_kafka_group_result_error(results[i]);
    if (error && rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND)
      deleted = failure_set(failure, EX_TEMPFAIL, "deleting the group '%s': %s",
                            rd_kafka_group_result_name(results[i]), rd_kafka_error_string(error));
  }
  if (event) rd_kafka_event_destroy(event);
  rd_kafka_DeleteGroup_destroy_array(groups, names->count);
  return deleted;
}

bool kafka_admin_delete_all(struct kafka_admin *admin, struct failure *failure) {
  const char *prefix = options_text(admin->options, "prefix");
  struct names topics = {0}, groups = {0};
  if (!prefix[0]) return failure_set(failure, EX_USAGE, "without --prefix nothing is deleted");
  bool deleted = groups_under(admin, prefix, &groups, failure) &&
                 (!groups.count || delete_groups(admin, &groups, failure)) &&
                 topics_under(admin, prefix, &topics, failure) &&
                 (!topics.count || delete_topics(admin, &topics, failure));
  names_free(&topics);
  names_free(&groups);
  return deleted;
}
