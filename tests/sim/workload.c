/* The clients' commands: five kinds of items, reservations for them, and the clients' mistakes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/contract/expiry.h"
#include "runtime/record/line.h"
#include "sim.h"

#define RESERVATIONS_MAX 48
#define BURST_RESERVATIONS 600
#define ITEMS 5
#define GARBAGE_MAX 2100000

struct sent {
  char id[16], customer[16];
  struct reserve reserve;
  struct str seats[2];
  int64_t at;
};

struct workload {
  struct sim *sim;
  int item, reservation, extra; /* sent so far */
  int reservations, extras;     /* to be sent */
  int strays;                   /* per thousand of the commands that lie in another partition */
  bool forgetful;               /* its clients use ids again after their window */
  bool used_again;              /* and did */
  int odd;                      /* commands until the broker's clock is off for one; -1: never */
  struct sent sent[BURST_RESERVATIONS];
};

/* The broker's clock, which stamps it: years ahead for one record. A clock that was behind by more
 * than the window makes a command too old, and the views pass over a refusal that old: this is a
 * limit, and no fault to be found. */
static int64_t stamp(struct sim *sim) {
  struct workload *workload = sim->workload;
  if (workload->odd < 0 || workload->odd-- > 0) return sim->now;
  sim->wrong_broker = true;
  int64_t off = llabs(years_off(&sim->chance));
  sim_tell(sim, "the broker's clock is %" PRId64 " days ahead", off / DAY_MS);
  return sim->now + off;
}

static void send_bytes(struct sim *sim, int32_t partition, struct str key, struct str value) {
  const struct message record = {
      .timestamp = stamp(sim), .key = key, .value = value, .correlation_id = key};
  memory_append(sim->cluster, "reservation-commands", partition, &record);
  sim->counts[COUNT_COMMANDS]++;
}

/* Some client has another partitioner. -1: by the key, as the others. Items come from one that has
 * not: without them nothing would happen. */
static int32_t partition_for(struct sim *sim, int type) {
  bool about_reservation = type == RECORD_RESERVE || type == RECORD_PAY || type == RECORD_CANCEL;
  if (!about_reservation || !chance_of(&sim->chance, sim->workload->strays)) return -1;
  return (int32_t)chance_below(&sim->chance, (uint64_t)sim->partitions);
}

static void send_command(struct sim *sim, int type, const void *value) {
  struct record record = {type, value};
  struct str key = command_key(record);
  int32_t partition = partition_for(sim, type);
  sim_tell(sim, "a client sends %s %.*s%s", codec_schemas(sim->codec)->records[type]->name,
           STR_ARGS(key), partition < 0 ? "" : " by another partitioner");
  send_bytes(sim, partition, key, codec_encode(sim->codec, record, &sim->arena));
}

static const char *const item_names[ITEMS] = {"book", "concert", "match", "film", "musical"};

static void send_item(struct workload *workload, int number, bool changed) {
  struct sim *sim = workload->sim;
  static const struct str teams[] = {{"red", 3}, {"blue", 4}};
  static const struct seat_row_plan rows[] = {{{"A", 1}, 4, 1}, {{"B", 1}, 3, 5}};
  struct register_item item = {.item_id = str_of(item_names[number]),
                               .title = str_of(changed ? "another title" : item_names[number]),
                               .max_per_reservation = 2,
                               .hold_seconds = 20};
  switch (number) {
    case 0:
      item.kind = ITEM_KIND_BOOK;
      item.capacity = 4;
      item.max_per_reservation = 1;
      item.payment = PAYMENT_DUE_NONE;
      break;
    case 1:
      item.kind = ITEM_KIND_CONCERT;
      item.capacity = 5;
      item.price = 100;
      item.payment = PAYMENT_DUE_BY_CUSTOMER;
      break;
    case 2:
      item.kind = ITEM_KIND_SPORTS;
      item.capacity = sim->burst ? 10000 : 50;
      item.payment = PAYMENT_DUE_AT_ONCE;
      item.options.items = teams;
      item.options.count = 2;
      break;
    default:
      item.kind = number == 3 ? ITEM_KIND_MOVIE : ITEM_KIND_MUSICAL;
      if (number == 3) item.screen = STR("1");
      item.rows.items = rows;
      item.rows.count = 2;
      item.price = 70;
      item.payment = PAYMENT_DUE_AT_ONCE;
      break;
  }
  send_command(sim, RECORD_REGISTER_ITEM, &item);
}

static struct str any_seat(struct sim *sim) {
  static const char *const seats[] = {"A-1", "A-2", "A-3", "A-4", "B-5", "B-6", "B-7", "C-9"};
  return str_of(seats[chance_below(&sim->chance, chance_of(&sim->chance, 50) ? 8 : 7)]);
}

static void fill(struct workload *workload, struct sent *sent) {
  struct sim *sim = workload->sim;
  int item = (int)chance_below(&sim->chance, ITEMS);
  if (sim->burst && chance_of(&sim->chance, 600)) item = 2; /* there are enough for all */
  sent->reserve = (struct reserve){.reservation_id = str_of(sent->id),
                                   .customer_id = str_of(sent->customer),
                                   .item_id = str_of(item_names[item])};
  if (chance_of(&sim->chance, 20)) sent->reserve.item_id = STR("nothing");
  bool choose = sim->mixed || chance_of(&sim->chance, 600); /* an older build finds no seats */
  if (item >= 3 && choose) {
    size_t count = 1 + chance_below(&sim->chance, 2);
    for (size_t i = 0; i < count; i++) sent->seats[i] = any_seat(sim);
    if (count == 2 && str_equal(sent->seats[0], sent->seats[1])) count = 1;
    sent->reserve.seats.items = sent->seats;
    sent->reserve.seats.count = count;
    if (!sim->mixed && chance_of(&sim->chance, 250)) /* with one more, beside it */
      sent->reserve.quantity = (int32_t)count + 1;
  } else {
    sent->reserve.quantity = item == 0 ? 1 : 1 + (int32_t)chance_below(&sim->chance, 2);
    if (chance_of(&sim->chance, 20)) sent->reserve.quantity = 0; /* refused at the entrance */
  }
  if (item == 2) {
    sent->reserve.option = chance_of(&sim->chance, 950) ? STR("red") : STR("green");
    sent->reserve.amount = 10 + (int64_t)chance_below(&sim->chance, 90);
  }
}

static struct sent *any_sent(struct workload *workload) {
  return &workload->sent[chance_below(&workload->sim->chance, (uint64_t)workload->reservation)];
}

/* A client that is not sure says it again within the window, and not for ever. */
static struct sent *any_recent(struct workload *workload) {
  struct sent *sent = any_sent(workload);
  for (int i = workload->reservation; sent->at + EXPIRY_WINDOW_MS < workload->sim->now && i > 0;)
    sent = &workload->sent[--i];
  return sent->at + EXPIRY_WINDOW_MS < workload->sim->now ? NULL : sent;
}

static void send_reserve(struct workload *workload) {
  struct sim *sim = workload->sim;
  struct sent *sent = &workload->sent[workload->reservation];
  snprintf(sent->id, sizeof sent->id, "r%d", workload->reservation++);
  snprintf(sent->customer, sizeof sent->customer, "c%d",
           (int)chance_below(&sim->chance, sim->burst ? 200 : 5));
  fill(workload, sent);
  sent->at = sim->now;
  send_command(sim, RECORD_RESERVE, &sent->reserve);
  if (chance_of(&sim->chance, 150)) send_command(sim, RECORD_RESERVE, &sent->reserve);
}

static void send_pay(struct workload *workload) {
  struct sent *sent = any_sent(workload);
  bool other = chance_of(&workload->sim->chance, 40);
  send_command(workload->sim, RECORD_PAY,
               &(struct pay){str_of(sent->id), other ? STR("stranger") : str_of(sent->customer)});
}

static void send_cancel(struct workload *workload) {
  struct sent *sent = any_sent(workload);
  bool other = chance_of(&workload->sim->chance, 40);
  send_command(
      workload->sim, RECORD_CANCEL,
      &(struct cancel){str_of(sent->id), other ? STR("stranger") : str_of(sent->customer)});
}

static void send_reused_id(struct workload *workload) {
  struct sent *sent = any_recent(workload), other;
  if (!sent) return;
  other = *sent;
  if (chance_of(&workload->sim->chance, 500))
    snprintf(other.customer, sizeof other.customer, "thief");
  fill(workload, &other);
  send_command(workload->sim, RECORD_RESERVE, &other.reserve);
}

static void send_again(struct workload *workload) {
  const struct sent *sent = any_recent(workload);
  if (sent) send_command(workload->sim, RECORD_RESERVE, &sent->reserve);
}

/* A client that numbers its reservations anew, long after: the same again, or another under its
 * id. */
static void send_long_after(struct workload *workload) {
  struct sim *sim = workload->sim;
  struct sent *sent = any_sent(workload);
  if (sent->at + EXPIRY_WINDOW_MS >= sim->now) return;
  if (chance_of(&sim->chance, 500)) fill(workload, sent);
  sent->at = sim->now;
  workload->used_again = true;
  sim_tell(sim, "the id %s is used again after its window", sent->id);
  send_command(sim, RECORD_RESERVE, &sent->reserve);
}

static void send_stock(struct workload *workload) {
  struct sim *sim = workload->sim;
  static char receipt[32]; /* one is said again within the window, and not for ever */
  snprintf(receipt, sizeof receipt, "d%d-%" PRId64, (int)chance_below(&sim->chance, 3),
           sim->now / EXPIRY_WINDOW_MS);
  send_command(sim, RECORD_RECEIVE_STOCK,
               &(struct receive_stock){.item_id = str_of(item_names[chance_below(&sim->chance, 4)]),
                                       .receipt_id = str_of(receipt),
                                       .quantity = 1 + (int32_t)chance_below(&sim->chance, 3)});
}

/* Of any bytes; more than a producer takes, which compress well; or such as cannot be had. */
static void send_garbage(struct workload *workload) {
  struct sim *sim = workload->sim;
  static const char zeros[GARBAGE_MAX];
  uint64_t noise[2] = {chance_next(&sim->chance), chance_next(&sim->chance)};
  struct str key = str_of(workload->sent[0].id), bytes = {(const char *)noise, sizeof noise};
  if (noise[0] % 8 == 0) bytes = (struct str){zeros, GARBAGE_MAX};
  sim_tell(sim, "a client sends %zu bytes of garbage", bytes.size);
  if (noise[0] % 8 != 1) return send_bytes(sim, -1, key, bytes);
  memory_append(sim->cluster, "reservation-commands", -1,
                &(struct message){.fault = "simulated: the batch cannot be read"});
  sim->counts[COUNT_COMMANDS]++;
}

static void send_extra(struct workload *workload) {
  struct sim *sim = workload->sim;
  workload->extra++;
  if (workload->forgetful && chance_of(&sim->chance, 150)) return send_long_after(workload);
  uint64_t kind = chance_below(&sim->chance, 100);
  if (kind < 42) return send_pay(workload);
  if (kind < 62) return send_cancel(workload);
  if (kind < 72) return send_reused_id(workload);
  if (kind < 78) return send_again(workload);
  if (kind < 86) return send_stock(workload);
  if (kind < 91) return send_item(workload, (int)chance_below(&sim->chance, ITEMS), kind % 2);
  if (kind < 95) return send_garbage(workload);
  if (kind < 96)
    return send_command(
        sim, RECORD_CLOSE_ITEM,
        &(struct close_item){.item_id = str_of(item_names[chance_below(&sim->chance, ITEMS)])});
  send_command(sim, RECORD_REGISTER_CUSTOMER,
               &(struct register_customer){.customer_id = str_of(any_sent(workload)->customer),
                                           .name = STR("Kim"),
                                           .contact = STR("kim@example.org"),
                                           .language = STR("ko")});
}

struct workload *workload_new(struct sim *sim) {
  struct workload *workload = xcalloc(1, sizeof *workload);
  workload->sim = sim;
  workload->reservations = 8 + (int)chance_below(&sim->chance, RESERVATIONS_MAX - 8);
  if (sim->burst) workload->reservations = BURST_RESERVATIONS;
  workload->extras = workload->reservations;
  if (world_has(WORLD_PLACES) && chance_of(&sim->chance, 200)) workload->strays = 60;
  workload->forgetful = world_has(WORLD_IDS_AGAIN) && sim->forgets && chance_of(&sim->chance, 400);
  if (workload->forgetful) workload->extras *= 5; /* so that rows go before the end */
  workload->odd = -1;
  if (world_has(WORLD_BROKER_CLOCK) && !sim->forgets && chance_of(&sim->chance, 150))
    workload->odd = ITEMS + (int)chance_below(&sim->chance, 2 * (uint64_t)workload->reservations);
  return workload;
}

bool workload_used_again(const struct workload *workload) {
  return workload->used_again;
}

void workload_free(struct workload *workload) {
  free(workload);
}

void workload_goes_on(struct workload *workload) {
  workload->extras += workload->reservations;
}

bool workload_turn(struct workload *workload, int parts) {
  struct sim *sim = workload->sim;
  int reservations = workload->reservations / parts, extras = workload->extras / parts;
  if (workload->item < ITEMS) {
    send_item(workload, workload->item++, false);
    return true;
  }
  if (workload->reservation < reservations &&
      (workload->reservation == 0 || chance_of(&sim->chance, 550))) {
    send_reserve(workload);
  } else if (workload->extra < extras) {
    send_extra(workload);
  }
  return workload->reservation < reservations || workload->extra < extras;
}
