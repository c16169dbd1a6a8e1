/* Every filter's binary: the build names its declaration. */
#include "runtime/main/filter_main.h"

extern const struct processor HOLDFAST_PROCESSOR;

/* jemalloc(3), TUNING: one arena. librdkafka's threads allocate memory that ours free, and with an
 * arena for each thread the freed memory waits in one while another asks for more. */
extern const char *malloc_conf;
const char *malloc_conf = "narenas:1";

int main(int argc, char **argv) {
  return filter_main(&HOLDFAST_PROCESSOR, argc, argv);
}
