/* The main program of a filter: options, log, HTTP, the loop, and the way out. */
#ifndef HOLDFAST_MAIN_FILTER_MAIN_H
#define HOLDFAST_MAIN_FILTER_MAIN_H

#include "runtime/contract/processor.h"

extern const struct option_desc filter_options[];

/* Runs until SIGTERM or SIGINT and returns a code of sysexits(3). A second signal leaves at
 * once. */
int filter_main(const struct processor *processor, int argc, char **argv);

#endif
