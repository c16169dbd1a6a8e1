/* One job at a time, on a thread of its own, which starts with the first. */
#ifndef HOLDFAST_BASE_BACKGROUND_H
#define HOLDFAST_BASE_BACKGROUND_H

struct background;

struct background *background_new(void);

/* Waits for the job before, begins this one, and returns. user must last until it has ended. From
 * one thread only. */
void background_run(struct background *background, void (*job)(void *user), void *user);

/* Until what was begun has ended. From any thread. */
void background_wait(struct background *background);

/* Waits, and ends the thread. NULL: nothing. */
void background_free(struct background *background);

#endif
