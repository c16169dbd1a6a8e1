/* The instances of views, as they announce themselves on `view-owners`: for each partition of a
 * view's input the one that answers for it. The last announcement about a partition counts. It may
 * be old: whoever made it may be gone, or at another address by now. */
#ifndef HOLDFAST_HTTP_INSTANCES_H
#define HOLDFAST_HTTP_INSTANCES_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"

#define OWNER_URL_MAX 128
#define VIEW_PARTITIONS_MAX 256

/* Empty texts: nobody announced the partition, or it did not say. */
struct instance {
  char url[OWNER_URL_MAX];       /* other instances of the view ask there */
  char questions[OWNER_URL_MAX]; /* anybody does */
};

struct instances;

/* filters: those to hear of, ended by NULL; borrowed. NULL with the failure set: the topic cannot
 * be read. */
struct instances *instances_open(const struct options *options, const char *const *filters,
                                 struct failure *failure);

/* Ends the process with EX_CONFIG if access was denied, as one that is killed: its loop may be
 * anywhere. A view that may not speak with its other instances would seem well, and answer for a
 * part of its partitions. */
void instances_end_if_denied(const struct failure *failure);
void instances_close(struct instances *instances); /* NULL is fine */

/* Takes the next announcement, if one comes within the time. On one thread. True: all that were
 * made before are taken. */
bool instances_read(struct instances *instances, int timeout_ms);

/* filter: its place in the list. Any thread. */
void instances_find(struct instances *instances, size_t filter, int32_t partition,
                    struct instance *out);
/* One more than the highest that was announced. Any thread. */
int32_t instances_partitions(struct instances *instances, size_t filter);

#endif
