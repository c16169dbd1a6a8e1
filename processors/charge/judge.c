#include "judge.h"

#include "answer.h"

/* The key is the idempotency key: a 200 repeats the provider's first answer, for ever. */
static enum call_result final_answer(struct str body) {
  struct str status = answer_member(body, STR("status"));
  return str_equal(status, STR("approved"))   ? CALL_APPROVED
         : str_equal(status, STR("declined")) ? CALL_DECLINED
                                              : CALL_LOST;
}

/* By these the provider, and whoever stands before it, says that it began nothing. Every other
 * status may be said by who has begun (408, 409, 5xx), knows the key already (409, 422), or cannot
 * tell what stands behind it (425, 429). */
static bool refused(long status) {
  static const long refusals[] = {400, 401, 403, 404, 405, 411, 413, 414, 415, 431, 503};
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    if (refusals[i] == status) return true;
  }
  return false;
}

/* The deliberately broken versions: silence says that no try was made, and an answer that it is
 * that of the only one. */
static struct call_answer mutated(struct call_answer answer) {
  if (MUTANT("silence-taken-for-not-made") && !answer.status) answer.tries = 0;
  if (MUTANT("resend-taken-for-not-made") && answer.tries > 1) answer.tries = 1;
  return answer;
}

enum call_result charge_judge(const struct call_answer *said) {
  const struct call_answer ended = mutated(*said), *answer = &ended;
  if (!answer->tries) return CALL_NOT_MADE;
  if (answer->status == 200) return final_answer(answer->body);
  /* The answer to a resend says nothing of the try before it. */
  return refused(answer->status) && answer->tries == 1 ? CALL_NOT_MADE : CALL_LOST;
}
