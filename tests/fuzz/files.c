/* Files that people write: settings (properties, topics/), scripts of commands, and the provider's
 * books as CSV. The first byte chooses which. What is refused is refused with its line and a
 * reason. */
#include "holdfast/audit_provider.h"
#include "fuzz.h"
#include "runtime/base/report.h"
#include "runtime/base/options.h"
#include "holdfast/script.h"
#include "runtime/base/settings.h"
#include "runtime/store/store.h"
#include "holdfast/topic_file.h"

#define ERROR_SIZE 512
#define ROUNDS 2000 /* of one auditor: it remembers what it was given */

static void says_where(bool fine, const char *error, const char *where) {
  must(fine || strstr(error, where), "a refusal does not say where");
  must(memchr(error, '\0', ERROR_SIZE) != NULL, "a refusal does not end");
}

/* Each setting is in the file as it stands there. */
struct whole {
  struct str text;
  size_t settings;
};

static bool take(void *user, const char *name, const char *value, char *why) {
  struct whole *whole = user;
  (void)why;
  must(*name && memmem(whole->text.data, whole->text.size, name, strlen(name)), "a name of nobody");
  must(!*value || memmem(whole->text.data, whole->text.size, value, strlen(value)),
       "a value that is cut or changed");
  whole->settings++;
  return true;
}

static void read_settings(FILE *file, struct str text) {
  char error[ERROR_SIZE] = "";
  struct whole whole = {.text = text};
  bool fine = settings_read(file, "its.properties", take, &whole, error);
  says_where(fine, error, "its.properties:");
  must(!fine || !memchr(text.data, '\0', text.size) || memchr(text.data, '#', text.size) ||
           memchr(text.data, ';', text.size),
       "a NUL is passed over");
}

static void read_topic(FILE *file) {
  char error[ERROR_SIZE] = "";
  struct topic_file topic;
  bool fine = topic_file_read(file, "topics/its.topic", &topic, error);
  says_where(fine, error, "topics/its.topic:");
  must(!fine || (topic.partitions >= 1 && topic.partitions <= TOPIC_PARTITIONS_MAX),
       "a topic without partitions");
  must(topic.setting_count <= TOPIC_SETTINGS_MAX && strcmp(topic.name, "its") == 0, "no topic");
  topic_file_free(&topic);
}

static void read_script(FILE *file, size_t size) {
  static struct codec *codec;
  if (!codec) codec = codec_new(&holdfast_schemas);
  char error[ERROR_SIZE] = "";
  struct script script = {0};
  bool fine = script_read(&script, file, codec, error);
  says_where(fine, error, "line ");
  must_be_linear(&script.arena, size);
  for (size_t i = 0; i < script.count; i++) {
    const struct script_line *line = &script.lines[i];
    struct arena arena = {0};
    struct record record;
    if (line->json)
      must(line->wait.thing && line->wait.id && line->wait.seconds > 0, "it waits for nothing");
    else
      must(codec_decode(codec, line->value, &arena, &record, error), error);
    arena_free(&arena);
  }
  script_free(&script);
}

static void ignore(void *user, const struct audit_violation *violation) {
  (void)user;
  (void)violation;
}

static void read_books(FILE *file, struct str text) {
  static struct store *store;
  static struct auditor *auditor;
  static int rounds;
  char error[ERROR_SIZE];
  int code;
  if (rounds++ % ROUNDS == 0) {
    auditor_free(auditor);
    store_close(store);
    store = store_open(NULL, "fuzz", (struct store_memory){.cache = 1 << 20}, error, sizeof error,
                       &code);
    auditor = auditor_new(store, ignore, NULL);
    auditor_keep_charges(auditor);
  }
  int64_t number;
  const char *wrong = provider_csv_read(file, auditor, &number);
  must(number > 0, "no line is named");
  must(!wrong || *wrong, "a refusal does not say why");
  must(wrong || !memchr(text.data, '\0', text.size), "a NUL is passed over");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  report_as("fuzz", LEVEL_ERROR);
  struct str text = {(const char *)data + 1, size - 1};
  FILE *file = fmemopen((void *)(uintptr_t)text.data, text.size, "r");
  switch (data[0] % 4) {
    case 0: read_settings(file, text); break;
    case 1: read_topic(file); break;
    case 2: read_script(file, size); break;
    case 3: read_books(file, text); break;
  }
  fclose(file);
  return 0;
}
