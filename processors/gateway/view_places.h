/* Where the views answer: at their configured address, or at the instances that announce themselves
 * on `view-owners`, which a thread of its own reads. All but that is on one thread. */
#ifndef HOLDFAST_GATEWAY_VIEW_PLACES_H
#define HOLDFAST_GATEWAY_VIEW_PLACES_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"
#include "runtime/base/str.h"
#include "runtime/contract/calls.h"

#define VIEW_URL_MAX CALLS_URL_SIZE

enum view { VIEW_HISTORY, VIEW_CATALOG, VIEW_TALLY, VIEWS };
extern const char *const view_names[VIEWS + 1]; /* ended by NULL */

struct view_places;

/* Waits a moment for the announcements that were made before. NULL with the failure set. */
struct view_places *view_places_open(const struct options *options, struct failure *failure);
void view_places_close(struct view_places *places); /* NULL is fine */

/* The instance with the key's partition, or the next that may be asked; without a key they are
 * taken in turn. again: the question was asked somewhere in vain. False: there is nobody to ask. */
bool view_places_find(struct view_places *places, enum view view, struct str key, bool again,
                      char url[VIEW_URL_MAX]);

/* After a question that was asked there. */
void view_places_note(struct view_places *places, const char *url, bool failed);

#endif
