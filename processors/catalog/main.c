#include "catalog.h"

static const int accepts[] = {RECORD_STOCK_LEVEL, RECORD_SEAT_ROW, -1};

/* The keys are the table's: no prefix. */
const struct row_kind catalog_rows[] = {
    [ROW_ITEM] = {.name = "item", .type = RECORD_STOCK_LEVEL, .key = "item"},
    [ROW_SEATS] = {.name = "seats", .type = RECORD_SEAT_ROW, .key = "item, row"},
    {0}};

const struct processor catalog = {
    .name = "catalog",
    .summary = "the stock list",
    .input = "stock-levels",
    .accepts = accepts,
    .rows = catalog_rows,
    .input_is_changelog = true,
    .linger_ms = LINGER_MS,
    .decide = catalog_decide,
    .routes = catalog_routes,
};
