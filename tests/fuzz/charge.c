/* What a call to the provider came to: tries, status, cut and body of its answer. */
#include "charge/judge.h"

#include <jansson.h>

#include "fuzz.h"

/* By these it was refused before anything was begun: the table of processors/charge/README.md. */
static bool says_refused(long status) {
  switch (status) {
    case 400:
    case 401:
    case 403:
    case 404:
    case 405:
    case 411:
    case 413:
    case 414:
    case 415:
    case 431:
    case 503: return true;
    default: return false;
  }
}

static bool is_final(enum call_result result) {
  return result == CALL_APPROVED || result == CALL_DECLINED;
}

/* Where the body is JSON, what it says is what jansson reads. */
static void agrees(struct str body, enum call_result result) {
  json_t *json = json_loadb(body.data, body.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
  const char *status = json_string_value(json_object_get(json, "status"));
  const char *judged = result == CALL_APPROVED ? "approved" : "declined";
  if (json && is_final(result)) must(status && strcmp(status, judged) == 0, "it says otherwise");
  json_decref(json);
}

/* What the beginning of a body says, the whole of it says too. */
static void keeps_its_word(struct call_answer answer, enum call_result whole) {
  const size_t size = answer.body.size, step = size / 64 + 1;
  answer.cut = true;
  for (answer.body.size = 0; answer.body.size < size; answer.body.size += step) {
    enum call_result part = charge_judge(&answer);
    must(part == whole || (part == CALL_LOST && is_final(whole)), "its beginning says otherwise");
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 4) return 0;
  struct call_answer answer = {.tries = data[0] % 4,
                               .status = (data[1] << 8 | data[2]) % 1000,
                               .cut = data[3] & 1,
                               .body = {(const char *)data + 4, size - 4}};
  enum call_result result = charge_judge(&answer);
  bool nothing_left = answer.tries == 0;
  must(!nothing_left || result == CALL_NOT_MADE, "no byte left, and it may have counted");
  must(
      result != CALL_NOT_MADE || nothing_left || (answer.tries == 1 && says_refused(answer.status)),
      "bytes left, and it is taken for not made");
  must(!is_final(result) || answer.status == 200, "final without a 200");
  if (answer.status == 200) agrees(answer.body, result);
  keeps_its_word(answer, result);
  return 0;
}
