/* Log lines on stderr, one each: time, level, who, text. Data never goes there, log lines never to
 * stdout. */
#ifndef HOLDFAST_BASE_LOGGING_H
#define HOLDFAST_BASE_LOGGING_H

enum log_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO, LEVEL_DEBUG };

/* `who` is borrowed for the life of the process. */
void logging_set(const char *who, enum log_level level);
void logging(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) logging(LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) logging(LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) logging(LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) logging(LEVEL_DEBUG, __VA_ARGS__)

#endif
