/* The content of the provider's answer, also if its end is missing. */
#ifndef HOLDFAST_CHARGE_ANSWER_H
#define HOLDFAST_CHARGE_ANSWER_H

#include "runtime/contract/processor.h"

/* The text of the member of that name of a JSON object whose end may be missing, as it stands there
 * (escapes are left alone). data NULL: there is none, or it is no text, or it is cut itself.
 * Borrows from json. */
struct str answer_member(struct str json, struct str name);

#endif
