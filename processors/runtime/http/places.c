#include "runtime/http/places.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "runtime/base/arena.h"
#include "runtime/base/clock.h"
#include "runtime/base/worker.h"

#define CLOSING_MAX 32 /* ended connections that the daemon has still to close */
#define HELD_OF_8 7    /* parts of all connections that one address may have held */

/* Open connections of an address, in a table that is open-addressed. 0: the entry is empty; an
 * address whose connections have gone keeps its entry until the table is made anew. */
struct crowd {
  in_addr_t address;
  size_t count, held;
};

struct places {
  struct place *all, *free;
  struct place *oldest, *newest; /* of those that may be ended */
  size_t most, open;
  struct crowd *crowds;
  size_t crowd_size;
  int64_t age_ms;
  struct worker reaper; /* woken where a connection came and none was */
};

/* ---- by age ---- */

static void append(struct places *self, struct place *place) {
  place->since = clock_monotonic_ms();
  place->older = self->newest;
  place->newer = NULL;
  if (self->newest) self->newest->newer = place;
  if (!self->oldest) self->oldest = place;
  self->newest = place;
}

static void unlink_place(struct places *self, struct place *place) {
  *(place->older ? &place->older->newer : &self->oldest) = place->newer;
  *(place->newer ? &place->newer->older : &self->newest) = place->older;
}

/* ---- by address ---- */

static struct crowd *crowd_of(struct places *self, in_addr_t address) {
  size_t i = (address * UINT32_C(2654435769)) % self->crowd_size;
  while (self->crowds[i].count && self->crowds[i].address != address)
    i = (i + 1) % self->crowd_size;
  return &self->crowds[i];
}

/* Takes out the entry and puts those behind it where they are found (Knuth 6.4, algorithm R). */
static void drop_crowd(struct places *self, struct crowd *crowd) {
  size_t i = (size_t)(crowd - self->crowds);
  crowd->count = 0;
  for (i = (i + 1) % self->crowd_size; self->crowds[i].count; i = (i + 1) % self->crowd_size) {
    struct crowd moved = self->crowds[i];
    self->crowds[i].count = 0;
    *crowd_of(self, moved.address) = moved;
  }
}

static void count_in(struct places *self, in_addr_t address) {
  struct crowd *crowd = crowd_of(self, address);
  if (!crowd->count) *crowd = (struct crowd){.address = address};
  crowd->count++;
}

static void count_out(struct places *self, const struct place *place) {
  struct crowd *crowd = crowd_of(self, place->address);
  crowd->held -= place->held;
  if (crowd->count == 1) {
    drop_crowd(self, crowd);
  } else {
    crowd->count--;
  }
}

/* ---- the end of a connection ---- */

/* Under the lock, which a closing takes before the socket's number is free for another. */
static void end_place(struct places *self, struct place *place) {
  place->ended = true;
  unlink_place(self, place);
  count_out(self, place);
  self->open--;
  shutdown(place->socket, SHUT_RDWR);
}

static void end_one_of_the_crowd(struct places *self) {
  const struct crowd *most = self->crowds;
  for (size_t i = 1; i < self->crowd_size; i++) {
    if (self->crowds[i].count > most->count) most = &self->crowds[i];
  }
  struct place *place = self->oldest;
  while (place->newer && place->address != most->address) place = place->newer;
  end_place(self, place); /* the new one, if all of theirs are held */
}

/* An age and not a silence: a byte now and then keeps nobody. */
static void *reap(void *user) {
  struct places *self = user;
  worker_lock(&self->reaper);
  while (!self->reaper.ending) {
    struct place *place = self->oldest;
    if (!place) {
      worker_wait(&self->reaper, WORKER_FOR_EVER);
    } else if (clock_monotonic_ms() >= place->since + self->age_ms) {
      end_place(self, place);
    } else {
      worker_wait(&self->reaper, place->since + self->age_ms);
    }
  }
  worker_unlock(&self->reaper);
  return NULL;
}

/* ---- what a listener calls ---- */

struct place *places_take(struct places *self, int socket, in_addr_t address) {
  worker_lock(&self->reaper);
  struct place *place = self->free; /* the daemon takes no more than there are */
  self->free = place->next_free;
  *place = (struct place){.of = self, .socket = socket, .address = address};
  append(self, place);
  count_in(self, address);
  if (++self->open > self->most) end_one_of_the_crowd(self);
  if (self->oldest == place) worker_wake(&self->reaper);
  worker_unlock(&self->reaper);
  return place;
}

void places_give(struct place *place) {
  struct places *self = place->of;
  worker_lock(&self->reaper);
  free(place->body);
  place->body = NULL;
  if (!place->ended) {
    if (!place->held) unlink_place(self, place);
    count_out(self, place);
    self->open--;
  }
  place->next_free = self->free;
  self->free = place;
  worker_unlock(&self->reaper);
}

static void let_go(struct places *self, struct place *place) {
  if (place->held) crowd_of(self, place->address)->held--;
  place->held = false;
}

void places_answered(struct place *place) {
  struct places *self = place->of;
  worker_lock(&self->reaper);
  free(place->body);
  place->body = NULL;
  place->headers_seen = false;
  place->body_size = 0;
  if (!place->ended) {
    if (!place->held) unlink_place(self, place);
    let_go(self, place);
    append(self, place);
    if (self->oldest == place) worker_wake(&self->reaper);
  }
  worker_unlock(&self->reaper);
}

bool places_hold(struct place *place) {
  struct places *self = place->of;
  worker_lock(&self->reaper);
  struct crowd *crowd = crowd_of(self, place->address);
  bool fits = place->ended || place->held || crowd->held < self->most * HELD_OF_8 / 8;
  if (fits && !place->ended && !place->held) {
    unlink_place(self, place);
    place->held = true;
    crowd->held++;
  }
  worker_unlock(&self->reaper);
  return fits;
}

void places_release(struct place *place) {
  struct places *self = place->of;
  worker_lock(&self->reaper);
  if (!place->ended && place->held) {
    let_go(self, place);
    append(self, place);
    if (self->oldest == place) worker_wake(&self->reaper);
  }
  worker_unlock(&self->reaper);
}

/* ---- beginning and end ---- */

size_t places_sockets(const struct places *self) {
  return self->most + CLOSING_MAX;
}

struct places *places_new(size_t most, int64_t age_ms) {
  struct places *self = xcalloc(1, sizeof *self);
  self->most = most;
  self->age_ms = age_ms;
  self->all = xcalloc(places_sockets(self), sizeof *self->all);
  for (size_t i = 0; i < places_sockets(self); i++) {
    self->all[i].next_free = self->free;
    self->free = &self->all[i];
  }
  self->crowd_size = 2 * places_sockets(self);
  self->crowds = xcalloc(self->crowd_size, sizeof *self->crowds);
  worker_init(&self->reaper);
  worker_start(&self->reaper, "reaper", reap, self);
  return self;
}

void places_free(struct places *self) {
  if (!self) return;
  worker_free(&self->reaper);
  free(self->crowds);
  free(self->all);
  free(self);
}
