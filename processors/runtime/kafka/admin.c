#include "runtime/kafka/admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/kafka/access.h"
#include "runtime/kafka/internal.h"
#include "runtime/kafka/members.h"
#include "runtime/base/report.h"

#define TIMEOUT_MS 15000
/* Longer than a broker takes to start and a static member, by default, to be missed. */
#define GROUP_PATIENCE_S 30
#define GROUP_TRY_EVERY_US 250000
#define SETTINGS_MAX 64

struct kafka_admin *kafka_admin_open(const struct options *options, struct failure *failure) {
  /* Bounds are those of the log, with what no transaction has ended yet. */
  const struct kafka_setting forced[] = {{"isolation.level", "read_uncommitted"}, {NULL, NULL}};
  rd_kafka_conf_t *conf = kafka_conf(options, "holdfast", forced, failure);
  rd_kafka_t *handle = conf ? kafka_open(RD_KAFKA_CONSUMER, conf, failure) : NULL;
  if (!handle) return NULL;
  if (!kafka_is_there(handle, options, failure)) {
    rd_kafka_destroy(handle);
    return NULL;
  }
  struct kafka_admin *admin = xcalloc(1, sizeof *admin);
  *admin = (struct kafka_admin){
      .handle = handle, .queue = rd_kafka_queue_new(handle), .options = options};
  return admin;
}

void kafka_admin_close(struct kafka_admin *admin) {
  if (!admin) return;
  rd_kafka_queue_destroy(admin->queue);
  rd_kafka_destroy(admin->handle);
  free(admin);
}

int32_t kafka_admin_partitions(struct kafka_admin *admin, const char *topic,
                               struct failure *failure) {
  char name[TOPIC_NAME_MAX];
  const struct rd_kafka_metadata *metadata;
  /* All topics are asked for: asking for one that does not exist leaves it in librdkafka's cache as
   * unknown. */
  rd_kafka_resp_err_t error = rd_kafka_metadata(admin->handle, 1, NULL, &metadata, TIMEOUT_MS);
  if (error) {
    failure_set(failure, EX_UNAVAILABLE, "asking for topics: %s", rd_kafka_err2str(error));
    return -1;
  }
  int32_t count = 0;
  kafka_topic_name(admin->options, topic, name);
  for (int i = 0; i < metadata->topic_cnt; i++) {
    if (strcmp(metadata->topics[i].topic, name) == 0) count = metadata->topics[i].partition_cnt;
  }
  rd_kafka_metadata_destroy(metadata);
  return count;
}

bool kafka_admin_setting(struct kafka_admin *admin, const char *topic, const char *name, char *out,
                         size_t size, struct failure *failure) {
  char full[TOPIC_NAME_MAX];
  rd_kafka_resp_err_t error = kafka_topic_config(
      admin->handle, kafka_topic_name(admin->options, topic, full), name, out, size);
  if (!error) return true;
  if (error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
    return access_denied(failure, "DescribeConfigs", "topic", full);
  return failure_set(failure, EX_UNAVAILABLE, "the broker does not tell '%s' of the topic '%s'",
                     name, full);
}

rd_kafka_event_t *kafka_admin_await(struct kafka_admin *admin, struct failure *failure,
                                    const char *what) {
  rd_kafka_event_t *event = rd_kafka_queue_poll(admin->queue, TIMEOUT_MS);
  if (event && !rd_kafka_event_error(event)) return event;
  failure_set(failure, EX_UNAVAILABLE, "%s: %s", what,
              event ? rd_kafka_event_error_string(event) : "no answer");
  if (event) rd_kafka_event_destroy(event);
  return NULL;
}

bool kafka_admin_create(struct kafka_admin *admin, const char *topic, int32_t partitions,
                        const struct kafka_setting *settings, struct failure *failure) {
  char name[TOPIC_NAME_MAX], error[256];
  rd_kafka_NewTopic_t *new_topic = rd_kafka_NewTopic_new(
      kafka_topic_name(admin->options, topic, name), partitions, -1, error, sizeof error);
  if (!new_topic) {
    failure_set(failure, EX_CONFIG, "topic '%s': %s", name, error);
    return false;
  }
  for (; settings->name; settings++)
    rd_kafka_NewTopic_set_config(new_topic, settings->name, settings->value);
  rd_kafka_CreateTopics(admin->handle, &new_topic, 1, NULL, admin->queue);
  rd_kafka_event_t *event = kafka_admin_await(admin, failure, "creating a topic");
  bool made = false;
  if (event) {
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[0]);
    made = code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
    if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
      access_denied(failure, "Create", "topic", name);
    else if (!made)
      failure_set(failure, EX_CONFIG, "topic '%s': %s", name,
                  rd_kafka_topic_result_error_string(results[0]));
    rd_kafka_event_destroy(event);
  }
  rd_kafka_NewTopic_destroy(new_topic);
  return made;
}

static bool among(const struct kafka_setting *settings, const char *name) {
  for (; settings->name; settings++) {
    if (strcmp(settings->name, name) == 0) return true;
  }
  return false;
}

/* AlterConfigs sets all that is not named back to its default (KIP-133): the topic's own settings
 * are named too. */
static bool keep_others(struct kafka_admin *admin, rd_kafka_ConfigResource_t *resource,
                        const struct kafka_setting *settings, struct failure *failure) {
  rd_kafka_DescribeConfigs(admin->handle, &resource, 1, NULL, admin->queue);
  rd_kafka_event_t *event = kafka_admin_await(admin, failure, "asking for a topic's settings");
  if (!event) return false;
  size_t count, entry_count;
  const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
      rd_kafka_event_DescribeConfigs_result(event), &count);
  const rd_kafka_ConfigEntry_t **entries =
      rd_kafka_ConfigResource_configs(resources[0], &entry_count);
  for (size_t i = 0; i < entry_count; i++) {
    const char *name = rd_kafka_ConfigEntry_name(entries[i]),
               *value = rd_kafka_ConfigEntry_value(entries[i]);
    bool own =
        rd_kafka_ConfigEntry_source(entries[i]) == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
    if (own && value && !among(settings, name))
      rd_kafka_ConfigResource_set_config(resource, name, value);
  }
  rd_kafka_event_destroy(event);
  return true;
}

bool kafka_admin_alter(struct kafka_admin *admin, const char *topic,
                       const struct kafka_setting *settings, struct failure *failure) {
  char name[TOPIC_NAME_MAX];
  rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(
      RD_KAFKA_RESOURCE_TOPIC, kafka_topic_name(admin->options, topic, name));
  bool altered = false;
  if (keep_others(admin, resource, settings, failure)) {
    for (const struct kafka_setting *one = settings; one->name; one++)
      rd_kafka_ConfigResource_set_config(resource, one->name, one->value);
    rd_kafka_AlterConfigs(admin->handle, &resource, 1, NULL, admin->queue);
    rd_kafka_event_t *event = kafka_admin_await(admin, failure, "changing a topic's settings");
    if (event) {
      size_t count;
      const rd_kafka_ConfigResource_t **results =
          rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &count);
      rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(results[0]);
      altered = code == RD_KAFKA_RESP_ERR_NO_ERROR;
      if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        access_denied(failure, "AlterConfigs", "topic", name);
      else if (!altered)
        failure_set(failure, EX_CONFIG, "topic '%s': %s", name,
                    rd_kafka_ConfigResource_error_string(results[0]));
      rd_kafka_event_destroy(event);
    }
  }
  rd_kafka_ConfigResource_destroy(resource);
  return altered;
}

/* ---- groups ---- */

static rd_kafka_t *open_member(struct kafka_admin *admin, const char *group,
                               struct failure *failure) {
  char name[TOPIC_NAME_MAX];
  const struct kafka_setting forced[] = {
      {"group.id", kafka_topic_name(admin->options, group, name)},
      {"enable.auto.commit", "false"},
      {"isolation.level", "read_committed"},
      {NULL, NULL}};
  rd_kafka_conf_t *conf = kafka_conf(admin->options, "holdfast", forced, failure);
  return conf ? kafka_open(RD_KAFKA_CONSUMER, conf, failure) : NULL;
}

static void close_member(rd_kafka_t *member) {
  rd_kafka_consumer_close(member);
  rd_kafka_destroy(member);
}

static rd_kafka_topic_partition_list_t *partitions_of(struct kafka_admin *admin, const char *topic,
                                                      int32_t count) {
  char name[TOPIC_NAME_MAX];
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
  kafka_topic_name(admin->options, topic, name);
  for (int32_t i = 0; i < count; i++) rd_kafka_topic_partition_list_add(list, name, i);
  return list;
}

/* A group that has members, or balances them, takes offsets from those alone. */
static bool has_members(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
         error == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
         error == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS;
}

/* One question or request to a group, and how long it is made again. */
struct attempt {
  const char *what, *group;
  const char *operation; /* in words of ACLs */
  int64_t until;         /* monotonic seconds; 0: not made yet */
};

/* True where it is to be made again: after a pause, and until the patience has ended. */
static bool passes(struct attempt *attempt, rd_kafka_resp_err_t error) {
  if (!kafka_is_coordinator_settling(error) && !has_members(error)) return false;
  int64_t now = clock_monotonic_s();
  if (!attempt->until) {
    attempt->until = now + GROUP_PATIENCE_S;
    report_warning("%s the group '%s': %s; trying again for %d s", attempt->what, attempt->group,
                   rd_kafka_err2str(error), GROUP_PATIENCE_S);
  }
  if (now >= attempt->until) return false;
  usleep(GROUP_TRY_EVERY_US);
  return true;
}

static bool group_failed(const struct attempt *attempt, rd_kafka_resp_err_t error,
                         struct failure *failure) {
  if (has_members(error))
    return failure_set(failure, EX_TEMPFAIL,
                       "%s the group '%s': it has members still. Stop the filter, wait until it is "
                       "missed (its session time-out), and run this again",
                       attempt->what, attempt->group);
  if (error == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
    return access_denied(failure, attempt->operation, "group", attempt->group);
  return failure_set(failure, EX_UNAVAILABLE,
                     "%s the group '%s': %s. If its broker has just started, run this again",
                     attempt->what, attempt->group, rd_kafka_err2str(error));
}

static void take_offsets(const rd_kafka_topic_partition_list_t *list, struct log_offset *offsets) {
  for (int i = 0; i < list->cnt; i++) {
    const rd_kafka_topic_partition_t *one = &list->elems[i];
    offsets[one->partition].offset = one->offset < 0 ? -1 : one->offset;
    snprintf(offsets[one->partition].metadata, sizeof offsets->metadata, "%.*s",
             (int)one->metadata_size, one->metadata ? (const char *)one->metadata : "");
  }
}

static rd_kafka_resp_err_t first_error(const rd_kafka_topic_partition_list_t *list) {
  for (int i = 0; i < list->cnt; i++) {
    if (list->elems[i].err) return list->elems[i].err;
  }
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

bool kafka_admin_committed(struct kafka_admin *admin, const char *group, const char *topic,
                           struct log_offset *offsets, int32_t count, struct failure *failure) {
  struct attempt attempt = {
      .what = "asking for the offsets of", .group = group, .operation = "Describe"};
  rd_kafka_t *member = open_member(admin, group, failure);
  if (!member) return false;
  rd_kafka_topic_partition_list_t *list = partitions_of(admin, topic, count);
  rd_kafka_resp_err_t error;
  do {
    error = rd_kafka_committed(member, list, TIMEOUT_MS);
    if (!error) error = first_error(list);
  } while (passes(&attempt, error));
  if (error)
    group_failed(&attempt, error, failure);
  else
    take_offsets(list, offsets);
  rd_kafka_topic_partition_list_destroy(list);
  close_member(member);
  return !error;
}

int kafka_admin_members(struct kafka_admin *admin, const char *group, struct failure *failure) {
  struct attempt attempt = {
      .what = "asking for the members of", .group = group, .operation = "Describe"};
  char name[TOPIC_NAME_MAX];
  kafka_topic_name(admin->options, group, name);
  struct kafka_members members;
  rd_kafka_resp_err_t error;
  do {
    error = kafka_ask_members(admin->handle, name, "", TIMEOUT_MS, &members);
  } while (passes(&attempt, error));
  if (!error) return members.count;
  group_failed(&attempt, error, failure);
  return -1;
}

static rd_kafka_topic_partition_list_t *to_commit(struct kafka_admin *admin, const char *topic,
                                                  const struct log_offset *offsets, int32_t count) {
  rd_kafka_topic_partition_list_t *list = partitions_of(admin, topic, count);
  for (int32_t i = 0; i < count; i++) {
    list->elems[i].offset = offsets[i].offset;
    list->elems[i].metadata = xstrdup(offsets[i].metadata); /* librdkafka frees it with the list */
    list->elems[i].metadata_size = strlen(offsets[i].metadata);
  }
  return list;
}

bool kafka_admin_commit(struct kafka_admin *admin, const char *group, const char *topic,
                        const struct log_offset *offsets, int32_t count, struct failure *failure) {
  struct attempt attempt = {.what = "committing for", .group = group, .operation = "Read"};
  rd_kafka_t *member = open_member(admin, group, failure);
  if (!member) return false;
  rd_kafka_resp_err_t error;
  do {
    rd_kafka_topic_partition_list_t *list = to_commit(admin, topic, offsets, count);
    error = rd_kafka_commit(member, list, 0);
    if (!error) error = first_error(list);
    rd_kafka_topic_partition_list_destroy(list);
  } while (passes(&attempt, error));
  if (error) group_failed(&attempt, error, failure);
  close_member(member);
  return !error;
}

/* A topic that was just made, or whose broker was just away, has no leader for a moment. */
static bool is_settling(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
         error == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
         error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

bool kafka_admin_bounds(struct kafka_admin *admin, const char *topic, int32_t partition,
                        int64_t *first, int64_t *end, struct failure *failure) {
  char name[TOPIC_NAME_MAX];
  kafka_topic_name(admin->options, topic, name);
  rd_kafka_resp_err_t error;
  int64_t until = clock_monotonic_s() + TIMEOUT_MS / 1000;
  while ((error = rd_kafka_query_watermark_offsets(admin->handle, name, partition, first, end,
                                                   TIMEOUT_MS)) &&
         is_settling(error) && clock_monotonic_s() < until)
    usleep(50000);
  if (!error) return true;
  if (error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
    return access_denied(failure, "Read", "topic", name);
  return failure_set(failure, EX_UNAVAILABLE, "asking for the bounds of '%s': %s", name,
                     rd_kafka_err2str(error));
}

bool kafka_admin_at_time(struct kafka_admin *admin, const char *topic, int32_t partitions,
                         int64_t time, int64_t *out, struct failure *failure) {
  rd_kafka_topic_partition_list_t *list = partitions_of(admin, topic, partitions);
  for (int32_t p = 0; p < partitions; p++) list->elems[p].offset = time;
  rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(admin->handle, list, TIMEOUT_MS);
  for (int32_t p = 0; p < partitions && !error; p++) {
    int64_t first;
    error = list->elems[p].err;
    out[p] = list->elems[p].offset;
    if (!error && out[p] < 0 && !kafka_admin_bounds(admin, topic, p, &first, &out[p], failure)) {
      rd_kafka_topic_partition_list_destroy(list);
      return false;
    }
  }
  if (error)
    failure_set(failure, EX_UNAVAILABLE, "asking for the offsets of a time: %s",
                rd_kafka_err2str(error));
  rd_kafka_topic_partition_list_destroy(list);
  return !error;
}
