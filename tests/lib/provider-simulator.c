/* A payment provider for tests and the demo: idempotent by key, with books on disk, settable delay,
 * declines and failures, and a death at a chosen moment of a request. README.md beside it has its
 * HTTP interface, and what of it a real provider must offer. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <jansson.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define BODY_MAX 4096
#define LOST_MS 12000
#define PAGE_DEFAULT 1000
#define PAGE_MAX 10000

/* Of a PUT of a charge or a refund. */
enum moment { NEVER, BEFORE_READING, AFTER_READING, AFTER_BOOKS, MID_ANSWER, MOMENTS };
static const char *const moments[MOMENTS] = {"never", "before-reading", "after-reading",
                                             "after-books", "mid-answer"};

static struct {
  pthread_mutex_t lock;
  json_t *known;   /* path -> entry: {"key","kind","amount","customer","status","calls"} */
  json_t *entries; /* the same, as they came: a cursor is a place in it */
  int books;       /* a line for each call: the entry as it became. -1: none is kept */
  int delay_ms, jitter_ms;
  double decline, fail, lose;
  enum moment die;
  int die_after; /* the so-manieth request dies */
  unsigned seed;
  long calls, charges, refunds, declined, repeated, failed;
} provider = {.lock = PTHREAD_MUTEX_INITIALIZER, .books = -1, .seed = 1};

struct upload {
  char body[BODY_MAX];
  size_t size;
};

static double chance(void) {
  return (double)rand_r(&provider.seed) / ((double)RAND_MAX + 1.0);
}

static void wait_ms(int ms) {
  nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static void die(void) {
  kill(getpid(), SIGKILL);
}

static bool dies_at(enum moment moment) {
  pthread_mutex_lock(&provider.lock);
  bool dies = provider.die == moment && --provider.die_after <= 0;
  pthread_mutex_unlock(&provider.lock);
  return dies;
}

/* ---- settings ---- */

static bool set(const char *name, const json_t *value) {
  const struct {
    const char *name;
    int *number;
    double *share;
  } all[] = {{"delay_ms", &provider.delay_ms, NULL},   {"jitter_ms", &provider.jitter_ms, NULL},
             {"die_after", &provider.die_after, NULL}, {"decline", NULL, &provider.decline},
             {"fail", NULL, &provider.fail},           {"lose", NULL, &provider.lose}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (strcmp(all[i].name, name) != 0) continue;
    if (all[i].number) *all[i].number = (int)json_integer_value(value);
    if (all[i].share) *all[i].share = json_number_value(value);
    return json_is_number(value);
  }
  const char *text = json_string_value(value);
  for (int moment = 0; strcmp(name, "die") == 0 && text && moment < MOMENTS; moment++) {
    if (strcmp(moments[moment], text) != 0) continue;
    provider.die = (enum moment)moment;
    return true;
  }
  return false;
}

/* NULL: name is what cannot be set so. */
static json_t *settings(json_t *json, const char **name) {
  json_t *value;
  json_object_foreach(json, *name, value) {
    if (!set(*name, value)) return NULL;
  }
  return json_pack("{s:i,s:i,s:f,s:f,s:f,s:s,s:i}", "delay_ms", provider.delay_ms, "jitter_ms",
                   provider.jitter_ms, "decline", provider.decline, "fail", provider.fail, "lose",
                   provider.lose, "die", moments[provider.die], "die_after", provider.die_after);
}

/* ---- the books ---- */

static void count(const json_t *entry, long calls) {
  bool charge = strcmp(json_string_value(json_object_get(entry, "kind")), "charge") == 0;
  bool declined = strcmp(json_string_value(json_object_get(entry, "status")), "declined") == 0;
  *(declined ? &provider.declined : charge ? &provider.charges : &provider.refunds) += 1;
  provider.repeated += calls - 1;
  provider.calls += calls;
}

static json_t *known_entry(const char *kind, const char *key) {
  char path[BODY_MAX];
  snprintf(path, sizeof path, "/%ss/%s", kind, key);
  return json_object_get(provider.known, path);
}

static void add_entry(json_t *entry) {
  char path[BODY_MAX];
  snprintf(path, sizeof path, "/%ss/%s", json_string_value(json_object_get(entry, "kind")),
           json_string_value(json_object_get(entry, "key")));
  json_object_set(provider.known, path, entry);
  json_array_append_new(provider.entries, entry);
}

/* Before anybody is answered: a death after it destroys no evidence. */
static void write_down(const json_t *entry) {
  if (provider.books < 0) return;
  char *text = json_dumps(entry, JSON_COMPACT);
  size_t size = strlen(text);
  text[size++] = '\n'; /* in the place of its NUL: one write, so that no other's lies within it */
  if (write(provider.books, text, size) != (ssize_t)size) {
    perror("provider-simulator: the books cannot be written");
    _exit(EX_IOERR);
  }
  free(text);
}

static bool read_entry(const char *line) {
  json_t *entry = json_loads(line, 0, NULL);
  const char *key = json_string_value(json_object_get(entry, "key")),
             *kind = json_string_value(json_object_get(entry, "kind")),
             *status = json_string_value(json_object_get(entry, "status"));
  if (!key || !kind || !status) {
    json_decref(entry);
    return false;
  }
  json_t *known = known_entry(kind, key);
  if (known) {
    json_object_update(known, entry);
    json_decref(entry);
  } else {
    add_entry(entry);
  }
  return true;
}

/* The last line has no end where the process died in it: nobody was answered for it. */
static int open_books(const char *path) {
  FILE *file = fopen(path, "a+");
  if (!file) return perror(path), EX_CANTCREAT;
  char *line = NULL;
  size_t capacity = 0;
  off_t whole = 0;
  rewind(file);
  for (ssize_t size; (size = getline(&line, &capacity, file)) > 0 && line[size - 1] == '\n';) {
    whole += size;
    if (!read_entry(line))
      return fprintf(stderr, "provider-simulator: %s has a line that is no entry: %s", path, line),
             EX_DATAERR;
  }
  free(line);
  fclose(file);
  size_t index;
  json_t *entry;
  json_array_foreach(provider.entries, index, entry)
      count(entry, (long)json_integer_value(json_object_get(entry, "calls")));
  provider.books = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
  if (provider.books < 0 || ftruncate(provider.books, whole) != 0)
    return perror(path), EX_CANTCREAT;
  return EX_OK;
}

/* ---- answers ---- */

static enum MHD_Result send_off(struct MHD_Connection *connection, unsigned status,
                                struct MHD_Response *response) {
  MHD_add_response_header(response, "Content-Type", "application/json");
  enum MHD_Result result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result;
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, json_t *json) {
  char *text = json_dumps(json, JSON_COMPACT);
  json_decref(json);
  return send_off(connection, status,
                  MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE));
}

static enum MHD_Result reply_error(struct MHD_Connection *connection, unsigned status,
                                   const char *error) {
  return reply(connection, status, json_pack("{s:s}", "error", error));
}

static ssize_t half_of(void *text, uint64_t at, char *buffer, size_t size) {
  size_t half = strlen(text) / 2;
  if (at > 0) die(); /* the first half is out */
  if (half > size) half = size;
  memcpy(buffer, text, half);
  return (ssize_t)half;
}

static enum MHD_Result reply_half(struct MHD_Connection *connection, json_t *json) {
  char *text = json_dumps(json, JSON_COMPACT);
  json_decref(json);
  return send_off(connection, 200,
                  MHD_create_response_from_callback(strlen(text), BODY_MAX, half_of, text, free));
}

/* The answer to a key: the first one for ever. A new reference; NULL: the key is another
 * amount's. */
static json_t *answer_key(const char *path, const json_t *body) {
  json_t *amount = json_object_get(body, "amount"), *entry = json_object_get(provider.known, path);
  const char *customer = json_string_value(json_object_get(body, "customer"));
  if (entry) {
    if (!json_equal(json_object_get(entry, "amount"), amount)) return NULL;
    provider.repeated++;
    json_object_set_new(entry, "calls",
                        json_integer(json_integer_value(json_object_get(entry, "calls")) + 1));
  } else {
    bool charge = strncmp(path, "/charges/", 9) == 0;
    bool declined = charge && ((customer && strncmp(customer, "declined", 8) == 0) ||
                               chance() < provider.decline);
    *(declined ? &provider.declined : charge ? &provider.charges : &provider.refunds) += 1;
    entry = json_pack("{s:s,s:s,s:O,s:s?,s:s,s:i}", "key", path + 9, "kind",
                      charge ? "charge" : "refund", "amount", amount, "customer", customer,
                      "status", declined ? "declined" : "approved", "calls", 1);
    add_entry(entry);
  }
  write_down(entry);
  return json_deep_copy(entry);
}

static enum MHD_Result call(struct MHD_Connection *connection, const char *path,
                            const json_t *body) {
  if (!json_is_integer(json_object_get(body, "amount")))
    return reply_error(connection, 400, "needs an amount, in whole units");
  if (dies_at(AFTER_READING)) die();
  pthread_mutex_lock(&provider.lock);
  provider.calls++;
  int wait = provider.delay_ms + (provider.jitter_ms ? (int)(chance() * provider.jitter_ms) : 0);
  bool fail = chance() < provider.fail, lose = chance() < provider.lose;
  provider.failed += fail;
  json_t *answer = fail ? NULL : answer_key(path, body);
  pthread_mutex_unlock(&provider.lock);
  if (answer && dies_at(AFTER_BOOKS)) die();
  wait_ms(lose ? LOST_MS : wait);
  if (fail) return reply(connection, 503, json_pack("{s:s}", "status", "unavailable"));
  if (!answer) return reply_error(connection, 422, "the key belongs to another amount");
  return dies_at(MID_ANSWER) ? reply_half(connection, answer) : reply(connection, 200, answer);
}

/* {"charges":[...],"next":CURSOR,"more":true|false}. NULL: the cursor is none of ours. */
static json_t *page(const char *after, const char *limit) {
  char *end = NULL;
  unsigned long from = after ? strtoul(after, &end, 10) : 0, most = PAGE_DEFAULT;
  size_t all = json_array_size(provider.entries);
  if ((after && *end) || from > all) return NULL; /* an empty one is the beginning's */
  if (limit) most = strtoul(limit, NULL, 10);
  if (most < 1 || most > PAGE_MAX) most = PAGE_MAX;
  json_t *entries = json_array();
  unsigned long to = from;
  for (; to < all && to - from < most; to++)
    json_array_append_new(entries, json_deep_copy(json_array_get(provider.entries, to)));
  char next[32];
  snprintf(next, sizeof next, "%lu", to);
  return json_pack("{s:o,s:s,s:b}", "charges", entries, "next", next, "more", to < all);
}

static enum MHD_Result list(struct MHD_Connection *connection) {
  pthread_mutex_lock(&provider.lock);
  json_t *json = page(MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "after"),
                      MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "limit"));
  pthread_mutex_unlock(&provider.lock);
  return json ? reply(connection, 200, json)
              : reply_error(connection, 400, "'after' is no 'next' of a page");
}

static enum MHD_Result configure(struct MHD_Connection *connection, json_t *body) {
  const char *wrong = NULL;
  pthread_mutex_lock(&provider.lock);
  json_t *json = settings(body, &wrong);
  pthread_mutex_unlock(&provider.lock);
  return json ? reply(connection, 200, json) : reply_error(connection, 400, wrong);
}

static enum MHD_Result get(struct MHD_Connection *connection, const char *path) {
  json_t *json = NULL;
  pthread_mutex_lock(&provider.lock);
  if (strcmp(path, "/stats") == 0)
    json = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "calls", (json_int_t)provider.calls, "charges",
                     (json_int_t)provider.charges, "refunds", (json_int_t)provider.refunds,
                     "declined", (json_int_t)provider.declined, "repeated",
                     (json_int_t)provider.repeated, "failed", (json_int_t)provider.failed);
  else
    json = json_deep_copy(json_object_get(provider.known, path));
  pthread_mutex_unlock(&provider.lock);
  return json ? reply(connection, 200, json) : reply_error(connection, 404, "unknown");
}

static bool is_keyed(const char *path) {
  return strncmp(path, "/charges/", 9) == 0 || strncmp(path, "/refunds/", 9) == 0;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state) {
  (void)user;
  (void)version;
  struct upload *upload = *state;
  bool put = strcmp(method, "PUT") == 0;
  if (!upload) { /* the head is there, and nothing of the body has been read */
    if (put && is_keyed(path) && dies_at(BEFORE_READING)) die();
    *state = calloc(1, sizeof *upload);
    return *state ? MHD_YES : MHD_NO;
  }
  if (*size) {
    size_t take = *size < BODY_MAX - upload->size ? *size : BODY_MAX - upload->size;
    memcpy(upload->body + upload->size, data, take);
    upload->size += take;
    *size = 0;
    return MHD_YES;
  }
  if (!put) return strcmp(path, "/charges") == 0 ? list(connection) : get(connection, path);
  json_t *body = json_loadb(upload->body, upload->size, 0, NULL);
  enum MHD_Result result;
  if (!json_is_object(body))
    result = reply_error(connection, 400, "needs a JSON object");
  else if (is_keyed(path))
    result = call(connection, path, body);
  else if (strcmp(path, "/settings") == 0)
    result = configure(connection, body);
  else
    result = reply_error(connection, 404, "unknown");
  json_decref(body);
  return result;
}

static void completed(void *user, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode code) {
  (void)user;
  (void)connection;
  (void)code;
  free(*state);
}

/* ---- beginning and end ---- */

/* --delay-ms 400 is the setting delay_ms. */
static bool set_flag(const char *flag, const char *text) {
  char name[32];
  snprintf(name, sizeof name, "%s", strncmp(flag, "--", 2) == 0 ? flag + 2 : "");
  for (char *c = name; *c; c++) *c = *c == '-' ? '_' : *c;
  json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
  if (!value) value = json_string(text);
  bool taken = set(name, value);
  json_decref(value);
  return taken;
}

static int parse(int argc, char **argv, int *port) {
  for (int i = 1; i < argc; i += 2) {
    const char *flag = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
    int code = EX_OK;
    if (value && strcmp(flag, "--port") == 0)
      *port = atoi(value);
    else if (value && strcmp(flag, "--seed") == 0)
      provider.seed = (unsigned)atoi(value);
    else if (value && strcmp(flag, "--books") == 0)
      code = open_books(value);
    else if (!value || !set_flag(flag, value))
      return fprintf(stderr, "provider-simulator: '%s %s' cannot be set; see README.md\n", flag,
                     value ? value : ""),
             EX_USAGE;
    if (code != EX_OK) return code;
  }
  return EX_OK;
}

int main(int argc, char **argv) {
  int port = 8090;
  provider.known = json_object();
  provider.entries = json_array();
  int code = parse(argc, argv, &port);
  if (code != EX_OK) return code;
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((unsigned short)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct MHD_Daemon *daemon = MHD_start_daemon(
      MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL,
      handle, NULL, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_NOTIFY_COMPLETED,
      completed, NULL, MHD_OPTION_CONNECTION_LIMIT, 512, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1,
      MHD_OPTION_END);
  if (!daemon)
    return fprintf(stderr, "provider-simulator: cannot listen on port %d\n", port), EX_UNAVAILABLE;
  printf("%d\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
  fflush(stdout);
  int number;
  sigwait(&signals, &number);
  MHD_stop_daemon(daemon);
  json_decref(provider.known);
  json_decref(provider.entries);
  return 0;
}
