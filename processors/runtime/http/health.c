#include "runtime/http/health.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/http/listener.h"
#include "runtime/base/report.h"
#include "runtime/http/metrics.h"
#include "runtime/base/options.h"

#define THREADS 1
#define STILL_S 60 /* a loop that has not turned for so long is not alive */

struct health {
  struct listener *listener;
  struct runtime *runtime;
  const struct processor *processor;
  struct codec *codec; /* of the listener's thread */
  int64_t ready_lag;
};

bool health_is_alive(struct runtime *runtime) {
  return clock_monotonic_s() - atomic_load(&runtime_metrics(runtime)->turned_at) < STILL_S;
}

static void livez(struct health *self, struct http_request *request) {
  if (health_is_alive(self->runtime)) {
    request->body = json_pack("{s:s}", "status", "alive");
  } else {
    http_problem(request, 503, "Stalled", "the filter's loop has not turned for a minute");
  }
}

void health_waits_for(struct runtime *runtime, int64_t ready_lag, char *out, size_t size) {
  int64_t lag = atomic_load(&runtime_metrics(runtime)->lag);
  runtime_waits_for(runtime, out, size);
  if (!out[0]) runtime_stalled(runtime, out, size);
  if (!out[0] && lag > ready_lag) {
    snprintf(out, size,
             "working off a lag of %" PRId64 " records, more than the %" PRId64 " of --ready-lag",
             lag, ready_lag);
  }
}

static void readyz(struct health *self, struct http_request *request) {
  char waits[256];
  health_waits_for(self->runtime, self->ready_lag, waits, sizeof waits);
  if (waits[0]) {
    http_problem(request, 503, "Not ready", waits);
  } else {
    request->body = json_pack("{s:s,s:I}", "status", "ready", "lag",
                              (json_int_t)atomic_load(&runtime_metrics(self->runtime)->lag));
  }
}

static enum MHD_Result send_metrics(struct health *self, const struct http_request *request) {
  size_t size;
  char *text = metrics_text(self->runtime, self->processor, self->codec, &size);
  enum MHD_Result result = listener_send_text(request, "text/plain; version=0.0.4", text, size);
  free(text);
  return result;
}

static enum MHD_Result answer(void *user, const char *path, struct http_request *request,
                              void **state) {
  (void)state;
  struct health *self = user;
  if (strcmp(path, "/metrics") == 0) return send_metrics(self, request);
  if (strcmp(path, "/livez") == 0) {
    livez(self, request);
  } else if (strcmp(path, "/readyz") == 0) {
    readyz(self, request);
  } else {
    http_problem(request, 404, "Not found",
                 "here are /livez, /readyz and /metrics; a view answers its questions at --http");
  }
  return listener_send_json(request);
}

struct health *health_start(const struct options *options, struct runtime *runtime,
                            const struct processor *processor, struct failure *failure) {
  struct health *self = xcalloc(1, sizeof *self);
  *self = (struct health){.runtime = runtime,
                          .processor = processor,
                          .codec = codec_new(&holdfast_schemas),
                          .ready_lag = options_number(options, "ready-lag")};
  self->listener = listener_open("health", options_text(options, "health"), failure);
  if (self->listener &&
      listener_serve(self->listener, &listener_questions, THREADS, answer, NULL, self, failure)) {
    report_info("listening for probes on port %" PRIu16, listener_port(self->listener));
    return self;
  }
  health_stop(self);
  return NULL;
}

void health_stop(struct health *self) {
  if (!self) return;
  listener_close(self->listener);
  codec_free(self->codec);
  free(self);
}
