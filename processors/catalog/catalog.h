#ifndef HOLDFAST_CATALOG_H
#define HOLDFAST_CATALOG_H

#include "runtime/contract/processor.h"
#include "gen/events.h"

enum { ROW_ITEM, ROW_SEATS };

extern const struct row_kind catalog_rows[];
extern const struct route catalog_routes[];

void catalog_decide(struct context *context, const struct event *event);

#endif
