#include "aging.h"

#include <inttypes.h>
#include <stdio.h>

const char *open_at(struct harness *h, int64_t time, const char *id) {
  const struct open_reservation open = {.reservation_id = str_of(id),
                                        .customer_id = STR("kim"),
                                        .item_id = STR("item"),
                                        .quantity = 1};
  return harness_send(h, time, id, RECORD_OPEN_RESERVATION, &open);
}

void until(struct harness *h, int64_t time,
           void (*open)(struct harness *h, int64_t time, const char *id)) {
  for (int i = 0; i < 2 * (int)EXPIRY_DOUBTS; i++) {
    char id[40];
    snprintf(id, sizeof id, "until-%" PRId64 "-%d", time / DAY_MS, i);
    open(h, time - EXPIRY_PROOF_MS - 2 * EXPIRY_DOUBTS + i, id);
    if (i % 20 == 0) arena_reset(&h->arena);
  }
}

void open_in_ledger(struct harness *h, int64_t time, const char *id) {
  open_at(h, time, id);
}

void sell_at(struct harness *h, int64_t time, const char *id) {
  const struct stock_held held = {
      .reservation_id = str_of(id), .item_id = STR("item"), .quantity = 1};
  open_at(h, time, id);
  assert_string_equal(harness_send(h, time, id, RECORD_STOCK_HELD, &held),
                      "StatusChanged(HELD) StatusChanged(APPROVED,CONFIRM) ClearDeadlines");
}

const char *cancel_at(struct harness *h, int64_t time, const char *id) {
  return harness_send(h, time, id, RECORD_CANCEL, &(struct cancel){str_of(id), STR("kim")});
}

bool has_row(struct harness *h, const char *key) {
  json_t *row = harness_row(h, key);
  json_decref(row);
  return row != NULL;
}

void requested_at(struct harness *h, int64_t time, const char *customer, const char *id) {
  const struct status_changed requested = {.reservation_id = str_of(id),
                                           .customer_id = str_of(customer),
                                           .item_id = STR("i"),
                                           .status = STATUS_REQUESTED};
  harness_send(h, time, customer, RECORD_STATUS_CHANGED, &requested);
}

void request_of_crowd(struct harness *h, int64_t time, const char *id) {
  requested_at(h, time, "crowd", id);
}
