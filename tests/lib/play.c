#include "play.h"

void play(const char *processor, const struct line_of_play *steps, size_t count) {
  struct harness h;
  harness_open(&h, processor);
  int64_t time = 1000;
  for (size_t i = 0; i < count; i++) {
    time = steps[i].time ? steps[i].time : time + 1000;
    const char *out =
        steps[i].json ? harness_json(&h, time, steps[i].json) : harness_wait(&h, time);
    if (strcmp(out, steps[i].out) != 0)
      fail_msg("%s, step %zu %s: expected '%s', got '%s'", processor, i, steps[i].json,
               steps[i].out, out);
  }
  harness_close(&h);
}
