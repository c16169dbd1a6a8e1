#include "runtime/http/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "runtime/http/owners.h"
#include "runtime/contract/view.h"
#include "runtime/core/expiry.h"
#include "runtime/core/view_internal.h"
#include "runtime/kafka/certificate.h"

struct page {
  FILE *out;
  const char *filter;
};

static void head(const struct page *page, const char *name, const char *type, const char *help) {
  fprintf(page->out, "# HELP holdfast_%s %s\n# TYPE holdfast_%s %s\n", name, help, name, type);
}

static void put(const struct page *page, const char *name, const char *type, const char *help,
                double value) {
  head(page, name, type, help);
  fprintf(page->out, "holdfast_%s{filter=\"%s\"} %.17g\n", name, page->filter, value);
}

static double resident_bytes(void) {
  long pages = 0, ignored;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file && fscanf(file, "%ld %ld", &ignored, &pages) != 2) pages = 0;
  if (file) fclose(file);
  return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void) {
  struct timespec cpu;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  return (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
}

static void put_counts(const struct page *page, const struct metrics *m) {
  put(page, "records_total", "counter", "Input records decided.", (double)m->records);
  put(page, "outputs_total", "counter", "Records produced to other topics.", (double)m->outputs);
  put(page, "dead_letters_total", "counter", "Input records given to dead-letters.",
      (double)m->dead_letters);
  put(page, "due_rows_total", "counter", "Rows that came due.", (double)m->due_rows);
  put(page, "answers_total", "counter", "Answers of the outside world.", (double)m->answers);
  put(page, "changes_total", "counter", "Changelog and table records produced.",
      (double)m->changes);
  put(page, "transactions_total", "counter", "Transactions committed.", (double)m->transactions);
  put(page, "aborts_total", "counter", "Transactions aborted.", (double)m->aborts);
  put(page, "commit_seconds_total", "counter", "Time in batches from begin to promote.",
      (double)m->commit_microseconds / 1e6);
  put(page, "rebalances_total", "counter", "Assignments received.", (double)m->rebalances);
  put(page, "restored_records_total", "counter", "Changelog records read back.",
      (double)m->restored);
  put(page, "partitions_assigned", "gauge", "Input partitions this instance has.", m->assigned);
  put(page, "partitions_ready", "gauge", "Of those, how many are served.", m->ready);
  put(page, "lag_records", "gauge", "Input records that wait; -1: not known yet.", (double)m->lag);
  put(page, "lag_seconds", "gauge", "Age of the oldest input record that waits; -1: not known yet.",
      m->lag_ms < 0 ? -1 : (double)m->lag_ms / 1e3);
}

static void put_gauge(const struct page *page, struct view *view, const struct row_kind *rows,
                      const struct gauge *gauge) {
  int32_t ready[VIEW_PARTITIONS_MAX];
  size_t count = runtime_ready_partitions(view->runtime, ready, VIEW_PARTITIONS_MAX);
  const struct row_kind *kind = &rows[gauge->row];
  struct str part = str_of(gauge->key);
  head(page, gauge->name, "gauge", gauge->help);
  view->partition_count = 1;
  for (size_t i = 0; i < count; i++) {
    view->partitions = &ready[i];
    const void *row = view_get(view, kind, view_key(view, kind, &part, 1));
    fprintf(page->out, "holdfast_%s{filter=\"%s\",partition=\"%" PRId32 "\"} %" PRId64 "\n",
            gauge->name, page->filter, ready[i], row ? gauge->value(row) : 0);
  }
}

char *metrics_text(struct runtime *runtime, const struct processor *processor, struct codec *codec,
                   size_t *size) {
  char *text = NULL;
  const struct page page = {.out = open_memstream(&text, size), .filter = processor->name};
  if (!page.out) abort(); /* no memory */
  put_counts(&page, runtime_metrics(runtime));
  char first[256];
  put(&page, "stalled_partitions", "gauge",
      "Partitions that give nothing although records wait in them; /readyz names one.",
      (double)runtime_stalled(runtime, first, sizeof first));
  if (certificate_ends())
    put(&page, "certificate_expires_timestamp_seconds", "gauge",
        "When the certificate ends by which this process shows who it is.",
        (double)certificate_ends());
  put(&page, "process_resident_bytes", "gauge", "Resident memory.", resident_bytes());
  put(&page, "process_cpu_seconds_total", "counter", "CPU time.", cpu_seconds());
  struct arena arena = {0};
  struct view view = {.runtime = runtime, .codec = codec, .arena = &arena};
  for (const struct gauge *gauge = processor->gauges; gauge && gauge->name; gauge++)
    put_gauge(&page, &view, processor->rows, gauge);
  for (const struct gauge *gauge = expiry_gauges; expiry_is_used(processor) && gauge->name; gauge++)
    put_gauge(&page, &view, expiry_rows, gauge);
  arena_free(&arena);
  fclose(page.out);
  return text;
}
