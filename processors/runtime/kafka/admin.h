/* The requests of `holdfast topics` to a cluster. */
#ifndef HOLDFAST_KAFKA_ADMIN_H
#define HOLDFAST_KAFKA_ADMIN_H

#include "runtime/kafka/names.h"
#include "runtime/log/log.h"
#include "runtime/base/options.h"

struct kafka_admin;

/* NULL with the failure set: also where no broker answers. */
struct kafka_admin *kafka_admin_open(const struct options *options, struct failure *failure);
void kafka_admin_close(struct kafka_admin *admin);

/* Partitions of a topic (its name without the prefix); 0: it does not exist; -1: the failure is
 * set. */
int32_t kafka_admin_partitions(struct kafka_admin *admin, const char *topic,
                               struct failure *failure);

/* The topic's setting on the broker, in out. False: the failure is set. */
bool kafka_admin_setting(struct kafka_admin *admin, const char *topic, const char *name, char *out,
                         size_t size, struct failure *failure);

/* settings end with a NULL name. The topic's replication is the broker's default. */
bool kafka_admin_create(struct kafka_admin *admin, const char *topic, int32_t partitions,
                        const struct kafka_setting *settings, struct failure *failure);

/* Changes these settings and keeps the others that the topic has of its own. */
bool kafka_admin_alter(struct kafka_admin *admin, const char *topic,
                       const struct kafka_setting *settings, struct failure *failure);

/* Requests about a group are repeated for half a minute while its coordinator is just starting. */

/* The offsets (count of them, by partition) that a group has committed on a topic; -1: none. Stable
 * ones: waits for a transaction that would change them. */
bool kafka_admin_committed(struct kafka_admin *admin, const char *group, const char *topic,
                           struct log_offset *offsets, int32_t count, struct failure *failure);

/* The number of the group's members, or -1 with the failure set. A static member counts until its
 * session ends. */
int kafka_admin_members(struct kafka_admin *admin, const char *group, struct failure *failure);

/* Commits for a group without members. If it has some, half a minute is waited for their sessions
 * to end. */
bool kafka_admin_commit(struct kafka_admin *admin, const char *group, const char *topic,
                        const struct log_offset *offsets, int32_t count, struct failure *failure);

/* The setting of the broker that answers first, in out. False: the failure is set. */
bool kafka_admin_broker_setting(struct kafka_admin *admin, const char *name, char *out, size_t size,
                                struct failure *failure);

/* Takes away every topic and group whose name begins with the prefix of the options, which must
 * not be empty. Groups must have no members any more. */
bool kafka_admin_delete_all(struct kafka_admin *admin, struct failure *failure);

/* The offset of the first record not before a time (milliseconds since 1970), of each partition;
 * its end where there is none. */
bool kafka_admin_at_time(struct kafka_admin *admin, const char *topic, int32_t partitions,
                         int64_t time, int64_t *out, struct failure *failure);

/* The first offset of a partition and the one after its last, whether committed or not. */
bool kafka_admin_bounds(struct kafka_admin *admin, const char *topic, int32_t partition,
                        int64_t *first, int64_t *end, struct failure *failure);

#endif
