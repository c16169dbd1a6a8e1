/* Every filter's binary: the build names its declaration. */
#include "filter_main.h"

extern const struct processor HOLDFAST_PROCESSOR;

int main(int argc, char **argv) {
  return filter_main(&HOLDFAST_PROCESSOR, argc, argv);
}
