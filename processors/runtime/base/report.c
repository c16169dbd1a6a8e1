#include "runtime/base/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static const char *name = "holdfast";
static enum report_level threshold = LEVEL_INFO;

void report_as(const char *who, enum report_level level) {
  name = who;
  threshold = level;
}

void report_line(enum report_level level, const char *format, ...) {
  static const char *const levels[] = {"error", "warning", "info", "debug"};
  if (level > threshold) return;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  struct tm utc;
  gmtime_r(&now.tv_sec, &utc);
  char line[1200];
  size_t used = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
  used += (size_t)snprintf(line + used, sizeof line - used,
                           ".%03ldZ %s %s: ", now.tv_nsec / 1000000, levels[level], name);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line + used, sizeof line - used, format, arguments);
  va_end(arguments);
  for (char *c = line; *c; c++) {
    if (*c == '\n') *c = ' ';
  }
  fprintf(stderr, "%s\n", line); /* one write, so that lines of several threads do not mix */
}
