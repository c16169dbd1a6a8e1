/* The payment provider, and the connection to it: it moves money once per key, slowly; connections
 * die before, between and after the bytes of a call, which libcurl then sends again or not; answers
 * get lost, or come from who stands before the provider. It goes on with a call whose caller has
 * died or given up. The filter's own function judges the result of a call. */
#include <stdio.h>
#include <stdlib.h>

#include "charge/judge.h"
#include "sim.h"

#define CALLS_MAX 64
#define KEYS_MAX 4096
#define TRIES_MAX 3
#define CALL_DEADLINE_MS 610

/* The end of a try. After DIES_BEFORE and DIES libcurl sends the request again if the connection
 * was a kept one. */
enum end {
  END_REFUSED,     /* no connection: no byte left */
  END_DIES_BEFORE, /* some bytes left, and the provider has never had it whole */
  END_DIES,        /* the provider has taken it, and no byte of an answer came */
  END_HALF,        /* the connection died within the answer */
  END_SILENT,      /* nothing came before the deadline */
  END_ANSWERED
};

struct try {
  enum end end;
  bool acts;   /* the provider does what it is asked to */
  int64_t at;  /* when it arrives, or is known not to */
  long status; /* of END_ANSWERED */
};

struct call {
  bool used, slow;
  struct node *caller; /* NULL: gone */
  int32_t partition;
  char key[160], customer[64];
  size_t key_size, customer_size;
  enum charge_kind kind;
  int64_t amount;
  struct try tries[TRIES_MAX];
  int try_count, done; /* planned; ended */
  int64_t answered_at, gives_up_at;
};

struct account { /* of a key */
  char key[160], customer[64];
  size_t key_size, customer_size;
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

/* ---- its books ---- */

static struct account *account_of(struct provider *provider, const struct call *call) {
  struct str key = {call->key, call->key_size};
  for (size_t i = 0; i < provider->account_count; i++) {
    struct account *known = &provider->accounts[i];
    if (str_equal((struct str){known->key, known->key_size}, key)) return known;
  }
  return NULL;
}

/* A known key is answered as before, so it must ask for the same. */
static void compare(struct provider *provider, const struct account *known,
                    const struct call *call) {
  bool same = known->kind == call->kind && known->amount == call->amount &&
              str_equal((struct str){known->customer, known->customer_size},
                        (struct str){call->customer, call->customer_size});
  if (!same)
    sim_fail(provider->sim, "the provider's key %.*s comes with another amount or customer",
             (int)known->key_size - 1, known->key + 1);
}

static void open_account(struct provider *provider, const struct call *call) {
  struct sim *sim = provider->sim;
  if (provider->account_count == KEYS_MAX) abort();
  struct account *account = &provider->accounts[provider->account_count++];
  *account = (struct account){.key_size = call->key_size,
                              .customer_size = call->customer_size,
                              .kind = call->kind,
                              .amount = call->amount};
  memcpy(account->key, call->key, call->key_size);
  memcpy(account->customer, call->customer, call->customer_size);
  account->approved = !chance_of(&sim->chance, call->kind == CHARGE_KIND_CHARGE ? 150 : 60);
  sim_tell(sim, "the provider %s %.*s", account->approved ? "approves" : "declines",
           (int)call->key_size - 1, call->key + 1);
}

static void act(struct provider *provider, const struct call *call) {
  const struct account *known = account_of(provider, call);
  if (known)
    compare(provider, known, call);
  else
    open_account(provider, call);
}

void provider_money(const struct provider *provider, int64_t *charged, int64_t *refunded) {
  *charged = *refunded = 0;
  for (size_t i = 0; i < provider->account_count; i++) {
    const struct account *account = &provider->accounts[i];
    if (account->approved)
      *(account->kind == CHARGE_KIND_CHARGE ? charged : refunded) += account->amount;
  }
}

/* ---- the connection ---- */

static bool all_done(const struct call *call) {
  return call->done == call->try_count;
}

/* Its caller hears no more of it: bytes that are out may arrive all the same, and nothing is sent
 * again. */
static void leave(struct call *call) {
  call->caller = NULL;
  if (call->done < call->try_count) call->try_count = call->done + 1;
  if (all_done(call)) call->used = false;
}

void provider_turn(struct provider *provider) {
  for (size_t i = 0; i < CALLS_MAX; i++) {
    struct call *call = &provider->calls[i];
    while (call->used && !all_done(call) && call->tries[call->done].at <= provider->sim->now) {
      if (call->tries[call->done++].acts) act(provider, call);
    }
    if (!call->caller && all_done(call)) call->used = false;
  }
}

int64_t provider_next(const struct provider *provider) {
  int64_t next = INT64_MAX;
  for (size_t i = 0; i < CALLS_MAX; i++) {
    const struct call *call = &provider->calls[i];
    if (!call->used) continue;
    int64_t at = all_done(call) ? call->answered_at : call->tries[call->done].at;
    if (call->caller && call->gives_up_at < at) at = call->gives_up_at;
    if (at < next) next = at;
  }
  return next;
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

static const struct {
  int first, again; /* the share of a thousand: of first tries, and of those that are sent again */
  struct try try;
} fates[] = {{100, 300, {.end = END_REFUSED}},
             {40, 30, {.end = END_DIES_BEFORE}},
             {60, 60, {.end = END_DIES, .acts = true}},
             {30, 30, {.end = END_HALF, .acts = true}},
             {60, 40, {.end = END_SILENT, .acts = true}},
             {30, 20, {.end = END_SILENT}},
             {60, 200, {.end = END_ANSWERED, .status = 503}},
             {10, 50, {.end = END_ANSWERED, .status = 404}},
             {20, 20, {.end = END_ANSWERED, .status = 502, .acts = true}}, /* of a gateway */
             {20, 20, {.end = END_ANSWERED, .status = 500}}};

static struct try next_try(struct sim *sim, bool again) {
  int left = (int)chance_below(&sim->chance, 1000);
  for (size_t i = 0; !sim->quiet && i < sizeof fates / sizeof *fates; i++) {
    left -= again ? fates[i].again : fates[i].first;
    if (left < 0) return fates[i].try;
  }
  return (struct try){.end = END_ANSWERED, .acts = true, .status = 200};
}

static void plan(struct sim *sim, struct call *call) {
  bool kept = chance_of(&sim->chance, 600), died = true;
  int64_t at = sim->now;
  while (died && call->try_count < TRIES_MAX) {
    at += (int64_t)chance_below(&sim->chance, sim->quiet ? 50 : 900) / (call->try_count + 1);
    struct try *try = &call->tries[call->try_count];
    *try = next_try(sim, call->try_count > 0);
    try->at = at;
    died = kept && (try->end == END_DIES_BEFORE || try->end == END_DIES);
    call->try_count++;
  }
  call->answered_at = at + (int64_t)chance_below(&sim->chance, sim->quiet ? 50 : 600);
  if (call->tries[call->try_count - 1].end == END_SILENT) call->answered_at = INT64_MAX;
}

/* The answer as libcurl would give it at this moment: the try that is out counts. */
static struct call_answer answer_of(struct provider *provider, const struct call *call) {
  struct call_answer answer = {0};
  for (int i = 0; i < call->try_count && i <= call->done; i++)
    answer.tries += call->tries[i].end != END_REFUSED;
  const struct try *last = &call->tries[call->try_count - 1];
  if (!all_done(call) || call->answered_at > provider->sim->now || last->end != END_ANSWERED)
    return answer;
  answer.status = last->status;
  if (answer.status == 200)
    answer.body = account_of(provider, call)->approved ? STR("{\"status\":\"approved\"}")
                                                       : STR("{\"status\":\"declined\"}");
  return answer;
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
    leave(call);
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
  bool fits = key.size <= sizeof call->key && row->customer_id.size <= sizeof call->customer;
  if (!call || !fits) return; /* the row's due time is the way back */
  *call = (struct call){.used = true,
                        .caller = caller->node,
                        .partition = partition,
                        .key_size = key.size,
                        .customer_size = row->customer_id.size,
                        .kind = row->kind,
                        .amount = row->amount,
                        .slow = !sim->quiet && chance_of(&sim->chance, 200),
                        .gives_up_at = sim->now + CALL_DEADLINE_MS};
  memcpy(call->key, key.data, key.size);
  memcpy(call->customer, row->customer_id.data, row->customer_id.size);
  plan(sim, call);
}

static bool world_next(void *world, int timeout_ms, int32_t *partition, struct str *key,
                       int *result) {
  (void)timeout_ms;
  struct caller *caller = world;
  struct sim *sim = caller->provider->sim;
  for (size_t i = 0; i < CALLS_MAX; i++) {
    struct call *call = &caller->provider->calls[i];
    if (!call->used || call->caller != caller->node) continue;
    bool ended = all_done(call) && call->answered_at <= sim->now;
    if (!ended && call->gives_up_at > sim->now) continue;
    const struct call_answer answer = answer_of(caller->provider, call);
    *result = (int)charge_judge(&answer) | (call->slow ? CALL_SLOW : 0);
    *partition = call->partition;
    memcpy(caller->last_key, call->key, call->key_size);
    *key = (struct str){caller->last_key, call->key_size};
    leave(call);
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
