#include "place.h"

/* Takes the number and the '-' before it from the end of a place; -1: there is none. */
static int64_t take_number(struct str *place) {
  int64_t number = 0, digit = 1;
  size_t at = place->size;
  for (;
       at > 0 && place->data[at - 1] >= '0' && place->data[at - 1] <= '9' && digit < INT64_MAX / 10;
       digit *= 10)
    number += (place->data[--at] - '0') * digit;
  if (at == place->size || at == 0 || place->data[at - 1] != '-') return -1;
  place->size = at - 1;
  return number;
}

struct command_place command_place_of(const struct event *event) {
  struct str left = event->cause;
  int64_t offset = take_number(&left), partition = take_number(&left);
  bool said = offset >= 0 && partition >= 0 && partition <= INT32_MAX;
  return (struct command_place){.partition = said ? (int32_t)partition : -1,
                                .offset = said ? offset : -1,
                                .time = event->time};
}

/* The deliberately broken versions: a place that offsets alone tell, and one behind every other. */
static struct command_place mutated(struct command_place command, const struct ledger *row) {
  if (MUTANT("place-compared-by-offset")) {
    command.partition = row->last_command_partition;
    command.time = row->last_command_at;
  }
  if (MUTANT("repeated-command-taken")) command.offset = INT64_MAX;
  return command;
}

bool ledger_has_decided(const struct ledger *row, const struct command_place *place) {
  const struct command_place said = mutated(*place, row), *command = &said;
  bool same_partition =
      row->last_command_partition < 0 || row->last_command_partition == command->partition;
  bool later = row->last_command_at != 0 && command->time > row->last_command_at;
  bool behind = command->offset > row->last_command;
  return command->offset >= 0 && same_partition && !behind && !later;
}

void ledger_note_command(struct ledger *row, const struct command_place *command) {
  bool goes_on =
      row->last_command_partition == command->partition && command->offset > row->last_command;
  if (!goes_on || command->time > row->last_command_at) row->last_command_at = command->time;
  row->last_command_partition = command->partition;
  row->last_command = command->offset;
}
