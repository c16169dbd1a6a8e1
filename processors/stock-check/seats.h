/* Named seats. A row of seats is a record of its own, so that a hold rewrites the rows it touches
 * and no other. */
#ifndef HOLDFAST_SEATS_H
#define HOLDFAST_SEATS_H

#include "runtime/contract/processor.h"
#include "gen/events.h"

#define SEATS_CHOSEN_MAX 100 /* seats found for a reservation; no more can be named either */

void seats_put(struct context *context, const struct seat_row *row);

/* NONE, UNKNOWN_SEAT, or SEAT_TAKEN. */
enum reason seats_check(struct context *context, const struct stock_level *item,
                        const struct str_list *seats);

/* The best `count` adjacent seats: of the first row (as they were registered) that has so many
 * beside each other, those nearest to its middle. Those that *seats names, which are free, are
 * among them; it becomes the whole list. NONE, NOT_ADJACENT where no row has them, or
 * OVER_LIMIT. */
enum reason seats_choose(struct context *context, const struct stock_level *item, int32_t count,
                         struct str_list *seats);

/* '.' free, 'x' not. */
void seats_mark(struct context *context, const struct stock_level *item,
                const struct str_list *seats, char mark);

#endif
