#include "runtime/base/failure.h"

#include <stdarg.h>
#include <stdio.h>

bool failure_set(struct failure *failure, int exit_code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  failure->exit_code = exit_code;
  vsnprintf(failure->text, sizeof failure->text, format, arguments);
  va_end(arguments);
  return false;
}
