/* A world that answers what the test tells it to, at once. */
#ifndef HOLDFAST_FAKE_WORLD_H
#define HOLDFAST_FAKE_WORLD_H

#include "runtime/contract/processor.h"

struct fake_world_state {
  int calls;  /* started so far, of all worlds */
  int answer; /* of the calls that start now; -1: never answered; FAKE_LATE: by fake_world_answer */
  size_t room;   /* for calls, whatever is out; 0: 10 */
  size_t places; /* the same, less what is out; 0: see room */
};

#define FAKE_LATE (-2)

/* Answers the calls that wait for it, of the world that was opened last. */
void fake_world_answer(int answer);

extern struct fake_world_state fake_world_state;
extern const struct world fake_world;

/* The same filter, its world replaced by this one where it has one. Lives as long as the test. */
const struct processor *without_world(const struct processor *processor);

#endif
