/* Stock: taken at the hold, at once, and given back exactly once. */
#include "stock-check.h"

#include "holds.h"
#include "items.h"

/* A hold or a receipt, by the prefix of its key. */
int64_t stock_check_opening(const struct event *event) {
  bool opens = event->type == RECORD_REQUEST_HOLD || event->type == RECORD_RECEIVE_STOCK;
  return opens ? event->time : 0;
}

static void want_hold(struct context *context, struct str item_id, struct str reservation_id,
                      int64_t content_hash) {
  row_want(context, hold_key(context, item_id, reservation_id, content_hash));
  row_want(context, item_key(context, item_id));
}

void stock_check_prefetch(struct context *context, const struct event *event) {
  const struct request_hold *request = as_request_hold(event);
  const struct confirm_hold *confirm = as_confirm_hold(event);
  const struct release_hold *release = as_release_hold(event);
  if (event->type == RECORD_REQUEST_HOLD) {
    want_hold(context, request->item_id, request->reservation_id, request->content_hash);
  } else if (event->type == RECORD_CONFIRM_HOLD) {
    want_hold(context, confirm->item_id, confirm->reservation_id, confirm->content_hash);
  } else if (event->type == RECORD_RELEASE_HOLD) {
    want_hold(context, release->item_id, release->reservation_id, release->content_hash);
  }
}

void stock_check_decide(struct context *context, const struct event *event) {
  switch (event->type) {
    case RECORD_REQUEST_HOLD: hold_request(context, event); break;
    case RECORD_CONFIRM_HOLD: hold_confirm(context, event); break;
    case RECORD_RELEASE_HOLD: hold_release(context, event); break;
    case RECORD_REGISTER_ITEM: item_register(context, event); break;
    case RECORD_RECEIVE_STOCK: item_receive(context, event); break;
    case RECORD_CLOSE_ITEM: item_close(context, event); break;
    default: break;
  }
}
