/* Many charges that wait for a provider that is away. */
#include <stdlib.h>

#include "charge/breaker.h"
#include "charge/charge.h"
#include "../lib/bench.h"
#include "../lib/fake_world.h"

#define T0 BENCH_TIME
#define STEP_MS 5 /* what a small transaction takes */
#define AWAY_MS INT64_C(60000)
#define SLOTS 100000 /* of STEP_MS each: when the ledger asks again */
#define WELL_BEFORE 32
#define LOST_AFTER 16 /* beside them: too few for the breaker */

/* A provider that is away for a minute: half of the charges are unknown, the others are deferred,
 * and a ledger asks for them again when they say. HOLDFAST_WAITING=100000 is the long form; few
 * places for few charges make the same of it. */
struct outage {
  struct bench b;
  int waiting, settled; /* charges */
  int64_t now, next_read;
  int *next, *slots; /* lists of charges by the time of their next request; -1: the end */
  int *attempts;
};

static void ask(struct outage *o, int number) {
  bench_request(&o->b, 0, number, ++o->attempts[number], o->now);
}

static void hear(struct outage *o) {
  const struct message *record;
  while ((record = memory_read(o->b.cluster, "payment-requests", 0, o->next_read))) {
    struct record decoded;
    char error[CODEC_ERROR_SIZE];
    o->next_read = record->offset + 1;
    int number = atoi(record->key.data + strlen("r0-"));
    if (number >= o->waiting) continue;
    assert_true(codec_decode(o->b.codec, record->value, &o->b.arena, &decoded, error));
    o->settled += decoded.type == RECORD_CHARGE_SETTLED;
    if (decoded.type != RECORD_CHARGE_DEFERRED) continue;
    int64_t slot = (((const struct charge_deferred *)decoded.value)->retry_at - T0) / STEP_MS + 1;
    assert_in_range(slot, 0, SLOTS - 1);
    o->next[number] = o->slots[slot];
    o->slots[slot] = number;
  }
}

/* One transaction's time. */
static void pass(struct outage *o) {
  o->now += STEP_MS;
  memory_cluster_set_time(o->b.cluster, o->now);
  int *slot = &o->slots[(o->now - T0) / STEP_MS];
  for (int number = *slot; number >= 0; number = o->next[number]) ask(o, number);
  *slot = -1;
  bench_step(&o->b);
  hear(o);
  arena_reset(&o->b.arena);
}

static void open_outage(struct outage *o, int waiting) {
  *o = (struct outage){.waiting = waiting, .now = T0};
  o->next = xcalloc((size_t)waiting, sizeof *o->next);
  o->attempts = xcalloc((size_t)waiting, sizeof *o->attempts);
  o->slots = xcalloc(SLOTS, sizeof *o->slots);
  for (int i = 0; i < SLOTS; i++) o->slots[i] = -1;
  bench_open(&o->b, "charge", 1000, 1);
  fake_world_state.room = (size_t)(waiting * 64 / 100000 + 2);
  int number = waiting; /* those that go well are none of those that wait */
  for (int lost = 0; lost < waiting / 2;) {
    fake_world_state.answer = CALL_APPROVED;
    for (int i = 0; i < WELL_BEFORE; i++) bench_request(&o->b, 0, number++, 0, T0);
    bench_settle(&o->b);
    fake_world_state.answer = CALL_LOST;
    for (int i = 0; i < LOST_AFTER && lost < waiting / 2; i++) ask(o, lost++);
    bench_settle(&o->b);
  }
}

static void close_outage(struct outage *o) {
  bench_close(&o->b);
  free(o->next);
  free(o->attempts);
  free(o->slots);
}

static void a_breaker_closes_within_its_time_and_all_that_waited_is_asked_within_the_bound(
    void **unused) {
  (void)unused;
  struct outage o;
  const char *text = getenv("HOLDFAST_WAITING");
  open_outage(&o, text ? atoi(text) : 3000);
  fake_world_state.answer = CALL_NOT_MADE;
  for (int i = o.waiting / 2; i < o.waiting; i++) ask(&o, i);
  bench_settle(&o.b);
  hear(&o);
  while (o.now < T0 + AWAY_MS) pass(&o);
  assert_int_equal(o.settled, 0);
  fake_world_state.answer = CALL_APPROVED;
  int64_t well = o.now, ends = bench_breaker(&o.b, 0).due_at;
  assert_true(ends <= well + BREAKER_OPEN_MS_MAX);
  while (bench_breaker_state(&o.b, 0) != BREAKER_STATE_CLOSED) {
    pass(&o);
    if (o.now > ends + 1000) fail_msg("it is not closed a second after its time");
  }
  int64_t closed = o.now,
          places = (int64_t)o.waiting * 2 / (int64_t)fake_world_state.room * STEP_MS,
          bound = ends + o.waiting + places + 5000;
  while (o.settled < o.waiting) {
    pass(&o);
    if (o.now > bound) fail_msg("%d of %d have no answer yet", o.waiting - o.settled, o.waiting);
  }
  if (text)
    print_message("# %d charges: closed %d ms after its time, all settled %d ms later\n", o.waiting,
                  (int)(closed - ends), (int)(o.now - closed));
  close_outage(&o);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(
          a_breaker_closes_within_its_time_and_all_that_waited_is_asked_within_the_bound),
  };
  return cmocka_run_group_tests_name("waiting charges", tests, NULL, NULL);
}
