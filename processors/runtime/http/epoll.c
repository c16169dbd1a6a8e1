/* libmicrohttpd 0.9.75 (MHD_epoll in daemon.c) asks epoll_wait for 128 events, and where it gets just
 * so many it waits again, with the same time-out, before it looks at them: if nothing else comes on
 * that thread, as with 128 clients that all wait for their answers, it waits for ever. This program's
 * own epoll_wait, which the library then calls, gives one less than it was asked for: so the second
 * waiting never comes, and what was left is had at the next call. */
#include <stddef.h>
#include <sys/epoll.h>

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout_ms) {
  return epoll_pwait(fd, events, most > 1 ? most - 1 : most, timeout_ms, NULL);
}
