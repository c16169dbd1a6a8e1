/* Log lines on stderr, one each: time, level, who, text. Data never goes there, log lines never to
 * stdout. */
#ifndef HOLDFAST_BASE_LOGGING_H
#define HOLDFAST_BASE_LOGGING_H

enum report_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO, LEVEL_DEBUG };

/* `who` is borrowed for the life of the process. */
void report_as(const char *who, enum report_level level);
void report_line(enum report_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define report_error(...) report_line(LEVEL_ERROR, __VA_ARGS__)
#define report_warning(...) report_line(LEVEL_WARNING, __VA_ARGS__)
#define report_info(...) report_line(LEVEL_INFO, __VA_ARGS__)
#define report_debug(...) report_line(LEVEL_DEBUG, __VA_ARGS__)

#endif
