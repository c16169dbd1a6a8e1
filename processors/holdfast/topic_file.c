#include "topic_file.h"

#include <stdlib.h>

#include "runtime/base/settings.h"

#define ERROR_SIZE 512

/* The lines of a topic file for people; all others are settings of the broker. */
static bool for_people(const char *name) {
  static const char *const names[] = {"key", "records", "writers", "readers"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(name, names[i]) == 0) return true;
  }
  return false;
}

static bool wrong(char *why, const char *what) {
  snprintf(why, SETTINGS_WHY_SIZE, "%s", what);
  return false;
}

static bool take_partitions(struct topic_file *topic, const char *value, char *why) {
  char *end;
  long number = strtol(value, &end, 10);
  if (topic->partitions) return wrong(why, "'partitions' is said twice: take one away");
  if (*end || number < 1 || number > TOPIC_PARTITIONS_MAX) {
    snprintf(why, SETTINGS_WHY_SIZE, "partitions must be a whole number from 1 to %d, not '%.60s'",
             TOPIC_PARTITIONS_MAX, value);
    return false;
  }
  topic->partitions = (int32_t)number;
  return true;
}

static bool take_setting(void *user, const char *name, const char *value, char *why) {
  struct topic_file *topic = user;
  if (for_people(name)) return true;
  if (!*value) return wrong(why, "needs a value behind the =");
  if (strcmp(name, "partitions") == 0) return take_partitions(topic, value, why);
  for (size_t i = 0; i < topic->setting_count; i++) {
    if (strcmp(topic->settings[i].name, name) != 0) continue;
    snprintf(why, SETTINGS_WHY_SIZE, "'%.100s' is said twice: take one away", name);
    return false;
  }
  if (topic->setting_count == TOPIC_SETTINGS_MAX)
    return wrong(why, "more settings of the broker than a topic file takes, which is 16");
  topic->settings[topic->setting_count++] = (struct kafka_setting){xstrdup(name), xstrdup(value)};
  return true;
}

static void take_name(struct topic_file *topic, const char *path) {
  const char *slash = strrchr(path, '/');
  const char *file = slash ? slash + 1 : path;
  snprintf(topic->name, sizeof topic->name, "%.*s", (int)(strlen(file) - strlen(".topic")), file);
}

bool topic_file_read(FILE *file, const char *path, struct topic_file *out, char *error) {
  *out = (struct topic_file){0};
  take_name(out, path);
  if (!settings_read(file, path, take_setting, out, error)) return false;
  if (!out->partitions) snprintf(error, ERROR_SIZE, "%.160s: needs 'partitions = N'", path);
  return out->partitions > 0;
}

void topic_file_free(struct topic_file *topic) {
  for (size_t i = 0; i < topic->setting_count; i++) {
    free((char *)(uintptr_t)topic->settings[i].name);
    free((char *)(uintptr_t)topic->settings[i].value);
  }
}
