/* Why something could not be done, for a supervisor and for people. */
#ifndef HOLDFAST_BASE_FAILURE_H
#define HOLDFAST_BASE_FAILURE_H

#include <stdbool.h>

struct failure {
  int exit_code; /* sysexits(3), for a supervisor */
  char text[512];
};

/* Sets the failure and returns false. */
bool failure_set(struct failure *failure, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
