#include <stdlib.h>
#include <ucontext.h>

#include "runtime/base/arena.h"
#include "sim.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_SIZE ((size_t)512 * 1024)
#define SPARE_MAX 32

struct fiber {
  ucontext_t context, back;
  char *stack;
  void (*run)(void *user);
  void *user;
  bool ended;
  void *fake_stack, *back_fake_stack;
  const void *back_bottom;
  size_t back_size;
};

static struct fiber *current;
static char *spare[SPARE_MAX]; /* stacks for the next fibers */
static int spare_count;

static void leave(struct fiber *fiber) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(fiber->ended ? NULL : &fiber->fake_stack, fiber->back_bottom,
                                 fiber->back_size);
#endif
  swapcontext(&fiber->context, &fiber->back);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fiber->fake_stack, &fiber->back_bottom, &fiber->back_size);
#endif
}

static void entry(void) {
  struct fiber *fiber = current;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(NULL, &fiber->back_bottom, &fiber->back_size);
#endif
  fiber->run(fiber->user);
  fiber->ended = true;
  leave(fiber);
}

struct fiber *fiber_new(void (*run)(void *), void *user) {
  struct fiber *fiber = xcalloc(1, sizeof *fiber);
  fiber->stack = spare_count ? spare[--spare_count] : xmalloc(STACK_SIZE);
  fiber->run = run;
  fiber->user = user;
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack;
  fiber->context.uc_stack.ss_size = STACK_SIZE;
  makecontext(&fiber->context, entry, 0);
  return fiber;
}

void fiber_resume(struct fiber *fiber) {
  current = fiber;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&fiber->back_fake_stack, fiber->stack, STACK_SIZE);
#endif
  swapcontext(&fiber->back, &fiber->context);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fiber->back_fake_stack, NULL, NULL);
#endif
  current = NULL;
}

bool fiber_ended(const struct fiber *fiber) {
  return fiber->ended;
}

void fiber_yield(void) {
  leave(current);
}

void fiber_free(struct fiber *fiber) {
  if (spare_count < SPARE_MAX)
    spare[spare_count++] = fiber->stack;
  else
    free(fiber->stack);
  free(fiber);
}
