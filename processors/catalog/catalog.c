/* The stock list: the rows are the table's records as they come, so the table is this view's
 * changelog. */
#include "catalog.h"

void catalog_decide(struct context *context, const struct event *event) {
  row_put(context, &catalog_rows[event->type == RECORD_STOCK_LEVEL ? ROW_ITEM : ROW_SEATS],
          event->key, event->value);
}
