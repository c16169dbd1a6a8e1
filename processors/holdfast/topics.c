/* holdfast topics: the files in topics/ against the broker's topics. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "commands.h"
#include "runtime/kafka/admin.h"
#include "lost.h"
#include "runtime/contract/processors.h"
#include "runtime/core/recovery.h"
#include "topic_file.h"

#define TOPICS_MAX 64
#define CREATED_TRIES 300
#define CREATED_WAIT_US 100000

struct catalogue {
  struct topic_file topics[TOPICS_MAX];
  size_t count;
  char error[512];
};

static const struct option_desc topics_options[] = {
    {.name = "topics",
     .metavar = "DIR",
     .help = "folder of the topic files [topics/ here, or beside build/]"},
    {.name = "recreate",
     .metavar = "TOPIC",
     .help = "make this one topic again, empty, although its filters have worked with it"},
    {0}};

static const struct usage usage = {
    "Shows the difference between the topic files and the broker (plan), or makes it so "
    "(apply).\n\nUsage: holdfast topics plan|apply [option ...]",
    topics_options, true,
    "  holdfast topics plan -b 127.0.0.1:9092\n  holdfast topics apply --prefix staging-\n"};

/* ---- topic files ---- */

static bool read_topic(struct catalogue *catalogue, const char *directory, const char *name) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  if (catalogue->count == TOPICS_MAX) {
    snprintf(catalogue->error, sizeof catalogue->error, "more than %d topic files", TOPICS_MAX);
    return false;
  }
  FILE *file = fopen(path, "r");
  if (!file) {
    snprintf(catalogue->error, sizeof catalogue->error, "'%.200s' cannot be read: %s", path,
             strerror(errno));
    return false;
  }
  bool fine = topic_file_read(file, path, &catalogue->topics[catalogue->count++], catalogue->error);
  fclose(file);
  return fine;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_topic(const struct dirent *entry) {
  size_t size = strlen(entry->d_name);
  return size > 6 && strcmp(entry->d_name + size - 6, ".topic") == 0;
}

static bool read_topics(struct catalogue *catalogue, const char *directory) {
  struct dirent **entries;
  int count = scandir(directory, &entries, is_topic, by_name);
  bool fine = count > 0;
  if (!fine)
    snprintf(catalogue->error, sizeof catalogue->error,
             "there are no topic files in '%s': name their folder with --topics", directory);
  for (int i = 0; i < count; i++) {
    fine = fine && read_topic(catalogue, directory, entries[i]->d_name);
    free(entries[i]);
  }
  if (count >= 0) free(entries);
  return fine;
}

/* topics/ here, else beside the build folder that this binary is in, else where an installation has
 * them (PREFIX/bin, PREFIX/share/holdfast/topics). */
static const char *default_directory(char *out, size_t size) {
  static const char *const places[] = {"/topics", "/share/holdfast/topics"};
  struct stat info;
  if (stat("topics", &info) == 0) return "topics";
  ssize_t length = readlink("/proc/self/exe", out, size - 1);
  if (length <= 0) return "topics";
  out[length] = '\0';
  for (int up = 0; up < 3; up++) {
    char *slash = strrchr(out, '/');
    if (slash) *slash = '\0';
    size_t used = strlen(out);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
      snprintf(out + used, size - used, "%s", places[i]);
      if (stat(out, &info) == 0) return out;
    }
    out[used] = '\0';
  }
  return "topics";
}

/* ---- the difference ---- */

struct work {
  struct kafka_admin *admin;
  const struct catalogue *catalogue;
  const char *recreate; /* the one topic that may be made although it was lost; NULL: none */
  bool apply;
  int changes;
  struct failure failure;
};

static bool settle_settings(struct work *work, const struct topic_file *topic) {
  bool differs = false;
  for (size_t i = 0; i < topic->setting_count; i++) {
    char value[256];
    if (!kafka_admin_setting(work->admin, topic->name, topic->settings[i].name, value, sizeof value,
                             &work->failure))
      return false;
    if (strcmp(value, topic->settings[i].value) == 0) continue;
    printf("~ %s: %s from %s to %s\n", topic->name, topic->settings[i].name, value,
           topic->settings[i].value);
    work->changes++;
    differs = true;
  }
  return !differs || !work->apply ||
         kafka_admin_alter(work->admin, topic->name, topic->settings, &work->failure);
}

static bool is_recreated(const struct work *work, const char *topic) {
  return work->recreate && strcmp(work->recreate, topic) == 0;
}

static bool make_topic(struct work *work, const struct topic_file *topic) {
  struct lost lost;
  if (!lost_find(work->admin, topic->name, &lost, &work->failure)) return false;
  if (lost.as != NOT_LOST && !is_recreated(work, topic->name))
    return lost_refuse(&lost, topic->name, &work->failure);
  printf("+ %s: %" PRId32 " partitions\n", topic->name, topic->partitions);
  work->changes++;
  if (work->apply && !kafka_admin_create(work->admin, topic->name, topic->partitions,
                                         topic->settings, &work->failure))
    return false;
  lost_tell_rest(&lost, topic->name);
  return true;
}

static bool settle_topic(struct work *work, const struct topic_file *topic) {
  int32_t partitions = kafka_admin_partitions(work->admin, topic->name, &work->failure);
  if (partitions < 0) return false;
  if (partitions == topic->partitions) return settle_settings(work, topic);
  if (partitions > 0) {
    work->failure.exit_code = EX_CONFIG;
    snprintf(work->failure.text, sizeof work->failure.text,
             "'%s' has %" PRId32 " partitions and its file says %" PRId32
             ": refused. Keys would move to other partitions, away from their state and "
             "their order. Put the file back, or move to new topics with another --prefix",
             topic->name, partitions, topic->partitions);
    return false;
  }
  return make_topic(work, topic);
}

/* ---- the first commit of a new group ---- */

/* Offsets that are gone are not a new group: beginning again would do everything twice. */
static bool check_new(struct work *work, const struct processor *processor,
                      const struct log_offset *offsets, int32_t partitions) {
  bool used = false;
  for (int32_t i = 0; i < partitions; i++) used |= offsets[i].offset >= 0;
  if (!used && processor->changelog &&
      !topic_has_records(work->admin, processor->changelog, &used, &work->failure))
    return false;
  if (!used) return true;
  work->failure.exit_code = EX_CONFIG;
  snprintf(work->failure.text, sizeof work->failure.text,
           "the group '%s' has lost committed offsets of '%s' (its changelog or other partitions "
           "show that it has worked before): refused, since beginning again would repeat its work. "
           "Restore the offsets; if the topic was deleted and made again, go on with "
           "'holdfast reset --accept-loss %s'; or begin anew with another --prefix",
           processor->name, processor->input, processor->name);
  return false;
}

static bool genesis(struct work *work, const struct processor *processor,
                    struct log_offset *offsets, int32_t partitions) {
  printf("+ group %s: first commit for %" PRId32 " partitions of %s\n", processor->name, partitions,
         processor->input);
  work->changes++;
  if (!work->apply) return true;
  for (int32_t i = 0; i < partitions; i++) {
    int64_t end;
    if (!kafka_admin_bounds(work->admin, processor->input, i, &offsets[i].offset, &end,
                            &work->failure))
      return false;
    const struct commit_metadata metadata = {.epoch = 1, .intent_id = "-", .last_changelog = -1};
    commit_metadata_format(&metadata, offsets[i].metadata);
  }
  return kafka_admin_commit(work->admin, processor->name, processor->input, offsets, partitions,
                            &work->failure);
}

/* A topic that was created a moment ago may not be in the broker's metadata yet. */
static int32_t input_partitions(struct work *work, const struct processor *processor) {
  for (int tries = 0;; tries++) {
    int32_t partitions = kafka_admin_partitions(work->admin, processor->input, &work->failure);
    if (partitions != 0 || !work->apply) return partitions;
    if (tries == CREATED_TRIES) break;
    usleep(CREATED_WAIT_US);
  }
  work->failure.exit_code = EX_UNAVAILABLE;
  snprintf(work->failure.text, sizeof work->failure.text,
           "'%s' was created and the broker does not show it: run this again", processor->input);
  return -1;
}

static bool settle_group(struct work *work, const struct processor *processor) {
  int32_t partitions = input_partitions(work, processor);
  if (partitions < 0) return false;
  struct log_offset offsets[TOPIC_PARTITIONS_MAX];
  if (partitions == 0) { /* a plan for a cluster without topics */
    printf("+ group %s: first commit\n", processor->name);
    work->changes++;
    return true;
  }
  if (!kafka_admin_committed(work->admin, processor->name, processor->input, offsets, partitions,
                             &work->failure))
    return false;
  for (int32_t i = 0; i < partitions; i++) {
    if (offsets[i].offset >= 0) continue;
    /* Its offsets went with the topic, and its rows did not: the next step was said. */
    if (processor->rows && is_recreated(work, processor->input)) return true;
    return check_new(work, processor, offsets, partitions) &&
           genesis(work, processor, offsets, partitions);
  }
  return true;
}

static bool settle(struct work *work) {
  for (size_t i = 0; i < work->catalogue->count; i++) {
    if (!settle_topic(work, &work->catalogue->topics[i])) return false;
  }
  for (const struct processor *const *processor = all_processors; *processor; processor++) {
    if (!settle_group(work, *processor)) return false;
  }
  return true;
}

static int work_on(const struct options *options, const struct catalogue *catalogue, bool apply) {
  struct work work = {
      .catalogue = catalogue, .apply = apply, .recreate = options_text(options, "recreate")};
  work.admin = kafka_admin_open(options, &work.failure);
  bool fine = work.admin && settle(&work);
  kafka_admin_close(work.admin);
  if (!fine) {
    fprintf(stderr, "holdfast topics: %s\n", work.failure.text);
    return work.failure.exit_code;
  }
  if (work.changes == 0)
    printf("nothing to do: the broker agrees with the files\n");
  else if (!apply)
    printf("%d changes; 'holdfast topics apply' makes them\n", work.changes);
  return EX_OK;
}

int topics_command(int argc, char **argv) {
  struct options options = {0};
  static struct catalogue catalogue;
  char directory[1024];
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    bool apply = options.argument_count == 1 && strcmp(options.arguments[0], "apply") == 0;
    bool plan = options.argument_count == 1 && strcmp(options.arguments[0], "plan") == 0;
    const char *from = options_text(&options, "topics");
    if (!apply && !plan) {
      fprintf(stderr, "holdfast topics: say 'plan' or 'apply'\n");
      code = EX_USAGE;
    } else if (!read_topics(&catalogue,
                            from ? from : default_directory(directory, sizeof directory))) {
      fprintf(stderr, "holdfast topics: %s\n", catalogue.error);
      code = EX_CONFIG;
    } else {
      code = work_on(&options, &catalogue, apply);
    }
  }
  for (size_t i = 0; i < catalogue.count; i++) topic_file_free(&catalogue.topics[i]);
  options_free(&options);
  return code;
}
