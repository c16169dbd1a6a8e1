#include "runtime/http/supervisor.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/report.h"

#define EVERY_MS 500

static void send_word(const struct supervisor *supervisor, const char *word) {
  if (supervisor->socket >= 0) send(supervisor->socket, word, strlen(word), MSG_NOSIGNAL);
}

/* An address that begins with @ is abstract. */
static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t size = strlen(path);
  if ((path[0] != '/' && path[0] != '@') || size >= sizeof address.sun_path) {
    errno = EINVAL;
    return -1;
  }
  memcpy(address.sun_path, path, size);
  if (path[0] == '@') address.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
  if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, length) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

/* Three words in the watchdog's time: one may be late, and one lost. */
static int64_t period_ms(void) {
  const char *pid = getenv("WATCHDOG_PID"), *usec = getenv("WATCHDOG_USEC");
  int64_t ms = usec && (!pid || atol(pid) == getpid()) ? atoll(usec) / 1000 / 3 : 0;
  return ms > 0 && ms < EVERY_MS ? ms : EVERY_MS;
}

void supervisor_open(struct supervisor *supervisor) {
  const char *path = getenv("NOTIFY_SOCKET");
  *supervisor = (struct supervisor){.socket = -1, .every_ms = period_ms()};
  if (!path || !path[0]) return;
  supervisor->socket = connect_to(path);
  if (supervisor->socket < 0)
    report_warning("cannot tell NOTIFY_SOCKET '%s' how it is: %s", path, strerror(errno));
}

bool supervisor_is_due(const struct supervisor *supervisor) {
  return supervisor->socket >= 0 && clock_monotonic_ms() >= supervisor->next_ms;
}

void supervisor_tell(struct supervisor *supervisor, const char *waits) {
  char word[SUPERVISOR_WAITS_SIZE + 64];
  supervisor->next_ms = clock_monotonic_ms() + supervisor->every_ms;
  if (!waits[0] && !supervisor->ready) {
    supervisor->ready = true;
    send_word(supervisor, "READY=1\nSTATUS=ready");
  } else if (strcmp(waits, supervisor->waits) != 0) {
    snprintf(word, sizeof word, "STATUS=%s", waits[0] ? waits : "ready");
    send_word(supervisor, word);
  }
  snprintf(supervisor->waits, sizeof supervisor->waits, "%s", waits);
  send_word(supervisor, supervisor->ready ? "WATCHDOG=1" : "EXTEND_TIMEOUT_USEC=60000000");
}

void supervisor_close(struct supervisor *supervisor) {
  send_word(supervisor, "STOPPING=1");
  if (supervisor->socket >= 0) close(supervisor->socket);
  supervisor->socket = -1;
}
