#include "ledger_inputs.h"

const char *ledger_give(struct harness *h, const char *id, const char *input) {
  int64_t t = LEDGER_TIME;
  bool other = strstr(input, "other") != NULL && strstr(input, "another") == NULL;
  struct str r = str_of(id), customer = strstr(input, "of another") ? STR("x") : STR("c");
  int64_t hash = other ? 8 : 7;
  if (strncmp(input, "open", 4) == 0) {
    struct open_reservation v = {.reservation_id = r,
                                 .customer_id = STR("c"),
                                 .item_id = STR("i"),
                                 .content_hash = hash,
                                 .quantity = 2};
    return harness_send(h, t, id, RECORD_OPEN_RESERVATION, &v);
  }
  if (strncmp(input, "pay", 3) == 0)
    return harness_send(h, t, id, RECORD_PAY, &(struct pay){r, customer});
  if (strncmp(input, "cancel", 6) == 0)
    return harness_send(h, t, id, RECORD_CANCEL, &(struct cancel){r, customer});
  if (strncmp(input, "held", 4) == 0) {
    enum payment_due due = strstr(input, "BY_CUSTOMER") ? PAYMENT_DUE_BY_CUSTOMER
                           : strstr(input, "NONE")      ? PAYMENT_DUE_NONE
                                                        : PAYMENT_DUE_AT_ONCE;
    struct stock_held v = {.reservation_id = r,
                           .item_id = STR("i"),
                           .content_hash = hash,
                           .quantity = 2,
                           .amount = 20,
                           .payment = due,
                           .hold_seconds = 60};
    return harness_send(h, t, id, RECORD_STOCK_HELD, &v);
  }
  if (strncmp(input, "refused", 7) == 0) {
    struct stock_refused v = {
        .reservation_id = r, .item_id = STR("i"), .content_hash = hash, .reason = REASON_SOLD_OUT};
    return harness_send(h, t, id, RECORD_STOCK_REFUSED, &v);
  }
  enum charge_kind kind =
      strncmp(input, "refund", 6) == 0 ? CHARGE_KIND_REFUND : CHARGE_KIND_CHARGE;
  if (strstr(input, "deferred")) {
    struct charge_deferred v = {
        .reservation_id = r, .charge_key = STR("k"), .kind = kind, .retry_at = LEDGER_TIME + 500};
    return harness_send(h, t, id, RECORD_CHARGE_DEFERRED, &v);
  }
  if (strstr(input, "approved") || strstr(input, "declined")) {
    struct charge_settled v = {.reservation_id = r,
                               .charge_key = STR("k"),
                               .kind = kind,
                               .approved = strstr(input, "approved") != NULL};
    return harness_send(h, t, id, RECORD_CHARGE_SETTLED, &v);
  }
  enum deadline_kind due = strcmp(input, "hold end") == 0 ? DEADLINE_KIND_HOLD_END
                           : strcmp(input, "retry") == 0  ? DEADLINE_KIND_RETRY
                                                          : DEADLINE_KIND_WATCHDOG;
  return harness_send(h, t, id, RECORD_DEADLINE_PASSED,
                      &(struct deadline_passed){.reservation_id = r, .kind = due, .due_at = t});
}
