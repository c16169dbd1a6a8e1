/* The steps that a listener missed, read again from the log for it alone, on a thread of its own.
 * At most CATCH_UPS_MAX run at a time. */
#ifndef HOLDFAST_GATEWAY_CATCH_UP_H
#define HOLDFAST_GATEWAY_CATCH_UP_H

#include "runtime/base/options.h"
#include "runtime/contract/view.h"

#define CATCH_UPS_MAX 32
#define CATCH_UP_RECORDS_MAX INT64_C(1000000)

struct catch_up;

struct catch_up_task {
  const struct options *options;
  const char *customer;        /* NULL: everybody. Borrowed until the end */
  const int64_t *from, *until; /* of each partition; copied */
  int32_t partitions;
  void (*changed)(void *user); /* there is more to take, or it is over */
  void *user;
};

/* NULL: the request has its problem: 410 for what is too long ago, 503 if so many run. */
struct catch_up *catch_up_begin(const struct catch_up_task *task, struct http_request *request);

/* Bytes of the stream that are ready, at most so many. */
size_t catch_up_take(struct catch_up *catch_up, char *out, size_t most);

/* Nothing more will come; whole: because all is read. */
bool catch_up_is_over(struct catch_up *catch_up);
bool catch_up_is_whole(struct catch_up *catch_up);
void catch_up_end(struct catch_up *catch_up); /* NULL is fine. Not from within changed */

#endif
