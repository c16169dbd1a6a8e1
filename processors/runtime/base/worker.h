/* A thread of its owner, with a lock and a condition that both share. What else they share are
 * fields of the owner, under the lock. */
#ifndef HOLDFAST_BASE_WORKER_H
#define HOLDFAST_BASE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WORKER_FOR_EVER INT64_MAX

struct worker {
  pthread_mutex_t lock;
  pthread_cond_t changed; /* by the monotonic clock */
  pthread_t thread;
  bool started;       /* the owner's */
  atomic_bool ending; /* set under the lock, and read without it too */
};

/* Without a thread yet: what they share can be used. */
void worker_init(struct worker *worker);

/* Begins run(user). name: 15 bytes at most, for top -H and profiles. Ends the process where there
 * is no memory for a thread. */
void worker_start(struct worker *worker, const char *name, void *(*run)(void *user), void *user);

void worker_lock(struct worker *worker);
void worker_unlock(struct worker *worker);

/* Whoever waits looks again. With the lock held, or what changed may be missed. */
void worker_wake(struct worker *worker);

/* With the lock held: until something changes, or may have; false once clock_monotonic_ms() is
 * until_ms. */
bool worker_wait(struct worker *worker, int64_t until_ms);

/* Without the lock: lets so much time go by; false at once where the thread is to end. */
bool worker_pause(struct worker *worker, int64_t ms);

/* Sets `ending` and wakes the thread, for an owner who has to wake it in another way too. */
void worker_tell_to_end(struct worker *worker);

/* The same, and waits until the thread has ended; the lock may be used on. Without a thread, or
 * again: nothing. */
void worker_end(struct worker *worker);

/* Ends it, and the lock. */
void worker_free(struct worker *worker);

#endif
