/* Rows that grow old: openings at their times, and the time of a partition that follows them. */
#ifndef HOLDFAST_TEST_AGING_H
#define HOLDFAST_TEST_AGING_H

#include "harness.h"
#include "runtime/contract/expiry.h"

#define DAY_MS (INT64_C(86400) * 1000)

/* ---- payment ---- */
const char *open_at(struct harness *h, int64_t time, const char *id);
const char *cancel_at(struct harness *h, int64_t time, const char *id);
void open_in_ledger(struct harness *h, int64_t time, const char *id);

/* Opened, and sold at once for nothing. */
void sell_at(struct harness *h, int64_t time, const char *id);

/* ---- history and notify ---- */
void requested_at(struct harness *h, int64_t time, const char *customer, const char *id);
void request_of_crowd(struct harness *h, int64_t time, const char *id);

/* Openings enough, sent by open(), for the next one at that time to be believed. */
void until(struct harness *h, int64_t time,
           void (*open)(struct harness *h, int64_t time, const char *id));

bool has_row(struct harness *h, const char *key);

#endif
