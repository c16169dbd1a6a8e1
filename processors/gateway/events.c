#include "events.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "catch_up.h"
#include "event_text.h"
#include "runtime/base/clock.h"
#include "runtime/http/listener.h"

#define ENTRIES 16384
#define BYTES_MAX ((size_t)16 << 20)
#define BEAT_MS 15000
#define BLOCK 4096

static const char beat[] = ": still here\n\n";

/* An event in memory. */
struct entry {
  int32_t partition;
  int64_t offset;
  char *text; /* owned: the customer, then the event */
  size_t customer_size, size;
};

struct stream {
  struct events *events;
  struct MHD_Connection *connection;
  char *customer;                     /* owned; NULL: everybody */
  uint64_t next;                      /* number of the entry to look at */
  int64_t told[EVENT_PARTITIONS_MAX]; /* what lies before these was told already */
  struct catch_up *catch_up;          /* NULL: there was none */
  bool behind;                        /* what comes now is the catch-up's */
  const char *rest;                   /* of what was not sent yet; borrowed or in `held` */
  char *held;
  size_t rest_size;
  bool idle; /* suspended, until something comes */
  int64_t quiet_since;
  struct stream *before, *after;
};

struct events {
  const struct options *options;
  pthread_mutex_t lock;
  struct entry entries[ENTRIES];
  uint64_t first, next; /* numbers; an entry is at its number modulo ENTRIES */
  size_t bytes;
  int64_t start[EVENT_PARTITIONS_MAX], positions[EVENT_PARTITIONS_MAX]; /* of memory */
  int32_t partitions;                                                   /* 0: not known yet */
  struct stream *streams;
  bool ended;
};

static struct entry *entry_at(struct events *self, uint64_t number) {
  return &self->entries[number % ENTRIES];
}

/* ---- under the lock ---- */

static void drop_first(struct events *self) {
  struct entry *entry = entry_at(self, self->first++);
  self->start[entry->partition] = entry->offset + 1;
  self->bytes -= entry->customer_size + entry->size;
  free(entry->text);
  entry->text = NULL;
}

static bool is_for(const struct stream *stream, const struct entry *entry) {
  return !stream->customer || (strlen(stream->customer) == entry->customer_size &&
                               memcmp(stream->customer, entry->text, entry->customer_size) == 0);
}

static void wake(struct stream *stream) {
  if (!stream->idle) return;
  stream->idle = false;
  MHD_resume_connection(stream->connection);
}

static void tell(struct stream *stream, const char *text, size_t size, bool event) {
  int32_t partitions = stream->events->partitions;
  free(stream->held);
  stream->held = xmalloc(EVENT_ID_SIZE(partitions) + size);
  size_t id = event ? event_id_write(stream->held, stream->told, partitions) : 0;
  memcpy(stream->held + id, text, size);
  stream->rest = stream->held;
  stream->rest_size = id + size;
  stream->quiet_since = clock_monotonic_ms();
}

/* False: it has to wait. */
static bool find_next(struct stream *stream) {
  struct events *self = stream->events;
  while (stream->next < self->next) {
    const struct entry *entry = entry_at(self, stream->next++);
    if (entry->offset < stream->told[entry->partition]) continue;
    stream->told[entry->partition] = entry->offset + 1;
    if (!is_for(stream, entry)) continue;
    tell(stream, entry->text + entry->customer_size, entry->size, true);
    return true;
  }
  if (clock_monotonic_ms() < stream->quiet_since + BEAT_MS) return false;
  tell(stream, beat, sizeof beat - 1, false);
  return true;
}

/* ---- the stream, on a thread of the listener ---- */

static ssize_t give(struct stream *stream, char *out, size_t most) {
  size_t size = stream->rest_size < most ? stream->rest_size : most;
  memcpy(out, stream->rest, size);
  stream->rest += size;
  stream->rest_size -= size;
  return (ssize_t)size;
}

/* 0: the connection is suspended. */
static ssize_t read_stream(void *user, uint64_t position, char *out, size_t most) {
  (void)position;
  struct stream *stream = user;
  struct events *self = stream->events;
  ssize_t size = 0;
  pthread_mutex_lock(&self->lock);
  bool over = self->ended;
  if (!over && stream->behind) {
    size = (ssize_t)catch_up_take(stream->catch_up, out, most);
    stream->behind = size || !catch_up_is_over(stream->catch_up);
    over = !stream->behind && !catch_up_is_whole(stream->catch_up);
  }
  if (!stream->behind && !over) {
    over = stream->next < self->first; /* memory has moved on */
    if (!over && (stream->rest_size || find_next(stream))) size = give(stream, out, most);
  }
  if (!size && !over) {
    stream->idle = true;
    MHD_suspend_connection(stream->connection);
  }
  pthread_mutex_unlock(&self->lock);
  return over ? MHD_CONTENT_READER_END_OF_STREAM : size;
}

static void forget_stream(void *user) {
  struct stream *stream = user;
  struct events *self = stream->events;
  catch_up_end(stream->catch_up);
  pthread_mutex_lock(&self->lock);
  *(stream->before ? &stream->before->after : &self->streams) = stream->after;
  if (stream->after) stream->after->before = stream->before;
  pthread_mutex_unlock(&self->lock);
  free(stream->held);
  free(stream->customer);
  free(stream);
}

/* On the thread of the catch-up: there is more to send, or nothing more will come. */
static void on_caught(void *user) {
  struct stream *stream = user;
  pthread_mutex_lock(&stream->events->lock);
  wake(stream);
  pthread_mutex_unlock(&stream->events->lock);
}

/* ---- listening ---- */

static bool in_memory(const struct events *self, const int64_t *from) {
  for (int32_t p = 0; p < self->partitions; p++) {
    if (from[p] < self->start[p]) return false;
  }
  return true;
}

/* Under the lock: where the stream goes on. False: the request has its problem. */
static bool go_on(struct events *self, struct stream *stream, struct http_request *request,
                  const char *last) {
  if (!self->partitions || self->ended) {
    http_problem(request, 503, "Not ready", "the news of reservations are not read yet");
    return false;
  }
  memcpy(stream->told, self->positions, sizeof stream->told);
  stream->next = self->next;
  if (!last) return true;
  int64_t from[EVENT_PARTITIONS_MAX];
  if (!event_id_parse(last, from, self->partitions)) {
    http_problem(request, 400, "Bad Last-Event-ID", "it must be the id of an event of this stream");
    return false;
  }
  if (in_memory(self, from)) {
    memcpy(stream->told, from, sizeof stream->told);
    stream->next = self->first;
    return true;
  }
  const struct catch_up_task task = {.options = self->options,
                                     .customer = stream->customer,
                                     .from = from,
                                     .until = self->positions,
                                     .partitions = self->partitions,
                                     .changed = on_caught,
                                     .user = stream};
  for (int32_t p = 0; p < self->partitions; p++) { /* another instance may be ahead of this one */
    if (from[p] > stream->told[p]) stream->told[p] = from[p];
  }
  stream->catch_up = catch_up_begin(&task, request);
  stream->behind = true;
  return stream->catch_up != NULL;
}

bool events_listen(struct events *self, struct http_request *request, struct str customer,
                   const char *last) {
  struct stream *stream = xcalloc(1, sizeof *stream);
  stream->events = self;
  stream->connection = request->connection;
  stream->quiet_since = clock_monotonic_ms();
  if (customer.data) {
    stream->customer = xcalloc(1, customer.size + 1);
    memcpy(stream->customer, customer.data, customer.size);
  }
  pthread_mutex_lock(&self->lock);
  bool fine = go_on(self, stream, request, last);
  if (fine) {
    stream->after = self->streams;
    if (self->streams) self->streams->before = stream;
    self->streams = stream;
  }
  pthread_mutex_unlock(&self->lock);
  if (!fine) {
    free(stream->customer);
    free(stream);
    return false;
  }
  struct MHD_Response *response = MHD_create_response_from_callback(
      MHD_SIZE_UNKNOWN, BLOCK, read_stream, stream, forget_stream);
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
  for (size_t i = 0; i < request->header_count; i++)
    MHD_add_response_header(response, request->headers[i].name, request->headers[i].value);
  MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
  MHD_add_response_header(response, "X-Accel-Buffering", "no"); /* proxies pass it on at once */
  MHD_queue_response(request->connection, 200, response);
  MHD_destroy_response(response);
  return true;
}

/* ---- news ---- */

void events_begin(struct events *self, const int64_t *from, int32_t count) {
  pthread_mutex_lock(&self->lock);
  while (self->first < self->next) drop_first(self);
  self->first = ++self->next; /* past whoever listens */
  for (int32_t p = 0; p < count; p++) self->start[p] = self->positions[p] = from[p];
  self->partitions = count;
  for (struct stream *stream = self->streams; stream; stream = stream->after) wake(stream);
  pthread_mutex_unlock(&self->lock);
}

void events_push(struct events *self, int32_t partition, int64_t offset,
                 const struct status_changed *step) {
  pthread_mutex_lock(&self->lock);
  if (partition < self->partitions && offset >= self->positions[partition]) {
    self->positions[partition] = offset + 1;
    while (self->next - self->first == ENTRIES || (self->bytes > BYTES_MAX)) drop_first(self);
    struct entry *entry = entry_at(self, self->next++);
    *entry = (struct entry){
        .partition = partition, .offset = offset, .customer_size = step->customer_id.size};
    entry->text = event_text(step, &entry->size);
    self->bytes += entry->customer_size + entry->size;
    for (struct stream *stream = self->streams; stream; stream = stream->after) {
      if (stream->idle && !stream->behind && is_for(stream, entry)) wake(stream);
    }
  }
  pthread_mutex_unlock(&self->lock);
}

void events_tick(struct events *self, int64_t now) {
  pthread_mutex_lock(&self->lock);
  for (struct stream *stream = self->streams; stream; stream = stream->after) {
    if (now >= stream->quiet_since + BEAT_MS) wake(stream);
  }
  pthread_mutex_unlock(&self->lock);
}

/* ---- beginning and end ---- */

struct events *events_new(const struct options *options) {
  struct events *self = xcalloc(1, sizeof *self);
  self->options = options;
  pthread_mutex_init(&self->lock, NULL);
  return self;
}

void events_end(struct events *self) {
  pthread_mutex_lock(&self->lock);
  self->ended = true;
  for (struct stream *stream = self->streams; stream; stream = stream->after) wake(stream);
  pthread_mutex_unlock(&self->lock);
}

void events_free(struct events *self) {
  if (!self) return;
  while (self->first < self->next) drop_first(self);
  pthread_mutex_destroy(&self->lock);
  free(self);
}
