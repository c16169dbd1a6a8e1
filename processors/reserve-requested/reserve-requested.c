/* The entrance: every command is checked once, here, and opened in the ledger before anything else
 * is said about it. */
#include "reserve-requested.h"

#include "checks.h"

/* ---- a command's identity, whatever its type ---- */

struct command {
  const char *name;
  /* The key that the record must have, so that commands about one thing keep their order. */
  struct str key;
  struct str sender, reservation_id, item_id;
  const char *wrong;
};

static struct command about_item(const char *name, struct str item_id, struct str manager_id,
                                 const char *wrong) {
  return (struct command){.name = name,
                          .key = item_id,
                          .sender = manager_id.size ? manager_id : item_id,
                          .item_id = item_id,
                          .wrong = wrong};
}

static struct command about_customer(const char *name, struct str customer_id, const char *wrong) {
  return (struct command){.name = name, .key = customer_id, .sender = customer_id, .wrong = wrong};
}

static struct command about_reservation(const char *name, struct str reservation_id,
                                        struct str customer_id, const char *wrong) {
  return (struct command){.name = name,
                          .key = reservation_id,
                          .sender = customer_id,
                          .reservation_id = reservation_id,
                          .wrong = wrong};
}

static struct command reserve_command(const struct reserve *reserve) {
  struct command command = about_reservation("Reserve", reserve->reservation_id,
                                             reserve->customer_id, wrong_reserve(reserve));
  command.item_id = reserve->item_id;
  return command;
}

static struct command describe(const struct event *event) {
  const struct register_item *item = as_register_item(event);
  const struct receive_stock *receive = as_receive_stock(event);
  const struct close_item *close = as_close_item(event);
  const struct register_customer *customer = as_register_customer(event);
  const struct pay *pay = as_pay(event);
  const struct cancel *cancel = as_cancel(event);
  switch (event->type) {
    case RECORD_REGISTER_ITEM:
      return about_item("RegisterItem", item->item_id, item->manager_id, wrong_register_item(item));
    case RECORD_RECEIVE_STOCK:
      return about_item("ReceiveStock", receive->item_id, receive->manager_id,
                        wrong_receive_stock(receive));
    case RECORD_CLOSE_ITEM:
      return about_item("CloseItem", close->item_id, close->manager_id, wrong_close_item(close));
    case RECORD_REGISTER_CUSTOMER:
      return about_customer("RegisterCustomer", customer->customer_id,
                            wrong_register_customer(customer));
    case RECORD_RESERVE: return reserve_command(as_reserve(event));
    case RECORD_PAY:
      return about_reservation("Pay", pay->reservation_id, pay->customer_id,
                               wrong_ids(pay->reservation_id, pay->customer_id));
    case RECORD_CANCEL:
      return about_reservation("Cancel", cancel->reservation_id, cancel->customer_id,
                               wrong_ids(cancel->reservation_id, cancel->customer_id));
    default: return (struct command){.name = "?", .wrong = "not a command"};
  }
}

static struct str short_enough(struct str id) {
  return id.size <= ID_MAX ? id : STR("");
}

/* The operator finds the record as it came in dead-letters; the sender is told, if the record names
 * one. */
static void refuse(struct context *context, const struct event *event,
                   const struct command *command) {
  dead_letter(context, command->wrong);
  if (!valid_id(command->sender)) return;
  const struct command_refused refused = {.sender_id = command->sender,
                                          .command = str_of(command->name),
                                          .reservation_id = short_enough(command->reservation_id),
                                          .item_id = short_enough(command->item_id),
                                          .refusal = REFUSAL_INVALID,
                                          .detail = str_of(command->wrong),
                                          .place = event->place};
  emit(context, TO_RESERVATION_EVENTS, command->sender, RECORD_COMMAND_REFUSED, &refused);
}

/* ---- Reserve ---- */

static void open_reservation(struct context *context, const struct event *event) {
  const struct reserve *reserve = as_reserve(event);
  int64_t hash = reserve_content_hash(reserve);
  int32_t quantity = reserve_quantity(reserve);
  struct open_reservation open = {.reservation_id = reserve->reservation_id,
                                  .customer_id = reserve->customer_id,
                                  .item_id = reserve->item_id,
                                  .content_hash = hash,
                                  .quantity = quantity,
                                  .option = reserve->option,
                                  .amount = reserve->amount};
  open.seats = reserve->seats;
  emit(context, TO_PAYMENT_REQUESTS, reserve->reservation_id, RECORD_OPEN_RESERVATION, &open);
  struct request_hold hold = {.reservation_id = reserve->reservation_id,
                              .customer_id = reserve->customer_id,
                              .item_id = reserve->item_id,
                              .content_hash = hash,
                              .quantity = quantity,
                              .option = reserve->option,
                              .amount = reserve->amount};
  hold.seats = reserve->seats;
  emit(context, TO_STOCK_REQUESTS, reserve->item_id, RECORD_REQUEST_HOLD, &hold);
  struct status_changed requested = {.reservation_id = reserve->reservation_id,
                                     .customer_id = reserve->customer_id,
                                     .item_id = reserve->item_id,
                                     .content_hash = hash,
                                     .status = STATUS_REQUESTED,
                                     .quantity = quantity,
                                     .option = reserve->option,
                                     .amount = reserve->amount,
                                     .opened_at = event->time};
  requested.seats = reserve->seats;
  emit(context, TO_RESERVATION_EVENTS, reserve->customer_id, RECORD_STATUS_CHANGED, &requested);
}

/* The deliberately broken version. */
static bool mutated(bool misplaced) {
  return misplaced && !MUTANT("misplaced-command-taken");
}

/* The order of the commands about one thing needs one key, and one partition for it. */
static const char *wrong_place(const struct event *event, const struct command *command) {
  if (!str_equal(event->key, command->key))
    return "the record must be keyed by its reservation_id (item_id, customer_id for commands "
           "about those), or its order is lost";
  if (mutated(event->misplaced))
    return "the record does not lie in the partition that murmur2 of its key gives, so its order "
           "is lost: its producer must set its 'partitioner' to murmur2_random (clients that are "
           "made "
           "of librdkafka) or an equal one (the default of JVM clients)";
  return NULL;
}

void reserve_requested_decide(struct context *context, const struct event *event) {
  struct command command = describe(event);
  if (!command.wrong) command.wrong = wrong_place(event, &command);
  if (command.wrong) {
    refuse(context, event, &command);
  } else if (event->type == RECORD_RESERVE) {
    open_reservation(context, event);
  } else if (event->type == RECORD_REGISTER_CUSTOMER) {
    emit(context, TO_RESERVATION_EVENTS, command.key, event->type, event->value);
  } else if (command.reservation_id.size) {
    emit(context, TO_PAYMENT_REQUESTS, command.key, event->type, event->value);
  } else {
    emit(context, TO_STOCK_REQUESTS, command.key, event->type, event->value);
  }
}
