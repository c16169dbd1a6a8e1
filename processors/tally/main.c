#include "tally.h"

static const int accepts[] = {RECORD_RESERVATION_OUTCOME, -1};
static const struct output outputs[] = {
    [TO_OPTION_TALLIES] = {.topic = "option-tallies", .table = true},
    [TO_RESERVATION_EVENTS] = {.topic = "reservation-events"},
    {0}};

const struct processor tally = {
    .name = "tally",
    .summary = "counts what was sold, option by option",
    .input = "reservation-outcomes",
    .accepts = accepts,
    .outputs = outputs,
    .rows = tally_rows,
    .changelog = "tally-changelog",
    .opening = tally_opening,
    .linger_ms = LINGER_MS,
    .decide = tally_decide,
    .routes = tally_routes,
};
