/* holdfast clock: the time of a filter's partitions, and the way back from a wrong one. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "commands.h"
#include "runtime/contract/processors.h"
#include "runtime/core/expiry.h"
#include "group.h"
#include "runtime/kafka/io.h"
#include "runtime/kafka/rewrite.h"
#include "positions.h"
#include "runtime/core/recovery.h"

#define PARTITIONS_MAX 256

static const struct option_desc clock_options[] = {
    {.name = "set",
     .metavar = "TIME",
     .value = "now",
     .help = "the latest that a partition's time is to be: now, or 2026-11-21T14:00:00Z"},
    {.name = "partition",
     .kind = OPTION_NUMBER,
     .metavar = "P",
     .value = "-1",
     .min = -1,
     .max = PARTITIONS_MAX - 1,
     .help = "this one alone; -1: all"},
    {.name = "apply",
     .kind = OPTION_FLAG,
     .help = "set back the times that are ahead of --set; without it nothing is changed"},
    GROUP_WAIT_OPTION,
    {0}};

static const struct usage usage = {
    "Shows the time of a filter's partitions, by which rows leave its store and openings are too "
    "old, and sets back a time\nthat a wrong clock has put ahead. A time that lags is harmless: it "
    "follows by itself, and is left as it is.\n\n"
    "With --apply the filter must be stopped. Its offsets stay, and its stores catch up. Rows "
    "that have gone meanwhile do\nnot come back, so refused commands stay refused; and "
    "a reset or a replay from before the wrong openings meets\nthem again.\n\n"
    "Usage: holdfast clock [option ...] FILTER",
    clock_options, true,
    "  holdfast clock payment\n  holdfast clock payment --apply\n  holdfast clock charge "
    "--partition 2 --set 2026-11-21T14:00:00Z --apply\n"};

struct job {
  const struct options *options;
  const struct processor *processor;
  struct kafka_admin *admin;
  struct codec *codec;
  struct arena arena;
  int32_t partitions;
  int64_t now, set;
  struct log_offset committed[PARTITIONS_MAX];
  struct commit_metadata metadata[PARTITIONS_MAX];
  struct expiry rows[PARTITIONS_MAX]; /* zeros: none yet */
  struct failure failure;
};

/* ---- what is there ---- */

static bool is_chosen(const struct job *job, int32_t partition) {
  int64_t only = options_number(job->options, "partition");
  return only < 0 || only == partition;
}

static bool is_ahead(const struct job *job, int32_t partition) {
  return is_chosen(job, partition) && job->rows[partition].latest > job->set;
}

static struct str state_key(char text[2]) {
  text[0] = expiry_rows[EXPIRY_ROW_STATE].prefix;
  text[1] = '-';
  return (struct str){text, 2};
}

static void take_row(void *user, int32_t partition, const struct message *record) {
  struct job *job = user;
  char error[CODEC_ERROR_SIZE], key[2];
  struct record row;
  if (!str_equal(record->key, state_key(key))) return;
  job->rows[partition] = (struct expiry){0};
  if (!record->value.data) return;
  if (codec_decode(job->codec, record->value, &job->arena, &row, error) &&
      row.type == RECORD_EXPIRY) {
    job->rows[partition] = *(const struct expiry *)row.value;
  } else {
    failure_set(&job->failure, EX_DATAERR, "the time of partition %" PRId32 " cannot be read",
                partition);
  }
  arena_reset(&job->arena);
}

static bool read_partition(struct job *job, int32_t p) {
  const struct processor *processor = job->processor;
  if (!commit_metadata_parse(job->committed[p].metadata, &job->metadata[p]))
    return failure_set(&job->failure, EX_CONFIG,
                       "the group '%s' has no committed offset of this pipeline for partition "
                       "%" PRId32,
                       processor->name, p);
  job->failure.text[0] = '\0';
  return kafka_read_up_to(job->options, processor->changelog, p,
                          job->metadata[p].last_changelog + 1, take_row, job, &job->failure) &&
         !job->failure.text[0];
}

static bool read_times(struct job *job) {
  const struct processor *processor = job->processor;
  job->partitions = kafka_admin_partitions(job->admin, processor->input, &job->failure);
  if (job->partitions < 0) return false;
  int64_t only = options_number(job->options, "partition");
  if (job->partitions <= only || job->partitions == 0 || job->partitions > PARTITIONS_MAX)
    return failure_set(&job->failure, EX_CONFIG, "'%s' has %" PRId32 " partitions",
                       processor->input, job->partitions);
  if (!kafka_admin_committed(job->admin, processor->name, processor->input, job->committed,
                             job->partitions, &job->failure))
    return false;
  for (int32_t p = 0; p < job->partitions; p++) {
    if (is_chosen(job, p) && !read_partition(job, p)) return false;
  }
  return true;
}

static void print_time(int64_t time) {
  char text[32];
  time_t seconds = (time_t)(time / 1000);
  struct tm utc;
  gmtime_r(&seconds, &utc);
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  printf("%s", text);
}

static void print_partition(const struct job *job, int32_t p) {
  const struct expiry *row = &job->rows[p];
  double days = (double)(row->latest - job->now) / 86400e3;
  printf("  %s-%" PRId32 ": ", job->processor->input, p);
  if (row->latest) {
    print_time(row->latest);
    printf(", %.1f days %s", days < 0 ? -days : days, days < 0 ? "behind" : "AHEAD");
  } else {
    printf("no time yet");
  }
  if (row->doubts) {
    printf(", %" PRId64 " openings in doubt, which agree on ", row->doubts);
    print_time(row->doubted);
  }
  printf(", %" PRId64 " records were too old%s\n", row->too_old,
         is_ahead(job, p) ? " -> is set back" : "");
}

static int print_times(const struct job *job) {
  int ahead = 0;
  printf("%s, now ", job->processor->name);
  print_time(job->now);
  putchar('\n');
  for (int32_t p = 0; p < job->partitions; p++) {
    if (!is_chosen(job, p)) continue;
    print_partition(job, p);
    ahead += is_ahead(job, p);
  }
  return ahead;
}

/* ---- setting it back ---- */

static bool put_row(struct job *job, struct kafka_rewrite *rewrite, int32_t p) {
  struct expiry row = job->rows[p];
  row.latest = job->set;
  row.doubts = row.doubted = row.doubted_from = 0;
  struct str bytes = codec_encode(job->codec, (struct record){RECORD_EXPIRY, &row}, &job->arena);
  char key[2];
  return kafka_rewrite_put(rewrite, job->processor->changelog, p, state_key(key), bytes,
                           &job->metadata[p].last_changelog, &job->failure);
}

/* The same offsets, behind which the state needs one more record of the changelog. */
static bool commit(struct job *job, struct kafka_rewrite *rewrite) {
  struct log_offset offsets[PARTITIONS_MAX];
  for (int32_t p = 0; p < job->partitions; p++) {
    offsets[p].offset = is_ahead(job, p) ? job->committed[p].offset : -1;
    snprintf(job->metadata[p].intent_id, sizeof job->metadata[p].intent_id, "-");
    commit_metadata_format(&job->metadata[p], offsets[p].metadata);
  }
  return group_has_left(job->admin, "clock", job->processor->name, 0, &job->failure) &&
         kafka_rewrite_commit(rewrite, job->processor->name, job->processor->input, offsets,
                              job->partitions, &job->failure);
}

static bool set_back(struct job *job) {
  char id[128];
  snprintf(id, sizeof id, "holdfast-clock-%s", job->processor->name);
  struct kafka_rewrite *rewrite =
      kafka_rewrite_begin(job->options, id, job->partitions, &job->failure);
  bool done = rewrite != NULL;
  for (int32_t p = 0; p < job->partitions && done; p++)
    done = !is_ahead(job, p) || put_row(job, rewrite, p);
  done = done && kafka_rewrite_settle(rewrite, &job->failure) && commit(job, rewrite);
  kafka_rewrite_end(rewrite);
  return done;
}

static bool run(struct job *job) {
  const struct options *options = job->options;
  bool applying = options_flag(options, "apply");
  job->now = clock_wall_ms();
  if (strcmp(options_text(options, "set"), "now") == 0) {
    job->set = job->now;
  } else if (!position_time(options_text(options, "set"), &job->set)) {
    return failure_set(&job->failure, EX_USAGE,
                       "--set is now, or a time like 2026-11-21T14:00:00Z");
  }
  job->admin = kafka_admin_open(options, &job->failure);
  if (!job->admin) return false;
  if (applying && !group_has_left(job->admin, "clock", job->processor->name,
                                  (int)options_number(options, "wait"), &job->failure))
    return false;
  if (!read_times(job)) return false;
  int ahead = print_times(job);
  if (!ahead) {
    printf("none is ahead: nothing is to be done\n");
  } else if (!applying) {
    printf("nothing was changed; --apply does it, while %s is stopped\n", job->processor->name);
  } else {
    if (!set_back(job)) return false;
    printf("done; start %s again: its stores catch up\n", job->processor->name);
  }
  return true;
}

static int of_filter(const struct options *options, const struct processor *processor) {
  static struct job job; /* too large for a stack */
  job = (struct job){
      .options = options, .processor = processor, .codec = codec_new(&holdfast_schemas)};
  job.failure.exit_code = EX_UNAVAILABLE;
  int code = EX_OK;
  if (!run(&job)) {
    fprintf(stderr, "holdfast clock: %s\n", job.failure.text);
    code = job.failure.exit_code;
  }
  kafka_admin_close(job.admin);
  codec_free(job.codec);
  arena_free(&job.arena);
  return code;
}

int clock_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    const struct processor *processor =
        options.argument_count == 1 ? processor_named(options.arguments[0]) : NULL;
    if (processor && expiry_is_used(processor)) {
      code = of_filter(&options, processor);
    } else {
      fprintf(stderr,
              "holdfast clock: name one filter whose partitions have a time (payment, "
              "stock-check, charge, history, notify, tally): %s has none\n",
              options.argument_count ? options.arguments[0] : "nothing");
      code = EX_USAGE;
    }
  }
  options_free(&options);
  return code;
}
