/* The result of a call to the provider. Pure: it sees the answer alone, so that a simulated
 * connection is judged as a real one is. The provider's contract is the table of README.md. */
#ifndef HOLDFAST_CHARGE_JUDGE_H
#define HOLDFAST_CHARGE_JUDGE_H

#include "runtime/contract/calls.h"
#include "charge.h"

/* APPROVED, DECLINED, NOT_MADE or LOST; whether it was slow is not said. */
enum call_result charge_judge(const struct call_answer *answer);

#endif
