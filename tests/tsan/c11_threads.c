/* For the build with ThreadSanitizer alone: C11's threads by those of POSIX.
 *
 * librdkafka uses <threads.h>, which gcc 12's ThreadSanitizer does not see: a thread that it has
 * not seen begin crashes in its allocator, and a lock that it has not seen orders nothing. What is
 * defined in the program comes before the C library's, for librdkafka too. glibc's own types are
 * those of POSIX in another name. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

static int result_of(int error) {
  return error == 0 ? thrd_success : error == ETIMEDOUT ? thrd_timedout : thrd_error;
}

struct start {
  thrd_start_t function;
  void *argument;
};

static void *run(void *user) {
  struct start start = *(struct start *)user;
  free(user);
  return (void *)(intptr_t)start.function(start.argument);
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *argument) {
  struct start *start = malloc(sizeof *start);
  if (!start) return thrd_nomem;
  *start = (struct start){function, argument};
  return result_of(pthread_create(thread, NULL, run, start));
}

int thrd_join(thrd_t thread, int *result) {
  void *value = NULL;
  int error = pthread_join(thread, &value);
  if (result) *result = (int)(intptr_t)value;
  return result_of(error);
}

static pthread_mutex_t *mutex_of(mtx_t *mutex) {
  return (pthread_mutex_t *)mutex;
}

static pthread_cond_t *condition_of(cnd_t *condition) {
  return (pthread_cond_t *)condition;
}

int mtx_init(mtx_t *mutex, int type) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  if (type & mtx_recursive) pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  int error = pthread_mutex_init(mutex_of(mutex), &attributes);
  pthread_mutexattr_destroy(&attributes);
  return result_of(error);
}

void mtx_destroy(mtx_t *mutex) {
  pthread_mutex_destroy(mutex_of(mutex));
}

int mtx_lock(mtx_t *mutex) {
  return result_of(pthread_mutex_lock(mutex_of(mutex)));
}

int mtx_unlock(mtx_t *mutex) {
  return result_of(pthread_mutex_unlock(mutex_of(mutex)));
}

int cnd_init(cnd_t *condition) {
  return result_of(pthread_cond_init(condition_of(condition), NULL));
}

void cnd_destroy(cnd_t *condition) {
  pthread_cond_destroy(condition_of(condition));
}

int cnd_signal(cnd_t *condition) {
  return result_of(pthread_cond_signal(condition_of(condition)));
}

int cnd_broadcast(cnd_t *condition) {
  return result_of(pthread_cond_broadcast(condition_of(condition)));
}

int cnd_wait(cnd_t *condition, mtx_t *mutex) {
  return result_of(pthread_cond_wait(condition_of(condition), mutex_of(mutex)));
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
  return result_of(pthread_cond_timedwait(condition_of(condition), mutex_of(mutex), until));
}
