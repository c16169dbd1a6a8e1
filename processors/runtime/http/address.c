#include "runtime/http/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

_Static_assert(ADDRESS_TEXT_MAX == INET_ADDRSTRLEN, "an address has its size as text");

/* Of this machine, as the broker sees it: every user of the same broker reaches this one there, or
 * is on the same machine if that is a loopback address. A UDP socket that is connected sends
 * nothing; the kernel chooses the address that it would send from. False: there is no way. */
static bool address_towards(const char *host, const char *port, char out[ADDRESS_TEXT_MAX]) {
  const struct addrinfo wanted = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM};
  struct addrinfo *found = NULL;
  struct sockaddr_in own;
  socklen_t size = sizeof own;
  if (getaddrinfo(host, port, &wanted, &found) != 0) return false;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  bool fine = fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0 &&
              getsockname(fd, (struct sockaddr *)&own, &size) == 0 &&
              inet_ntop(AF_INET, &own.sin_addr, out, ADDRESS_TEXT_MAX);
  if (fd >= 0) close(fd);
  freeaddrinfo(found);
  return fine;
}

static const char *brokers_of(const struct options *options) {
  for (size_t i = 0; i < options->kafka_count; i++) {
    const struct kafka_property *property = &options->kafka[i];
    if (strcmp(property->name, "bootstrap.servers") == 0 ||
        strcmp(property->name, "metadata.broker.list") == 0)
      return property->value;
  }
  return options_text(options, "brokers");
}

bool address_of_this(const char *listening, const struct options *options,
                     char out[ADDRESS_TEXT_MAX], struct failure *failure) {
  const char *brokers = brokers_of(options);
  snprintf(out, ADDRESS_TEXT_MAX, "%s", listening);
  if (strcmp(out, "0.0.0.0") != 0) return true;
  char *copy = xstrdup(brokers), *rest = NULL;
  bool found = false;
  for (char *one = strtok_r(copy, ", ", &rest); one && !found; one = strtok_r(NULL, ", ", &rest)) {
    char *host = strstr(one, "://") ? strstr(one, "://") + 3 : one, *colon = strrchr(host, ':');
    if (colon) *colon = '\0';
    found = address_towards(host, colon ? colon + 1 : "9092", out);
  }
  free(copy);
  return found || failure_set(failure, EX_UNAVAILABLE,
                              "cannot find the address at which other instances reach this one, as "
                              "there is no way to the brokers '%s': name it with --peers ADDR:PORT",
                              brokers);
}
