/* A sum of amounts that may be larger than 64 bits hold: one reservation may cost 10^18, and ten of
 * those are too many. It is e18 * 10^18 + rest, and 0 <= rest < 10^18: so rest alone is the sum as
 * long as that is an ordinary one, for whoever reads no further. */
#ifndef HOLDFAST_CONTRACT_MONEY_H
#define HOLDFAST_CONTRACT_MONEY_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#define MONEY_E18 INT64_C(1000000000000000000)
#define MONEY_TEXT_SIZE 48

/* Any amount, also a negative one; *rest may be larger where an earlier version wrote it. */
static inline void money_add(int64_t *e18, int64_t *rest, int64_t amount) {
  int64_t sum = *rest % MONEY_E18 + amount % MONEY_E18;
  int64_t carry = sum >= MONEY_E18 ? 1 : sum < 0 ? -1 : 0;
  *e18 += *rest / MONEY_E18 + amount / MONEY_E18 + carry;
  *rest = sum - carry * MONEY_E18;
}

/* In decimal digits; text has room for MONEY_TEXT_SIZE bytes. Returns text. */
static inline const char *money_text(int64_t e18, int64_t rest, char *text) {
  if (e18)
    snprintf(text, MONEY_TEXT_SIZE, "%" PRId64 "%018" PRId64, e18, rest);
  else
    snprintf(text, MONEY_TEXT_SIZE, "%" PRId64, rest);
  return text;
}

#endif
