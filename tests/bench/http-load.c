/* Sends HTTP requests on connections that stay open, and counts their answers.
 *
 * Usage: http-load PORT CONNECTIONS SECONDS RATE FILE
 *
 * FILE holds requests, one after another, each with its size before it (4 bytes, as this machine
 * has them); they are sent in turn, round about. RATE 0: each connection sends the next as soon as
 * it has its answer. Else so many a second come due, whether answers have come or not; a time is
 * that from the moment a request was due. Prints a line of JSON: answers, seconds, by status, and
 * microseconds at parts of the answers. One thread; answers must have a Content-Length. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX 65536
#define EVENTS 256
#define STATUS_MAX 600

struct connection {
  int socket;
  int64_t due; /* of the request that is on it, monotonic ns */
  size_t used;
  struct connection *next; /* of those that are free, in the order of their answers */
  char answer[ANSWER_MAX];
};

static struct {
  struct sockaddr_in to;
  char *requests;
  const char *request, *end;                /* the next one */
  int64_t interval, began, until, next_due; /* ns */
  struct connection *all, *free, **last_free;
  uint32_t *times; /* us */
  size_t answered, capacity, busy;
  size_t by_status[STATUS_MAX];
  int epoll, timer;
} load;

static void fail(const char *what) {
  fprintf(stderr, "http-load: %s: %s\n", what, strerror(errno));
  exit(EX_UNAVAILABLE);
}

static int64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * INT64_C(1000000000) + at.tv_nsec;
}

static void read_requests(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) fail(path);
  size_t size = (size_t)ftell(file);
  rewind(file);
  load.requests = malloc(size);
  if (!load.requests || fread(load.requests, 1, size, file) != size) fail(path);
  fclose(file);
  load.request = load.requests;
  load.end = load.requests + size;
}

/* To the end of the line: none lies idle until its server closes it. */
static void set_free(struct connection *one) {
  one->next = NULL;
  *load.last_free = one;
  load.last_free = &one->next;
}

static void open_connections(size_t count) {
  const int on = 1;
  load.epoll = epoll_create1(0);
  load.all = calloc(count, sizeof *load.all);
  load.last_free = &load.free;
  if (load.epoll < 0 || !load.all) fail("no memory");
  load.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, load.timer, &(struct epoll_event){.events = EPOLLIN}) !=
      0)
    fail("timer");
  for (size_t i = 0; i < count; i++) {
    struct connection *one = &load.all[i];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    one->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (one->socket < 0 || connect(one->socket, (struct sockaddr *)&load.to, sizeof load.to) != 0)
      fail("cannot connect");
    setsockopt(one->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fcntl(one->socket, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(load.epoll, EPOLL_CTL_ADD, one->socket, &event) != 0)
      fail("epoll");
    set_free(one);
  }
}

static void send_next(struct connection *one, int64_t due) {
  uint32_t size;
  memcpy(&size, load.request, sizeof size);
  const char *text = load.request + sizeof size;
  one->due = due;
  one->used = 0;
  if (send(one->socket, text, size, MSG_NOSIGNAL) != (ssize_t)size) fail("cannot send");
  load.request = text + size == load.end ? load.requests : text + size;
  load.busy++;
}

static void count(const struct connection *one, int status) {
  if (load.answered == load.capacity) {
    load.capacity = load.capacity ? 2 * load.capacity : 1 << 20;
    load.times = realloc(load.times, load.capacity * sizeof *load.times);
    if (!load.times) fail("no memory");
  }
  load.times[load.answered++] = (uint32_t)((now() - one->due) / 1000);
  load.by_status[status >= 0 && status < STATUS_MAX ? status : 0]++;
}

/* The size of the answer in whole; 0: its head is not there yet. */
static size_t size_of(const char *answer, size_t used) {
  static const char length[] = "\r\ncontent-length:";
  const char *head_end = memmem(answer, used, "\r\n\r\n", 4);
  if (!head_end) return 0;
  for (const char *at = answer; at < head_end; at++) {
    if (strncasecmp(at, length, sizeof length - 1) == 0)
      return (size_t)(head_end - answer) + 4 + strtoul(at + sizeof length - 1, NULL, 10);
  }
  errno = EPROTO;
  fail("an answer without Content-Length");
  return 0;
}

/* True: it is free again. */
static bool take_answer(struct connection *one) {
  ssize_t got = recv(one->socket, one->answer + one->used, ANSWER_MAX - 1 - one->used, 0);
  if (got < 0 && errno == EAGAIN) return false;
  if (got <= 0) fail("a connection was closed");
  one->used += (size_t)got;
  one->answer[one->used] = '\0';
  size_t size = size_of(one->answer, one->used);
  if (!size || one->used < size) return false;
  const char *status = memchr(one->answer, ' ', one->used);
  count(one, status ? atoi(status + 1) : 0);
  load.busy--;
  return true;
}

/* As many as are due and have a connection; the others wait for one. */
static void send_due(void) {
  while (load.free && load.next_due <= now() && load.next_due < load.until) {
    struct connection *one = load.free;
    load.free = one->next;
    if (!load.free) load.last_free = &load.free;
    send_next(one, load.interval ? load.next_due : now());
    load.next_due += load.interval;
  }
}

/* For the next that is due, where it has a connection; epoll's own time-outs are too coarse. */
static void wake_when_due(void) {
  if (!load.interval || !load.free || load.next_due >= load.until) return;
  const struct itimerspec at = {.it_value = {.tv_sec = load.next_due / INT64_C(1000000000),
                                             .tv_nsec = load.next_due % INT64_C(1000000000)}};
  if (timerfd_settime(load.timer, TFD_TIMER_ABSTIME, &at, NULL) != 0) fail("timer");
}

static void take_event(struct connection *one) {
  uint64_t expirations;
  if (!one) {
    if (read(load.timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN) fail("timer");
  } else if (take_answer(one)) {
    set_free(one);
  }
}

static void run(void) {
  struct epoll_event events[EVENTS];
  for (;;) {
    if (!load.interval) load.next_due = now();
    send_due();
    if (!load.busy && load.next_due >= load.until) return; /* what was due by then was sent */
    wake_when_due();
    int ready = epoll_wait(load.epoll, events, EVENTS, 1000);
    for (int i = 0; i < ready; i++) take_event(events[i].data.ptr);
  }
}

static int ascending(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a > b) - (a < b);
}

static void print(void) {
  static const double parts[] = {0.5, 0.9, 0.99, 0.999, 1};
  double seconds = (double)(now() - load.began) / 1e9;
  qsort(load.times, load.answered, sizeof *load.times, ascending);
  printf("{\"answers\": %zu, \"seconds\": %.3f, \"us\": {", load.answered, seconds);
  for (size_t i = 0; i < sizeof parts / sizeof *parts && load.answered; i++)
    printf("%s\"%g\": %u", i ? ", " : "", parts[i],
           load.times[(size_t)((double)(load.answered - 1) * parts[i])]);
  printf("}, \"statuses\": {");
  const char *before = "";
  for (size_t status = 0; status < STATUS_MAX; status++) {
    if (!load.by_status[status]) continue;
    printf("%s\"%zu\": %zu", before, status, load.by_status[status]);
    before = ", ";
  }
  printf("}}\n");
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: http-load PORT CONNECTIONS SECONDS RATE FILE\n");
    return EX_USAGE;
  }
  double rate = atof(argv[4]);
  load.to = (struct sockaddr_in){.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)atoi(argv[1])),
                                 .sin_addr = {htonl(INADDR_LOOPBACK)}};
  load.interval = rate > 0 ? (int64_t)(1e9 / rate) : 0;
  read_requests(argv[5]);
  open_connections((size_t)atoi(argv[2]));
  load.began = load.next_due = now();
  load.until = load.began + (int64_t)(atof(argv[3]) * 1e9);
  run();
  print();
  return EX_OK;
}
