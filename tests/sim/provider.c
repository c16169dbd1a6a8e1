/* The payment provider: it moves money once per key, slowly, and its answers get lost. It goes on
 * with a call whose caller has died or given up. */
#include <stdlib.h>

#include "charge/charge.h"
#include "sim.h"

#define CALLS_MAX 64
#define KEYS_MAX 1024
#define CALL_DEADLINE_MS 610

struct call {
  bool used, done; /* done: at the provider */
  bool slow;
  struct node *caller; /* NULL: gone */
  int32_t partition;
  char key[160];
  size_t key_size;
  int64_t arrives_at, answered_at, gives_up_at;
  enum charge_kind kind;
  int64_t amount;
  enum call_result result;
};

struct account { /* of a key */
  char key[160];
  size_t key_size;
  enum charge_kind kind;
  int64_t amount;
  bool approved;
};

struct provider {
  struct sim *sim;
  struct call calls[CALLS_MAX];
  struct account accounts[KEYS_MAX];
  size_t account_count;
};

struct provider *provider_new(struct sim *sim) {
  struct provider *provider = xcalloc(1, sizeof *provider);
  provider->sim = sim;
  return provider;
}

void provider_free(struct provider *provider) {
  free(provider);
}

static enum call_result settle(struct provider *provider, const struct call *call) {
  struct sim *sim = provider->sim;
  struct str key = {call->key, call->key_size};
  for (size_t i = 0; i < provider->account_count; i++) {
    struct account *known = &provider->accounts[i];
    if (str_equal((struct str){known->key, known->key_size}, key))
      return known->approved ? CALL_APPROVED : CALL_DECLINED;
  }
  if (provider->account_count == KEYS_MAX) abort();
  struct account *account = &provider->accounts[provider->account_count++];
  *account = (struct account){.key_size = key.size, .kind = call->kind, .amount = call->amount};
  memcpy(account->key, key.data, key.size);
  account->approved = !chance_of(&sim->chance, call->kind == CHARGE_KIND_CHARGE ? 150 : 60);
  sim_tell(sim, "the provider %s %.*s", account->approved ? "approves" : "declines",
           (int)key.size - 1, key.data + 1);
  return account->approved ? CALL_APPROVED : CALL_DECLINED;
}

void provider_turn(struct provider *provider) {
  for (size_t i = 0; i < CALLS_MAX; i++) {
    struct call *call = &provider->calls[i];
    if (!call->used || call->done || call->arrives_at > provider->sim->now) continue;
    call->done = true;
    if (call->result != CALL_NOT_MADE) call->result = settle(provider, call);
    if (!call->caller) call->used = false;
  }
}

int64_t provider_next(const struct provider *provider) {
  int64_t next = INT64_MAX;
  for (size_t i = 0; i < CALLS_MAX; i++) {
    const struct call *call = &provider->calls[i];
    if (!call->used) continue;
    int64_t at = !call->done                             ? call->arrives_at
                 : call->answered_at < call->gives_up_at ? call->answered_at
                                                         : call->gives_up_at;
    if (call->caller && call->gives_up_at < at) at = call->gives_up_at;
    if (at < next) next = at;
  }
  return next;
}

void provider_money(const struct provider *provider, int64_t *charged, int64_t *refunded) {
  *charged = *refunded = 0;
  for (size_t i = 0; i < provider->account_count; i++) {
    const struct account *account = &provider->accounts[i];
    if (account->approved)
      *(account->kind == CHARGE_KIND_CHARGE ? charged : refunded) += account->amount;
  }
}

void provider_list(const struct provider *provider, struct auditor *auditor) {
  for (size_t i = 0; i < provider->account_count; i++) {
    const struct account *account = &provider->accounts[i];
    auditor_book(auditor, &(struct audit_book){
                              .key = {account->key + 1, account->key_size - 1}, /* of its row */
                              .refund = account->kind == CHARGE_KIND_REFUND,
                              .approved = account->approved,
                              .amount = account->amount});
  }
  auditor_books_read(auditor, INT64_MAX);
}

/* ---- the world of charge: its own end of the calls ---- */

struct caller {
  struct provider *provider;
  struct node *node;
  char last_key[160];
};

static struct sim *the_sim; /* the one that runs: a world is opened without an argument */

void provider_use(struct sim *sim) {
  the_sim = sim;
}

static void *world_open(const struct options *options, char *error, size_t size) {
  (void)options;
  (void)error;
  (void)size;
  struct caller *caller = xcalloc(1, sizeof *caller);
  caller->provider = the_sim->provider;
  caller->node = the_sim->running;
  return caller;
}

static void world_close(void *world) {
  struct caller *caller = world;
  for (size_t i = 0; i < CALLS_MAX; i++) {
    struct call *call = &caller->provider->calls[i];
    if (!call->used || call->caller != caller->node) continue;
    call->caller = NULL;
    if (call->done) call->used = false;
  }
  free(caller);
}

static size_t world_in_flight(void *world) {
  struct caller *caller = world;
  size_t count = 0;
  for (size_t i = 0; i < CALLS_MAX; i++)
    count += caller->provider->calls[i].used && caller->provider->calls[i].caller == caller->node;
  return count;
}

static size_t world_room(void *world) {
  size_t out = world_in_flight(world);
  return out < 4 ? 4 - out : 0;
}

static void world_start(void *world, int32_t partition, struct str key, const void *value) {
  struct caller *caller = world;
  struct provider *provider = caller->provider;
  struct sim *sim = provider->sim;
  if (caller->node->dead) return;
  const struct charge *row = value;
  struct call *call = NULL;
  for (size_t i = 0; i < CALLS_MAX && !call; i++) {
    if (!provider->calls[i].used) call = &provider->calls[i];
  }
  if (!call || key.size > sizeof call->key) return; /* the row's due time is the way back */
  *call = (struct call){.used = true,
                        .caller = caller->node,
                        .partition = partition,
                        .key_size = key.size,
                        .kind = row->kind,
                        .amount = row->amount,
                        .result = CALL_LOST,
                        .gives_up_at = sim->now + CALL_DEADLINE_MS};
  memcpy(call->key, key.data, key.size);
  call->arrives_at = sim->now + (int64_t)chance_below(&sim->chance, sim->quiet ? 50 : 900);
  call->answered_at = call->arrives_at + (int64_t)chance_below(&sim->chance, sim->quiet ? 50 : 600);
  call->slow = !sim->quiet && chance_of(&sim->chance, 200);
  if (!sim->quiet && chance_of(&sim->chance, 150)) call->result = CALL_NOT_MADE;
  if (!sim->quiet && chance_of(&sim->chance, 100)) call->answered_at = INT64_MAX; /* lost */
}

static bool world_next(void *world, int timeout_ms, int32_t *partition, struct str *key,
                       int *result) {
  (void)timeout_ms;
  struct caller *caller = world;
  struct sim *sim = caller->provider->sim;
  for (size_t i = 0; i < CALLS_MAX; i++) {
    struct call *call = &caller->provider->calls[i];
    if (!call->used || call->caller != caller->node) continue;
    bool answered = call->done && call->answered_at <= sim->now;
    if (!answered && call->gives_up_at > sim->now) continue;
    *result = (int)(answered ? call->result : CALL_LOST) | (call->slow ? CALL_SLOW : 0);
    *partition = call->partition;
    memcpy(caller->last_key, call->key, call->key_size);
    *key = (struct str){caller->last_key, call->key_size};
    call->caller = NULL;
    if (call->done) call->used = false;
    return true;
  }
  return false;
}

const struct world sim_provider = {.open = world_open,
                                   .close = world_close,
                                   .room = world_room,
                                   .start = world_start,
                                   .next = world_next,
                                   .in_flight = world_in_flight};
