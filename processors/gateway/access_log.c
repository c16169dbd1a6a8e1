#include "access_log.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "runtime/base/arena.h"
#include "runtime/base/report.h"
#include "runtime/record/json.h"

#define BUFFER ((size_t)256 << 10)

struct access_log {
  const char *path;
  FILE *file;
  pthread_mutex_t lock;
};

static FILE *open_file(const char *path) {
  FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "ae");
  if (file) setvbuf(file, NULL, _IOFBF, BUFFER);
  return file;
}

struct access_log *access_log_open(const char *path, struct failure *failure) {
  FILE *file = open_file(path);
  if (!file) {
    failure_set(failure, EX_CANTCREAT, "--access-log %s: %s", path, strerror(errno));
    return NULL;
  }
  struct access_log *self = xcalloc(1, sizeof *self);
  *self = (struct access_log){.path = path, .file = file};
  pthread_mutex_init(&self->lock, NULL);
  return self;
}

static void time_text(char out[32]) {
  struct timespec now;
  struct tm day;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &day);
  size_t size = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &day);
  snprintf(out + size, 32 - size, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

void access_log_write(struct access_log *self, const struct access *access) {
  if (!self) return;
  char at[32];
  time_text(at);
  json_t *json = json_pack(
      "{s:s,s:s,s:o,s:i,s:f,s:o,s:s,s:o,s:o}", "at", at, "method", access->method, "path",
      json_text(str_of(access->path)), "status", access->status, "ms",
      (double)access->took_us / 1000, "caller", json_text(str_of(access->caller)), "address",
      access->address, "trace_id", json_text(access->trace_id), "about", json_text(access->about));
  char *line = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
  json_decref(json);
  pthread_mutex_lock(&self->lock);
  if (line) fprintf(self->file, "%s\n", line);
  pthread_mutex_unlock(&self->lock);
  free(line);
}

void access_log_flush(struct access_log *self) {
  if (!self) return;
  pthread_mutex_lock(&self->lock);
  fflush(self->file);
  pthread_mutex_unlock(&self->lock);
}

void access_log_again(struct access_log *self) {
  if (!self || self->file == stdout) return;
  FILE *file = open_file(self->path);
  if (!file) {
    report_warning("--access-log %s cannot be opened again: %s", self->path, strerror(errno));
    return;
  }
  pthread_mutex_lock(&self->lock);
  fclose(self->file);
  self->file = file;
  pthread_mutex_unlock(&self->lock);
}

void access_log_close(struct access_log *self) {
  if (!self) return;
  fflush(self->file);
  if (self->file != stdout) fclose(self->file);
  pthread_mutex_destroy(&self->lock);
  free(self);
}
