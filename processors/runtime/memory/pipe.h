/* One filter in a pipe, without a broker: on the log in memory. */
#ifndef HOLDFAST_MEMORY_PIPE_H
#define HOLDFAST_MEMORY_PIPE_H

#include "runtime/memory/log.h"
#include "runtime/contract/processor.h"

/* JSON lines {"topic","key","timestamp","headers","value"} from stdin to stdout: lines of the
 * filter's input are decided, lines of other topics pass through in their place. State is in
 * memory, or in --state-dir if that is given. The clock is that of the lines. A bad line ends it
 * with EX_DATAERR, named by its number. */
int pipe_main(const struct processor *processor, const struct options *options);

/* Creates the topics of a processor (partitions of each) and makes the genesis commit of its
 * group. */
void pipe_prepare(struct memory_cluster *cluster, const struct processor *processor,
                  int32_t partitions);

/* Visits the committed records of the topics that were appended since the last call, in the order
 * of their appends. */
struct tail;
struct tail *tail_new(const struct memory_cluster *cluster);
void tail_add(struct tail *tail, const char *topic); /* once each; the name is borrowed */
bool tail_next(struct tail *tail, const char **topic, const struct message **record);
void tail_free(struct tail *tail);

#endif
