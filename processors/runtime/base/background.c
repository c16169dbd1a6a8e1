#include "runtime/base/background.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "runtime/base/arena.h"

struct background {
  pthread_t thread;
  bool started; /* of the thread that runs jobs only */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  void (*job)(void *user); /* NULL: none is under way */
  void *user;
  bool ending;
};

struct background *background_new(void) {
  struct background *background = xcalloc(1, sizeof *background);
  pthread_mutex_init(&background->lock, NULL);
  pthread_cond_init(&background->changed, NULL);
  return background;
}

static void *work(void *user) {
  struct background *background = user;
  pthread_setname_np(pthread_self(), "background"); /* for top -H and profiles */
  pthread_mutex_lock(&background->lock);
  for (;;) {
    while (!background->job && !background->ending)
      pthread_cond_wait(&background->changed, &background->lock);
    if (!background->job) break;
    pthread_mutex_unlock(&background->lock);
    background->job(background->user);
    pthread_mutex_lock(&background->lock);
    background->job = NULL;
    pthread_cond_broadcast(&background->changed);
  }
  pthread_mutex_unlock(&background->lock);
  return NULL;
}

static void wait_locked(struct background *background) {
  while (background->job) pthread_cond_wait(&background->changed, &background->lock);
}

void background_run(struct background *background, void (*job)(void *user), void *user) {
  if (!background->started && pthread_create(&background->thread, NULL, work, background) != 0)
    abort(); /* no memory for a thread */
  background->started = true;
  pthread_mutex_lock(&background->lock);
  wait_locked(background);
  background->job = job;
  background->user = user;
  pthread_cond_broadcast(&background->changed);
  pthread_mutex_unlock(&background->lock);
}

void background_wait(struct background *background) {
  pthread_mutex_lock(&background->lock);
  wait_locked(background);
  pthread_mutex_unlock(&background->lock);
}

void background_free(struct background *background) {
  if (!background) return;
  if (background->started) {
    pthread_mutex_lock(&background->lock);
    wait_locked(background);
    background->ending = true;
    pthread_cond_broadcast(&background->changed);
    pthread_mutex_unlock(&background->lock);
    pthread_join(background->thread, NULL);
  }
  pthread_cond_destroy(&background->changed);
  pthread_mutex_destroy(&background->lock);
  free(background);
}
