/* One event at one reservation: the state of its decision, and its actions. */
#ifndef HOLDFAST_PAYMENT_TURN_H
#define HOLDFAST_PAYMENT_TURN_H

#include "payment.h"

struct turn {
  struct context *context;
  const struct event *event;
  struct str reservation_id, row_key;
  struct ledger row; /* as it is, then as it becomes */
};

/* Does the action: changes the row, and says the records. */
void ledger_act(struct turn *turn, enum ledger_action action);

/* The next status of the reservation. until: 0 where it has no end. */
void ledger_say(struct turn *turn, enum status status, enum reason reason, int64_t until,
                enum hold_effect hold);

void ledger_set_deadline(struct turn *turn, enum deadline_kind kind, int64_t due_at);
void ledger_clear_deadlines(struct turn *turn);
void ledger_request_charge(struct turn *turn, enum charge_kind kind);

/* Of the event's command, which is a Reserve. */
void ledger_refuse_reserve(struct turn *turn, enum refusal refusal, const char *detail);

/* Of the event's command, which is a Pay or a Cancel. */
void ledger_refuse_command(struct turn *turn, enum refusal refusal, const char *detail);

/* Of the Pay that came before the hold. */
void ledger_refuse_early_pay(struct turn *turn);

#endif
