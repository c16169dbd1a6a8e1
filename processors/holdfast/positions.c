#include "positions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#define PARTITIONS_MAX 1024

bool position_time(const char *text, int64_t *out) {
  char *end;
  if (text[0] == '@') {
    *out = strtoll(text + 1, &end, 10);
    return text[1] && *end == '\0';
  }
  struct tm time = {0};
  const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &time);
  if (!rest || (strcmp(rest, "Z") != 0 && *rest)) return false;
  *out = (int64_t)timegm(&time) * 1000;
  return true;
}

static bool committed(struct kafka_admin *admin, const struct processor *processor,
                      int32_t partitions, int64_t *out, struct failure *failure) {
  static struct log_offset offsets[PARTITIONS_MAX];
  if (!kafka_admin_committed(admin, processor->name, processor->input, offsets, partitions,
                             failure))
    return false;
  for (int32_t p = 0; p < partitions; p++) {
    out[p] = offsets[p].offset;
    if (out[p] >= 0) continue;
    failure->exit_code = EX_CONFIG;
    snprintf(failure->text, sizeof failure->text,
             "the group '%s' has no committed offset for partition %" PRId32
             ": 'holdfast topics apply' makes the first",
             processor->name, p);
    return false;
  }
  return true;
}

static bool check_offset(struct kafka_admin *admin, const struct processor *processor, int32_t p,
                         int64_t offset, struct failure *failure) {
  int64_t first, end;
  if (!kafka_admin_bounds(admin, processor->input, p, &first, &end, failure)) return false;
  if (offset >= first && offset <= end) return true;
  failure->exit_code = EX_DATAERR;
  snprintf(failure->text, sizeof failure->text,
           "'%s' partition %" PRId32 " has the offsets %" PRId64 " to %" PRId64 ", not %" PRId64
           "%s",
           processor->input, p, first, end, offset, offset < first ? ": that is gone" : "");
  return false;
}

bool positions_of(struct kafka_admin *admin, const struct processor *processor, const char *where,
                  int32_t partitions, int32_t only, int64_t *out, struct failure *failure) {
  int64_t end, time;
  char *rest;
  if (partitions > PARTITIONS_MAX) partitions = PARTITIONS_MAX;
  if (strcmp(where, "committed") == 0) return committed(admin, processor, partitions, out, failure);
  if (position_time(where, &time))
    return kafka_admin_at_time(admin, processor->input, partitions, time, out, failure);
  int64_t offset = strtoll(where, &rest, 10);
  bool number = *where >= '0' && *where <= '9' && *rest == '\0';
  if (!number && strcmp(where, "beginning") != 0) {
    failure->exit_code = EX_USAGE;
    snprintf(failure->text, sizeof failure->text,
             "'%s' is neither beginning, committed, an offset nor a time like "
             "2026-11-21T14:00:00Z",
             where);
    return false;
  }
  for (int32_t p = 0; p < partitions; p++) {
    if (number && (only < 0 || only == p) && !check_offset(admin, processor, p, offset, failure))
      return false;
    out[p] = offset;
    if (!number && !kafka_admin_bounds(admin, processor->input, p, &out[p], &end, failure))
      return false;
  }
  return true;
}
