/* Tells commands of a reservation that were decided before. */
#ifndef HOLDFAST_PAYMENT_PLACE_H
#define HOLDFAST_PAYMENT_PLACE_H

#include "runtime/contract/processor.h"
#include "gen/events.h"

/* The place and time of a command, as the entrance forwards them. */
struct command_place {
  int32_t partition; /* -1: it does not say */
  int64_t offset;    /* -1: it does not say */
  int64_t time;      /* the broker's; milliseconds since 1970 */
};

struct command_place command_place_of(const struct event *event);

/* Whether a command of that place was decided for the reservation before: the entrance was reset,
 * and reads it again. It was if it lies in the partition of the last one, not behind it, and came
 * not later. A topic that was made again begins its offsets anew and its times go on; a clock that
 * was set back leaves the offsets. Values that a row of an earlier version lacks are not
 * compared. */
bool ledger_has_decided(const struct ledger *row, const struct command_place *command);

/* Keeps the command as the last one. While offsets go on the highest time stays, so that a clock
 * that was set back makes no repeat look new. */
void ledger_note_command(struct ledger *row, const struct command_place *command);

#endif
