#include "runtime/base/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/base/clock.h"

void worker_init(struct worker *worker) {
  *worker = (struct worker){0};
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&worker->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&worker->lock, NULL);
}

void worker_start(struct worker *worker, const char *name, void *(*run)(void *user), void *user) {
  if (pthread_create(&worker->thread, NULL, run, user) != 0) abort();
  pthread_setname_np(worker->thread, name);
  worker->started = true;
}

void worker_lock(struct worker *worker) {
  pthread_mutex_lock(&worker->lock);
}

void worker_unlock(struct worker *worker) {
  pthread_mutex_unlock(&worker->lock);
}

void worker_wake(struct worker *worker) {
  pthread_cond_broadcast(&worker->changed);
}

bool worker_wait(struct worker *worker, int64_t until_ms) {
  if (until_ms == WORKER_FOR_EVER) return !pthread_cond_wait(&worker->changed, &worker->lock);
  struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
  return pthread_cond_timedwait(&worker->changed, &worker->lock, &until) != ETIMEDOUT;
}

bool worker_pause(struct worker *worker, int64_t ms) {
  int64_t until_ms = clock_monotonic_ms() + ms;
  worker_lock(worker);
  while (!worker->ending && worker_wait(worker, until_ms)) continue;
  worker_unlock(worker);
  return !worker->ending;
}

void worker_tell_to_end(struct worker *worker) {
  worker_lock(worker);
  worker->ending = true;
  worker_wake(worker);
  worker_unlock(worker);
}

void worker_end(struct worker *worker) {
  if (!worker->started) return;
  worker_tell_to_end(worker);
  pthread_join(worker->thread, NULL);
  worker->started = false;
}

void worker_free(struct worker *worker) {
  worker_end(worker);
  pthread_cond_destroy(&worker->changed);
  pthread_mutex_destroy(&worker->lock);
}
