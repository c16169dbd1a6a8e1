#include "runtime/base/background.h"

#include <stdlib.h>

#include "runtime/base/arena.h"
#include "runtime/base/worker.h"

struct background {
  struct worker worker;
  void (*job)(void *user); /* NULL: none is under way */
  void *user;
};

struct background *background_new(void) {
  struct background *background = xcalloc(1, sizeof *background);
  worker_init(&background->worker);
  return background;
}

static void *work(void *user) {
  struct background *background = user;
  struct worker *worker = &background->worker;
  worker_lock(worker);
  for (;;) {
    while (!background->job && !worker->ending) worker_wait(worker, WORKER_FOR_EVER);
    if (!background->job) break;
    worker_unlock(worker);
    background->job(background->user);
    worker_lock(worker);
    background->job = NULL;
    worker_wake(worker);
  }
  worker_unlock(worker);
  return NULL;
}

static void wait_locked(struct background *background) {
  while (background->job) worker_wait(&background->worker, WORKER_FOR_EVER);
}

void background_run(struct background *background, void (*job)(void *user), void *user) {
  struct worker *worker = &background->worker;
  if (!worker->started) worker_start(worker, "background", work, background);
  worker_lock(worker);
  wait_locked(background);
  background->job = job;
  background->user = user;
  worker_wake(worker);
  worker_unlock(worker);
}

void background_wait(struct background *background) {
  worker_lock(&background->worker);
  wait_locked(background);
  worker_unlock(&background->worker);
}

void background_free(struct background *background) {
  if (!background) return;
  worker_free(&background->worker);
  free(background);
}
