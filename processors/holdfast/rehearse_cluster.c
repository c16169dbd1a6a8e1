#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "rehearsal.h"
#include "runtime/base/clock.h"
#include "runtime/kafka/io.h"

#define CLOCK_TOPIC "rehearsal-clock"
#define CLOCK_APART_MS 2000
#define SEGMENT_MAX (16 << 20)

/* ---- settings ---- */

struct wish {
  const char *name;
  int64_t limit; /* at least so much, or at most; or text */
  bool at_most;
  const char *text;
  enum finding otherwise;
  const char *reason;
};

static const struct wish wishes[] = {
    {"transaction.max.timeout.ms", 10000, false, NULL, FINDING_FAILED,
     "filters ask for transactions of 10 s"},
    {"unclean.leader.election.enable", 0, false, "false", FINDING_WARNING,
     "a broker that is behind could lead, and records that were acknowledged would be lost"},
    {"default.replication.factor", 3, false, NULL, FINDING_WARNING,
     "topics are made with it: a broker that is lost takes records with it, or stops everything"},
    {"min.insync.replicas", 2, false, NULL, FINDING_WARNING,
     "a record could be acknowledged by one broker alone, and lost with it"},
    {"transaction.state.log.replication.factor", 3, false, NULL, FINDING_WARNING,
     "without transactions nothing goes on"},
    {"transaction.state.log.min.isr", 2, false, NULL, FINDING_WARNING,
     "an acknowledged commit could be lost with one broker"},
    {"offsets.topic.replication.factor", 3, false, NULL, FINDING_WARNING,
     "offsets that are lost must be made anew by hand"},
    {"offsets.retention.minutes", 10080, false, NULL, FINDING_WARNING,
     "a filter that is away for longer has no offsets, and does not guess them"},
    {"transaction.state.log.segment.bytes", SEGMENT_MAX, true, NULL, FINDING_WARNING,
     "a broker that comes back reads this log before transactions go on"},
    {"offsets.topic.segment.bytes", SEGMENT_MAX, true, NULL, FINDING_WARNING,
     "a broker that comes back reads this log before groups go on"},
};

static bool is_met(const struct wish *wish, const char *value) {
  if (wish->text) return strcmp(value, wish->text) == 0;
  int64_t number = atoll(value);
  return wish->at_most ? number <= wish->limit : number >= wish->limit;
}

void rehearse_settings(struct rehearsal *rehearsal) {
  for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
    const struct wish *wish = &wishes[i];
    char value[128], wanted[40];
    struct failure failure;
    snprintf(wanted, sizeof wanted, "at %s %" PRId64, wish->at_most ? "most" : "least",
             wish->limit);
    if (!kafka_admin_broker_setting(rehearsal->admin, wish->name, value, sizeof value, &failure))
      rehearsal_find(rehearsal, FINDING_WARNING, "%s", failure.text);
    else if (is_met(wish, value))
      rehearsal_find(rehearsal, FINDING_OK, "%s is %s", wish->name, value);
    else
      rehearsal_find(rehearsal, wish->otherwise, "%s is %s and should be %s: %s", wish->name, value,
                     wish->text ? wish->text : wanted, wish->reason);
  }
}

/* ---- clock ---- */

static void take_time(void *user, int32_t partition, const struct message *record) {
  (void)partition;
  *(int64_t *)user = record->timestamp;
}

static bool ask_time(struct rehearsal *rehearsal, int64_t *broker, struct failure *failure) {
  const struct kafka_setting settings[] = {{"message.timestamp.type", "LogAppendTime"},
                                           {NULL, NULL}};
  struct kafka_producer *producer = NULL;
  size_t delivered;
  bool asked =
      kafka_admin_create(rehearsal->admin, CLOCK_TOPIC, 1, settings, failure) &&
      (producer = kafka_producer_open(rehearsal->options, CLOCK_TOPIC, failure)) &&
      kafka_producer_send(producer, STR("what"), STR("time is it"), STR("rehearsal"), failure) &&
      kafka_producer_flush(producer, &delivered, failure);
  kafka_producer_close(producer);
  return asked &&
         kafka_read_up_to(rehearsal->options, CLOCK_TOPIC, 0, -1, take_time, broker, failure);
}

void rehearse_clock(struct rehearsal *rehearsal) {
  struct failure failure;
  int64_t before = clock_wall_ms(), broker = 0;
  if (!ask_time(rehearsal, &broker, &failure)) {
    rehearsal_find(rehearsal, FINDING_FAILED, "a record was not written or read: %s", failure.text);
    return;
  }
  int64_t after = clock_wall_ms();
  int64_t apart = broker < before ? broker - before : broker > after ? broker - after : 0;
  bool close = apart > -CLOCK_APART_MS && apart < CLOCK_APART_MS;
  rehearsal_find(rehearsal, close ? FINDING_OK : FINDING_WARNING,
                 "the broker's clock is %s%" PRId64 " ms from this machine's%s",
                 apart > 0 ? "+" : "", apart,
                 close ? "" : ": a hold's time is counted by them, so let NTP keep both");
}
