#include "runtime/core/rights.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/contract/view.h"

bool right_is(const struct right *a, const struct right *b) {
  return a->resource == b->resource && a->operation == b->operation && a->prefixed == b->prefixed &&
         strcmp(a->name, b->name) == 0;
}

static void add(struct rights *rights, const struct right *right) {
  for (size_t i = 0; i < rights->count; i++) {
    if (right_is(&rights->list[i], right)) return;
  }
  if (rights->count == RIGHTS_MAX) abort(); /* more topics than any pipeline has */
  rights->list[rights->count++] = *right;
}

void rights_add(struct rights *rights, enum right_resource resource, enum right_operation operation,
                const char *prefix, const char *name) {
  struct right right = {.resource = resource, .operation = operation};
  snprintf(right.name, sizeof right.name, "%s%s", prefix, name);
  add(rights, &right);
}

void rights_add_prefixed(struct rights *rights, enum right_resource resource,
                         enum right_operation operation, const char *prefix, const char *name) {
  struct right right = {.resource = resource, .operation = operation, .prefixed = true};
  snprintf(right.name, sizeof right.name, "%s%s", prefix, name);
  add(rights, &right);
}

/* A policy that deletes rows or records is looked for before anything is done: hence
 * DescribeConfigs. */
static void add_topic(struct rights *rights, const char *prefix, const char *topic, bool read,
                      bool write, bool judge) {
  if (read) rights_add(rights, RIGHT_TOPIC, RIGHT_READ, prefix, topic);
  if (write) rights_add(rights, RIGHT_TOPIC, RIGHT_WRITE, prefix, topic);
  if (judge) rights_add(rights, RIGHT_TOPIC, RIGHT_DESCRIBE_CONFIGS, prefix, topic);
}

void rights_of_filter(const struct processor *processor, const char *prefix,
                      struct rights *rights) {
  char ids[RIGHT_NAME_MAX];
  add_topic(rights, prefix, processor->input, true, false, true);
  for (const struct output *output = processor->outputs; output && output->topic; output++)
    add_topic(rights, prefix, output->topic, false, true, output->table);
  if (processor->open_input) add_topic(rights, prefix, "dead-letters", false, true, false);
  if (processor->changelog) add_topic(rights, prefix, processor->changelog, true, true, true);
  if (processor->routes) add_topic(rights, prefix, VIEW_OWNERS_TOPIC, true, true, false);
  rights_add(rights, RIGHT_GROUP, RIGHT_READ, prefix, processor->name);
  snprintf(ids, sizeof ids, "%s-", processor->name); /* and the slot */
  rights_add_prefixed(rights, RIGHT_TRANSACTIONAL_ID, RIGHT_WRITE, prefix, ids);
}

const char *right_resource_name(enum right_resource resource) {
  switch (resource) {
    case RIGHT_TOPIC: return "topic";
    case RIGHT_GROUP: return "group";
    case RIGHT_TRANSACTIONAL_ID: return "transactional id";
    case RIGHT_OTHER_RESOURCE: break;
  }
  return "something else";
}

const char *right_operation_name(enum right_operation operation) {
  switch (operation) {
    case RIGHT_ALL: return "All";
    case RIGHT_READ: return "Read";
    case RIGHT_WRITE: return "Write";
    case RIGHT_CREATE: return "Create";
    case RIGHT_DESCRIBE: return "Describe";
    case RIGHT_DESCRIBE_CONFIGS: return "DescribeConfigs";
    case RIGHT_ALTER_CONFIGS: return "AlterConfigs";
    case RIGHT_OTHER_OPERATION: break;
  }
  return "something else";
}
