/* holdfast reset: a filter does its work again, from an earlier place of its input. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "runtime/base/clock.h"
#include "commands.h"
#include "runtime/contract/expiry.h"
#include "runtime/contract/processors.h"
#include "group.h"
#include "positions.h"
#include "reset.h"
#include "shadow.h"
#include "spill.h"

static const struct option_desc reset_options[] = {
    {.name = "to",
     .metavar = "WHERE",
     .value = "beginning",
     .help = "beginning, an offset of the input, or a time (2026-11-21T14:00:00Z)"},
    {.name = "apply", .kind = OPTION_FLAG, .help = "do it; without it the plan is printed"},
    {.name = "accept-loss",
     .kind = OPTION_FLAG,
     .help = "go on where it stands, with the rows and records that damaged topics still have"},
    GROUP_WAIT_OPTION,
    {.name = "spill-dir",
     .metavar = "DIR",
     .value = "/tmp",
     .help = "directory in which the state of that place is made"},
    {0}};

static const struct usage usage = {
    "Sets a filter back, so that it does its work again from an earlier place: its offsets under a "
    "new epoch and its changelog,\nin one transaction. Older stores see the epoch and rebuild. "
    "Its repeated records have no second effect anywhere.\nThe filter must be stopped.\n\n"
    "The rows of a filter that calls the world (charge) are the world's answers: they stay.\n\n"
    "With --accept-loss it does nothing again, for topics that were deleted, made again or "
    "trimmed: "
    "its rows become those\nthat its changelog still has, and it goes on where it stood, or at the "
    "first record of an input that does not have that\nplace. Facts that only the lost records "
    "held are forgotten.\n\n"
    "Usage: holdfast reset [option ...] FILTER",
    reset_options, true,
    "  holdfast reset history\n  holdfast reset history --apply\n  holdfast reset stock-check --to "
    "2026-11-21T14:00:00Z --apply\n"
    "  holdfast reset --accept-loss stock-check --apply\n"};

/* ---- what is there ---- */

static const char *changelog_of(const struct processor *processor) {
  return processor->input_is_changelog ? processor->input : processor->changelog;
}

static bool find_partition(struct reset *reset, int32_t p) {
  const struct processor *processor = reset->processor;
  struct commit_metadata *metadata = &reset->metadata[p];
  bool ours = commit_metadata_parse(reset->committed[p].metadata, metadata);
  if (!ours && !reset->accept_loss)
    return failure_set(
        &reset->failure, EX_CONFIG,
        "the group '%s' has no committed offset of this pipeline for partition %" PRId32
        ": if its input was deleted and made again, see --accept-loss",
        processor->name, p);
  if (!ours) *metadata = (struct commit_metadata){.last_changelog = -1};
  if (metadata->epoch > reset->epoch) reset->epoch = metadata->epoch;
  struct bounds *changelog = &reset->changelog[p];
  if (!kafka_admin_bounds(reset->admin, processor->input, p, &reset->first[p], &reset->end[p],
                          &reset->failure) ||
      (changelog_of(processor) &&
       !kafka_admin_bounds(reset->admin, changelog_of(processor), p, &changelog->first,
                           &changelog->end, &reset->failure)))
    return false;
  bool whole = ours && metadata->last_changelog < changelog->end;
  reset->last[p] =
      whole || !changelog_of(processor) ? metadata->last_changelog : changelog->end - 1;
  int64_t committed = reset->committed[p].offset;
  bool there = committed >= reset->first[p] && committed <= reset->end[p];
  if (reset->accept_loss)
    reset->to[p] = there ? committed : reset->first[p];
  else if (there && reset->to[p] > committed)
    reset->to[p] = committed;
  return true;
}

static bool find_offsets(struct reset *reset) {
  const struct processor *processor = reset->processor;
  reset->partitions = kafka_admin_partitions(reset->admin, processor->input, &reset->failure);
  if (reset->partitions < 0) return false;
  if (reset->partitions == 0 || reset->partitions > RESET_PARTITIONS_MAX)
    return failure_set(&reset->failure, EX_CONFIG,
                       "'%s' does not exist, or has more than %d partitions", processor->input,
                       RESET_PARTITIONS_MAX);
  if (!kafka_admin_committed(reset->admin, processor->name, processor->input, reset->committed,
                             reset->partitions, &reset->failure) ||
      !positions_of(reset->admin, processor, options_text(reset->options, "to"), reset->partitions,
                    -1, reset->to, &reset->failure))
    return false;
  reset->epoch = 0;
  for (int32_t p = 0; p < reset->partitions; p++) {
    if (!find_partition(reset, p)) return false;
  }
  /* Offsets that went with their topic took the epoch with them: a clock is ahead of any. */
  if (reset->epoch == 0) reset->epoch = clock_wall_ms() / 1000;
  return kafka_admin_at_time(reset->admin, processor->input, reset->partitions,
                             clock_wall_ms() - EXPIRY_WINDOW_MS, reset->remembered,
                             &reset->failure);
}

/* The changelog has what was committed. */
static bool has_rows(const struct reset *reset, int32_t p) {
  return reset->metadata[p].last_changelog < reset->changelog[p].end &&
         reset->metadata[p].first_changelog >= reset->changelog[p].first;
}

static bool is_possible_in(struct reset *reset, int32_t p) {
  const struct processor *processor = reset->processor;
  const char *why = shadow_refuses(processor);
  bool from_input = processor->rows && !processor->input_is_changelog && !processor->world;
  if (from_input && reset->first[p] > 0)
    return failure_set(&reset->failure, EX_DATAERR,
                       "'%s' partition %" PRId32 " begins at offset %" PRId64
                       ": the state cannot be made again from the rest; see --accept-loss",
                       processor->input, p, reset->first[p]);
  if (from_input && reset->committed[p].offset > reset->end[p])
    return failure_set(
        &reset->failure, EX_DATAERR,
        "'%s' partition %" PRId32 " ends at %" PRId64 " and '%s' had read to %" PRId64
        ": it is not the topic that its rows were made of; see --accept-loss",
        processor->input, p, reset->end[p], processor->name, reset->committed[p].offset);
  if (processor->world && processor->rows && !has_rows(reset, p))
    return failure_set(&reset->failure, EX_DATAERR,
                       "'%s' has lost rows of partition %" PRId32
                       ", and they are the world's answers: no input makes them again; see "
                       "--accept-loss",
                       processor->changelog, p);
  if (why && !processor->world && reset->to[p] != reset->first[p])
    return failure_set(&reset->failure, EX_USAGE, "'%s' can only be reset to the beginning: %s",
                       processor->name, why);
  return true;
}

static bool is_possible(struct reset *reset) {
  if (reset->accept_loss && options_given(reset->options, "to"))
    return failure_set(&reset->failure, EX_USAGE,
                       "--accept-loss goes on where the filter stands: it takes no --to");
  for (int32_t p = 0; p < reset->partitions; p++) {
    if (!reset->accept_loss && !is_possible_in(reset, p)) return false;
  }
  return true;
}

static bool members_have_left(struct reset *reset, int patience_s) {
  return group_has_left(reset->admin, "reset", reset->processor->name, patience_s, &reset->failure);
}

/* ---- doing it ---- */

/* To other filters a record that they have forgotten is no repeat. */
static void tell_forgotten(const struct reset *reset) {
  int64_t count = 0;
  for (int32_t p = 0; p < reset->partitions; p++) {
    int64_t end = reset->remembered[p] < reset->committed[p].offset ? reset->remembered[p]
                                                                    : reset->committed[p].offset;
    if (end > reset->to[p]) count += end - reset->to[p];
  }
  if (count)
    printf("  %" PRId64
           " of these records are older than the %d days that the other filters remember: outputs "
           "that it repeats for them are refused with an event (TOO_OLD) or passed over; --to with "
           "a time "
           "leaves them out\n",
           count, (int)(EXPIRY_WINDOW_MS / (INT64_C(86400) * 1000)));
}

static void tell_loss(const struct reset *reset, int32_t p) {
  int64_t committed = reset->committed[p].offset;
  const struct bounds *changelog = &reset->changelog[p];
  if (committed < 0 || committed > reset->end[p])
    printf(", as the input was deleted and made again: its unread records are lost");
  else if (committed < reset->first[p])
    printf(", as %" PRId64 " records were deleted unread", reset->first[p] - committed);
  if (!changelog_of(reset->processor)) return;
  printf("; rows as %s has them from %" PRId64 " to %" PRId64, changelog_of(reset->processor),
         changelog->first, changelog->end);
  if (!has_rows(reset, p))
    printf(", though %" PRId64 " to %" PRId64 " were committed: the others are forgotten",
           reset->metadata[p].first_changelog, reset->metadata[p].last_changelog);
}

static void print_plan(const struct reset *reset) {
  printf("%s: epoch %" PRId64 " -> %" PRId64 "\n", reset->processor->name, reset->epoch,
         reset->epoch + 1);
  for (int32_t p = 0; p < reset->partitions; p++) {
    printf("  %s-%" PRId32 ": offset %" PRId64 " -> %" PRId64, reset->processor->input, p,
           reset->committed[p].offset, reset->to[p]);
    if (reset->accept_loss)
      tell_loss(reset, p);
    else if (reset->processor->world)
      printf(", its rows stay");
    else if (reset->processor->changelog)
      printf(", %" PRId64 " rows go and %" PRId64 " are set back in %s", reset->tombstones[p],
             reset->written[p], reset->processor->changelog);
    putchar('\n');
  }
  if (!reset->accept_loss) tell_forgotten(reset);
}

static bool begin_rewrite(struct reset *reset, int64_t records) {
  char id[128];
  snprintf(id, sizeof id, "holdfast-reset-%s", reset->processor->name);
  reset->rewrite = kafka_rewrite_begin(reset->options, id, records, &reset->failure);
  return reset->rewrite != NULL;
}

/* The open transaction of a reset that was killed holds back the offsets that this one asks for. */
static bool end_killed(struct reset *reset) {
  bool begun = begin_rewrite(reset, 0);
  kafka_rewrite_end(reset->rewrite);
  reset->rewrite = NULL;
  return begun;
}

static bool apply(struct reset *reset) {
  if (!members_have_left(reset, 0)) return false;
  int64_t records = 0;
  for (int32_t p = 0; p < reset->partitions; p++)
    records += reset->tombstones[p] + reset->written[p];
  if (!begin_rewrite(reset, records) || !reset_rewrite_rows(reset) ||
      !kafka_rewrite_settle(reset->rewrite, &reset->failure))
    return false;
  struct log_offset offsets[RESET_PARTITIONS_MAX];
  for (int32_t p = 0; p < reset->partitions; p++) {
    const struct commit_metadata metadata = {.epoch = reset->epoch + 1,
                                             .intent_id = "-",
                                             .last_changelog = reset->last[p],
                                             .first_changelog = reset->changelog[p].first};
    offsets[p].offset = reset->to[p];
    commit_metadata_format(&metadata, offsets[p].metadata);
  }
  return members_have_left(reset, 0) &&
         kafka_rewrite_commit(reset->rewrite, reset->processor->name, reset->processor->input,
                              offsets, reset->partitions, &reset->failure);
}

static bool run(struct reset *reset) {
  reset->admin = kafka_admin_open(reset->options, &reset->failure);
  bool applying = options_flag(reset->options, "apply");
  if (!reset->admin || (applying && !end_killed(reset)) || !find_offsets(reset) ||
      !is_possible(reset))
    return false;
  int patience_s = (int)options_number(reset->options, "wait");
  if (applying && !members_have_left(reset, patience_s)) return false;
  if (applying && !find_offsets(reset)) return false; /* as the last member left them */
  if (!reset_make_state(reset) || !reset_rewrite_rows(reset)) return false;
  print_plan(reset);
  if (!applying) {
    int members = kafka_admin_members(reset->admin, reset->processor->name, &reset->failure);
    if (members > 0) printf("  stop it first: the group has %d members\n", members);
    printf("nothing was changed; --apply does it\n");
    return members >= 0;
  }
  if (!apply(reset)) return false;
  printf("done; start %s again: its stores rebuild from the changelog\n", reset->processor->name);
  return true;
}

static int reset_filter(const struct options *options, const struct processor *processor) {
  static struct reset reset; /* too large for a stack */
  reset = (struct reset){.options = options,
                         .processor = processor,
                         .accept_loss = options_flag(options, "accept-loss")};
  reset.failure.exit_code = EX_UNAVAILABLE;
  int code = EX_OK;
  if (!run(&reset)) {
    fprintf(stderr, "holdfast reset: %s\n", reset.failure.text);
    code = reset.failure.exit_code;
  }
  kafka_rewrite_end(reset.rewrite);
  kafka_admin_close(reset.admin);
  store_close(reset.state);
  store_close(reset.recorded);
  spill_remove(reset.directory);
  return code;
}

int reset_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    const struct processor *processor =
        options.argument_count == 1 ? processor_named(options.arguments[0]) : NULL;
    if (processor) {
      code = reset_filter(&options, processor);
    } else {
      fprintf(stderr, "holdfast reset: name one filter: %s is none\n",
              options.argument_count ? options.arguments[0] : "nothing");
      code = EX_USAGE;
    }
  }
  options_free(&options);
  return code;
}
