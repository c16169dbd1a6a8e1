/* The topics of a round, in the order of their reading. */
#include "auditor/internal.h"

const struct audit_source audit_topics[AUDIT_TOPIC_COUNT] = {
    [AUDIT_COMMANDS] = {"reservation-commands", .consumer = "reserve-requested"},
    [AUDIT_DEAD_LETTERS] = {"dead-letters"},
    [AUDIT_OPENINGS] = {"payment-results", .again = true},
    [AUDIT_LEDGER] = {"payment-requests", .consumer = "payment"},
    [AUDIT_STOCK] = {"stock-requests", .consumer = "stock-check"},
    [AUDIT_RESULTS] = {"payment-results", .consumer = "approved-failed"},
    [AUDIT_CHARGES] = {"charge-requests", .consumer = "charge"},
    [AUDIT_DEADLINES] = {"deadlines", .consumer = "deadline"},
    [AUDIT_OUTCOMES] = {"reservation-outcomes"},
    [AUDIT_EVENTS] = {"reservation-events", .consumer = "history"},
    [AUDIT_LEVELS] = {"stock-levels", .table = true},
    [AUDIT_HISTORY] = {"history-changelog", .table = true},
    [AUDIT_SOLD] = {"reservation-outcomes", .consumer = "tally", .again = true},
    [AUDIT_TALLIES] = {"option-tallies", .table = true},
    [AUDIT_STEPS] = {"reservation-events", .consumer = "notify", .again = true},
    [AUDIT_NOTICES] = {"notifications"},
};
