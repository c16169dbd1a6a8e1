/* The connections of a listener: which go when too many come, which may grow old, and how many of
 * an address may wait. */
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/http/places.h"
#include "../lib/harness.h"

#define MOST 16
#define LONG_MS 60000
#define SHORT_MS 50

struct client {
  struct place *place;
  int socket, peer; /* the listener's end, and the client's */
};

static struct client come(struct places *places, in_addr_t address) {
  int ends[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  return (struct client){places_take(places, ends[0], address), ends[0], ends[1]};
}

static void leave(struct client client) {
  places_give(client.place);
  close(client.socket);
  close(client.peer);
}

static bool is_ended(struct client client, int wait_ms) {
  struct pollfd end = {.fd = client.peer, .events = POLLIN};
  return poll(&end, 1, wait_ms) == 1;
}

static void one_more_ends_the_oldest_of_the_address_that_has_the_most(void **unused) {
  (void)unused;
  struct places *places = places_new(MOST, LONG_MS);
  struct client few[2], many[MOST - 2];
  for (size_t i = 0; i < 2; i++) few[i] = come(places, 1);
  for (size_t i = 0; i < MOST - 2; i++) many[i] = come(places, 2);
  struct client more = come(places, 1);
  assert_true(is_ended(many[0], 0));
  assert_false(is_ended(many[1], 0) || is_ended(few[0], 0) || is_ended(more, 0));
  for (size_t i = 0; i < 2; i++) leave(few[i]);
  for (size_t i = 0; i < MOST - 2; i++) leave(many[i]);
  leave(more);
  places_free(places);
}

static void an_address_never_holds_all_so_another_always_comes_in(void **unused) {
  (void)unused;
  struct places *places = places_new(MOST, LONG_MS);
  struct client greedy[MOST];
  size_t held = 0;
  for (size_t i = 0; i < MOST; i++) greedy[i] = come(places, 1);
  for (size_t i = 0; i < MOST; i++) held += places_hold(greedy[i].place);
  assert_int_equal(held, MOST * 7 / 8);
  struct client other = come(places, 2);
  assert_true(places_hold(other.place));
  assert_false(is_ended(other, 0));
  places_answered(greedy[0].place);          /* who goes makes room for another of the address */
  assert_true(places_hold(greedy[1].place)); /* it is held already */
  assert_true(places_hold(greedy[MOST - 1].place));
  assert_false(places_hold(greedy[0].place));
  for (size_t i = 0; i < MOST; i++) leave(greedy[i]);
  leave(other);
  places_free(places);
}

static void who_waits_may_grow_old_until_it_is_answered(void **unused) {
  (void)unused;
  struct places *places = places_new(MOST, SHORT_MS);
  struct client waits = come(places, 1), idle = come(places, 1);
  assert_true(places_hold(waits.place));
  assert_true(is_ended(idle, LONG_MS));
  assert_false(is_ended(waits, 2 * SHORT_MS));
  places_release(waits.place);
  assert_true(is_ended(waits, LONG_MS));
  leave(waits);
  leave(idle);
  places_free(places);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_more_ends_the_oldest_of_the_address_that_has_the_most),
      cmocka_unit_test(an_address_never_holds_all_so_another_always_comes_in),
      cmocka_unit_test(who_waits_may_grow_old_until_it_is_answered),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
