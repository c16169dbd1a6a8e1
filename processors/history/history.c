/* The customers' view: each reservation with every step of it. The ledger numbers the steps; a
 * number that is not above the last is not new. */
#include "history.h"

#include "runtime/contract/status.h"

/* Of a timeline: the steps of a provider's long outage must not grow a row without end */
#define STEPS_MAX 100
#define REFUSALS_MAX 20

static struct str two_part_key(struct context *context, int kind, struct str a, struct str b) {
  return row_key(context, &history_rows[kind], (struct str[]){a, b}, 2);
}

static void add_step(struct context *context, struct reservation_view *view,
                     const struct timeline_step *step) {
  size_t kept = view->timeline.count < STEPS_MAX ? view->timeline.count : STEPS_MAX - 1;
  struct timeline_step *steps = scratch(context, (kept + 1) * sizeof *steps);
  /* The first step says when it was asked for: it stays, and the oldest of the others goes. */
  for (size_t i = 0; i < kept; i++)
    steps[i] = view->timeline.items[i == 0 ? 0 : view->timeline.count - kept + i];
  steps[kept] = *step;
  view->timeline.items = steps;
  view->timeline.count = kept + 1;
}

/* The deliberately broken version. */
static bool mutated(bool was_shown) {
  return was_shown && !MUTANT("view-ignores-revisions");
}

static void status_changed(struct context *context, const struct event *event) {
  const struct status_changed *changed = as_status_changed(event);
  struct str key =
      two_part_key(context, ROW_RESERVATION, changed->customer_id, changed->reservation_id);
  const struct reservation_view *known = row_get(context, &history_rows[ROW_RESERVATION], key);
  if (known && status_is_of_another(known->settled_at, changed)) known = NULL;
  if (mutated(known && changed->revision <= known->revision)) return;
  if (!known && expiry_has_gone(context, event->time, changed->opened_at))
    return; /* it was shown, and its row has gone */
  struct reservation_view view = {0};
  if (status_is_outcome(changed->status))
    view.settled_at = expiry_step_time(event->time, changed->opened_at);
  if (known) {
    view.timeline = known->timeline;
    view.tallied = known->tallied;
    view.tallied_revision = known->tallied_revision;
  }
  view.reservation_id = changed->reservation_id;
  view.customer_id = changed->customer_id;
  view.item_id = changed->item_id;
  view.content_hash = changed->content_hash;
  view.status = changed->status;
  view.reason = changed->reason;
  view.revision = changed->revision;
  view.quantity = changed->quantity;
  view.option = changed->option;
  view.amount = changed->amount;
  view.screen = changed->screen;
  view.seats = changed->seats;
  const struct timeline_step step = {.revision = changed->revision,
                                     .status = changed->status,
                                     .reason = changed->reason,
                                     .at = event->time,
                                     .until = changed->until,
                                     .payment = changed->payment};
  add_step(context, &view, &step);
  row_put(context, &history_rows[ROW_RESERVATION], key, &view);
  if (known && !known->refused) return;
  const struct reservation_owner owner = {.customer_id = changed->customer_id};
  row_put(context, &history_rows[ROW_OWNER],
          two_part_key(context, ROW_OWNER, changed->reservation_id, changed->customer_id), &owner);
}

static void tallied(struct context *context, const struct tallied *tallied) {
  struct str key =
      two_part_key(context, ROW_RESERVATION, tallied->customer_id, tallied->reservation_id);
  const struct reservation_view *known = row_get(context, &history_rows[ROW_RESERVATION], key);
  if (!known || tallied->revision <= known->tallied_revision) return;
  struct reservation_view view = *known;
  view.tallied = tallied->counted;
  view.tallied_revision = tallied->revision;
  row_put(context, &history_rows[ROW_RESERVATION], key, &view);
}

/* A Reserve under another's id began in this customer's list as REQUESTED, and ends there: it is
 * nobody's reservation. */
static void mark_refused(struct context *context, const struct event *event) {
  const struct command_refused *refused = as_command_refused(event);
  struct str key =
      two_part_key(context, ROW_RESERVATION, refused->sender_id, refused->reservation_id);
  const struct reservation_view *known = row_get(context, &history_rows[ROW_RESERVATION], key);
  if (!known || known->refused || known->revision != 0 ||
      known->content_hash != refused->content_hash)
    return;
  struct reservation_view view = *known;
  view.refused = true;
  view.settled_at = event->time;
  row_put(context, &history_rows[ROW_RESERVATION], key, &view);
  row_delete(context, &history_rows[ROW_OWNER],
             two_part_key(context, ROW_OWNER, refused->reservation_id, refused->sender_id));
}

/* By time, then by place. A place alone does not tell one from another: if the topic of commands
 * was made again, another command lies there, later. */
static int compare_steps(const struct refusal_step *a, const struct refusal_step *b) {
  if (a->at != b->at) return a->at < b->at ? -1 : 1;
  return str_compare(a->place, b->place);
}

/* Puts the step where it belongs among the last REFUSALS_MAX. They are the same ones in whatever
 * order the steps come: those of one customer come from many partitions, and a filter that was
 * reset says its own again. False: it is there, or was and has gone. */
static bool add_refusal(struct context *context, struct refusal_step_list *list,
                        const struct refusal_step *step) {
  size_t place = list->count;
  while (place > 0 && compare_steps(&list->items[place - 1], step) > 0) place--;
  if (place > 0 && step->place.size && compare_steps(&list->items[place - 1], step) == 0)
    return false;
  size_t drop = list->count == REFUSALS_MAX;
  if (drop > place) return false;
  struct refusal_step *steps = scratch(context, (list->count + 1) * sizeof *steps);
  if (place > drop) memcpy(steps, list->items + drop, (place - drop) * sizeof *steps);
  steps[place - drop] = *step;
  if (place < list->count)
    memcpy(steps + place - drop + 1, list->items + place, (list->count - place) * sizeof *steps);
  list->items = steps;
  list->count += 1 - drop;
  return true;
}

/* A sender who has not signed up: refusals to just anybody must not stay for ever. */
static bool is_stranger(const struct customer_view *view) {
  return view->name.size == 0;
}

static void command_refused(struct context *context, const struct event *event) {
  const struct command_refused *refused = as_command_refused(event);
  if (refused->refusal == REFUSAL_ID_REUSED || refused->refusal == REFUSAL_TOO_OLD)
    mark_refused(context, event);
  struct str key = row_key(context, &history_rows[ROW_CUSTOMER], &refused->sender_id, 1);
  const struct customer_view *known = row_get(context, &history_rows[ROW_CUSTOMER], key);
  struct customer_view view = known ? *known : (struct customer_view){.language = STR("en")};
  if (!known && expiry_has_gone(context, event->time, 0)) return; /* told, and its row has gone */
  const struct refusal_step step = {.at = event->time,
                                    .command = refused->command,
                                    .reservation_id = refused->reservation_id,
                                    .item_id = refused->item_id,
                                    .refusal = refused->refusal,
                                    .detail = refused->detail,
                                    .place = refused->place};
  if (!add_refusal(context, &view.refusals, &step)) return;
  if (is_stranger(&view) && view.settled_at < event->time) view.settled_at = event->time;
  row_put(context, &history_rows[ROW_CUSTOMER], key, &view);
}

static void register_customer(struct context *context, const struct register_customer *customer) {
  struct str key = row_key(context, &history_rows[ROW_CUSTOMER], &customer->customer_id, 1);
  const struct customer_view *known = row_get(context, &history_rows[ROW_CUSTOMER], key);
  struct customer_view view = known ? *known : (struct customer_view){0};
  view.name = customer->name;
  view.contact = customer->contact;
  view.language = customer->language;
  view.settled_at = 0;
  row_put(context, &history_rows[ROW_CUSTOMER], key, &view);
}

/* The row of the owner is found from the view's, and leaves with it. */
bool history_leave(struct context *context, const void *row) {
  const struct reservation_view *view = row;
  if (!view->refused)
    row_delete(context, &history_rows[ROW_OWNER],
               two_part_key(context, ROW_OWNER, view->reservation_id, view->customer_id));
  return true;
}

void history_prefetch(struct context *context, const struct event *event) {
  if (event->type != RECORD_STATUS_CHANGED) return;
  const struct status_changed *changed = as_status_changed(event);
  row_want(context,
           two_part_key(context, ROW_RESERVATION, changed->customer_id, changed->reservation_id));
}

void history_decide(struct context *context, const struct event *event) {
  if (event->type == RECORD_STATUS_CHANGED) {
    status_changed(context, event);
  } else if (event->type == RECORD_COMMAND_REFUSED) {
    command_refused(context, event);
  } else if (event->type == RECORD_TALLIED) {
    tallied(context, as_tallied(event));
  } else {
    register_customer(context, as_register_customer(event));
  }
}
