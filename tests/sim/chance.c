/* Chance, and what is told of a run. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "sim.h"

/* ---- chance: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators)
 * ---- */

uint64_t chance_next(struct chance *chance) {
  uint64_t z = chance->state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

uint64_t chance_below(struct chance *chance, uint64_t limit) {
  return limit ? chance_next(chance) % limit : 0;
}

bool chance_of(struct chance *chance, int per_thousand) {
  return per_thousand > 0 && chance_below(chance, 1000) < (uint64_t)per_thousand;
}

int64_t years_off(struct chance *chance) {
  int64_t days = 366 + (int64_t)chance_below(chance, 15000);
  return (chance_of(chance, 500) ? days : -days) * DAY_MS;
}

/* ---- telling ---- */

void sim_tell(struct sim *sim, const char *format, ...) {
  if (!sim->tell) return;
  va_list arguments;
  va_start(arguments, format);
  printf("%6" PRId64 " %9.3fs  ", sim->tick, (double)(sim->now - BEGINNING_MS) / 1000);
  vprintf(format, arguments);
  putchar('\n');
  va_end(arguments);
}

void sim_fail(struct sim *sim, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  sim_tell(sim, "WRONG: %s", text);
  if (sim->failed) return;
  sim->failed = true;
  memcpy(sim->failure, text, sizeof text);
}

const char *node_name(const struct node *node) {
  static char name[80];
  snprintf(name, sizeof name, "%s/%d (process %d)", node->sim->filters[node->filter].processor.name,
           node->slot, node->number);
  return name;
}
