/* The rights that a process needs on a cluster that checks them: the ACLs of its principal (KIP-11,
 * KIP-290). Those of a filter follow from its declaration. */
#ifndef HOLDFAST_CORE_RIGHTS_H
#define HOLDFAST_CORE_RIGHTS_H

#include "runtime/contract/processor.h"

/* Both have the numbers that Kafka's protocol has (ResourceType, AclOperation). */
enum right_resource {
  RIGHT_OTHER_RESOURCE = 0,
  RIGHT_TOPIC = 2,
  RIGHT_GROUP = 3,
  RIGHT_TRANSACTIONAL_ID = 5
};
enum right_operation {
  RIGHT_OTHER_OPERATION = 0,
  RIGHT_ALL = 2,
  RIGHT_READ = 3,
  RIGHT_WRITE = 4,
  RIGHT_CREATE = 5,
  RIGHT_DESCRIBE = 8,
  RIGHT_DESCRIBE_CONFIGS = 10,
  RIGHT_ALTER_CONFIGS = 11
};

#define RIGHT_NAME_MAX 256
#define RIGHTS_MAX 512

struct right {
  enum right_resource resource;
  enum right_operation operation;
  bool prefixed; /* on everything whose name begins with this one */
  char name[RIGHT_NAME_MAX];
};

struct rights {
  struct right list[RIGHTS_MAX];
  size_t count;
};

/* Adds a right, unless it is there. prefix + name: the resource as on the broker. */
void rights_add(struct rights *rights, enum right_resource resource, enum right_operation operation,
                const char *prefix, const char *name);

/* The same of every resource whose name begins so. */
void rights_add_prefixed(struct rights *rights, enum right_resource resource,
                         enum right_operation operation, const char *prefix, const char *name);

/* Those of a filter's process, whatever its slot and options; prefix: of the pipeline. */
void rights_of_filter(const struct processor *processor, const char *prefix, struct rights *rights);

bool right_is(const struct right *a, const struct right *b);

/* Kafka's own words: "topic", "transactional id"; "Read", "DescribeConfigs". */
const char *right_resource_name(enum right_resource resource);
const char *right_operation_name(enum right_operation operation);

#endif
