/* Asking the views for others: at their configured address, or any of the instances that announce
 * themselves on `view-owners`. There the one that has the key's partition is asked first, and
 * another one where it does not answer. */
#ifndef HOLDFAST_GATEWAY_VIEWS_H
#define HOLDFAST_GATEWAY_VIEWS_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"
#include "runtime/base/str.h"

#define VIEW_ANSWER_MAX ((size_t)4 << 20)
#define VIEW_PATH_MAX 2048

/* --history-url, --catalog-url, --tally-url and --view-calls */
extern const struct option_desc gateway_view_options[];

struct views;

/* status 0: nobody answered in time. body: borrowed. On the thread of the views. */
typedef void views_answered(void *user, long status, struct str body);

/* NULL with the failure set. A thread of its own. */
struct views *views_open(const struct options *options, views_answered *answered,
                         struct failure *failure);

/* view: history, catalog or tally. path: with its query, escaped. key: what the question is about;
 * empty: many things. False: so many wait already that this one may not. Any thread. */
bool views_ask(struct views *views, const char *view, const char *path, struct str key, void *user);

/* Every question is answered before this returns. NULL is fine. */
void views_close(struct views *views);

#endif
