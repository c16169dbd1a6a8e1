#include "tally.h"

const struct row_kind tally_rows[] = {
    [ROW_TALLY] = {.name = "tally",
                   .prefix = 't',
                   .type = RECORD_OPTION_TALLY,
                   .key = "item, option"},
    [ROW_ENTRY] = {.name = "entry",
                   .prefix = 'e',
                   .type = RECORD_TALLY_ENTRY,
                   .key = "item, reservation",
                   .settled_field = LONG_FIELD(struct tally_entry, settled_at)},
    {0}};
