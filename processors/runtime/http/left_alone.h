/* Instances that gave no answer: they are left alone for a moment, but for one question each time
 * that finds out whether they are back. So who hangs does not hold up every question. One thread.
 */
#ifndef HOLDFAST_HTTP_LEFT_ALONE_H
#define HOLDFAST_HTTP_LEFT_ALONE_H

#include "runtime/http/instances.h"

#define LEFT_ALONE_MAX 64
#define LEFT_ALONE_MS 5000

struct left_alone {
  struct {
    char url[OWNER_URL_MAX]; /* empty: a free place */
    int64_t until;           /* monotonic ms */
  } places[LEFT_ALONE_MAX];
};

/* True: not now. */
bool left_alone(struct left_alone *all, const char *url);

/* After a question: it gave no answer, or it gave one. */
void left_alone_note(struct left_alone *all, struct str url, bool failed);

#endif
