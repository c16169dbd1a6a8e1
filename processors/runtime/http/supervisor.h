/* Tells the supervisor that started this process how it is, by systemd's protocol (sd_notify(3)): a
 * datagram to $NOTIFY_SOCKET, which a service of Type=notify has. Without the variable nothing is
 * told. The protocol is stable, and its manual has it reimplemented rather than linked: libsystemd
 * would bring five libraries for one sendto.
 *
 * Until it is ready each word asks for another minute (EXTEND_TIMEOUT_USEC), so that a long restore
 * is no late start, and a loop that hangs is one; from then on it feeds the watchdog
 * (WATCHDOG_USEC, WatchdogSec= of the unit). Of one thread: the one that must not hang. */
#ifndef HOLDFAST_HTTP_SUPERVISOR_H
#define HOLDFAST_HTTP_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#define SUPERVISOR_WAITS_SIZE 256

struct supervisor {
  int socket; /* -1: nobody listens */
  int64_t every_ms, next_ms;
  bool ready;
  char waits[SUPERVISOR_WAITS_SIZE]; /* as told last */
};

/* A socket that cannot be reached is warned of, and nothing is told. */
void supervisor_open(struct supervisor *supervisor);

/* It is time for a word: cheap, for each turn of a loop. */
bool supervisor_is_due(const struct supervisor *supervisor);

/* waits: what it is not ready for, "" if it is. A process that was ready stays so for systemd, and
 * its status says what it waits for. */
void supervisor_tell(struct supervisor *supervisor, const char *waits);

/* It ends by itself from here on; the socket is closed. */
void supervisor_close(struct supervisor *supervisor);

#endif
