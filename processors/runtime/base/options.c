#include "runtime/base/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "runtime/base/settings.h"

enum rank { RANK_DEFAULT, RANK_FILE, RANK_ENVIRONMENT, RANK_FLAG };

const struct option_desc help_options[] = {
    {.name = "help", .letter = 'h', .kind = OPTION_FLAG, .help = "this text"},
    {0},
};

const struct option_desc kafka_options[] = {
    {.name = "brokers",
     .letter = 'b',
     .metavar = "HOST:PORT,..",
     .value = "127.0.0.1:9092",
     .help = "Kafka brokers to ask first"},
    {.name = "properties",
     .letter = 'F',
     .metavar = "FILE",
     .help = "properties file: options by their long names, all others are librdkafka's"},
    {.name = "kafka",
     .letter = 'X',
     .metavar = "NAME=VALUE",
     .help = "a librdkafka property; may be given often"},
    {.name = "sasl-password-file",
     .metavar = "FILE",
     .help = "its first line is the password of sasl.username"},
    {.name = "ssl-key-password-file",
     .metavar = "FILE",
     .help = "its first line is the password of the key in ssl.key.location"},
    {.name = "prefix",
     .metavar = "TEXT",
     .value = "",
     .help = "before every topic, group and transactional id: several pipelines on one cluster"},
    {.name = "schemas",
     .metavar = "FILE",
     .help = "schemas of a later release, whose records are to be read too: its schemas.jsonl"},
    {0},
};

const struct option_desc view_options[] = {{.name = "history-url",
                                            .metavar = "URL",
                                            .value = "http://127.0.0.1:8081",
                                            .help = "where history answers"},
                                           {.name = "catalog-url",
                                            .metavar = "URL",
                                            .value = "http://127.0.0.1:8082",
                                            .help = "where catalog answers"},
                                           {.name = "tally-url",
                                            .metavar = "URL",
                                            .value = "http://127.0.0.1:8083",
                                            .help = "where tally answers"},
                                           {0}};

void options_add(struct options *options, const struct option_desc *table) {
  for (; table && table->name; table++) {
    if (options->count == OPTIONS_MAX) abort();
    options->table[options->count++] = table;
  }
}

static int find(const struct options *options, const char *name, size_t size) {
  for (size_t i = 0; i < options->count; i++) {
    if (strlen(options->table[i]->name) == size && memcmp(options->table[i]->name, name, size) == 0)
      return (int)i;
  }
  return -1;
}

static bool fail(struct options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool fail(struct options *options, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(options->error, sizeof options->error, format, arguments);
  va_end(arguments);
  return false;
}

static bool check_number(struct options *options, const struct option_desc *option,
                         const char *value) {
  char *end;
  const char *word = option->word;
  errno = 0;
  if (word && strcmp(value, word) == 0) return true;
  long long number = strtoll(value, &end, 10);
  if (errno == 0 && end != value && *end == '\0' && number >= option->min && number <= option->max)
    return true;
  return fail(options, "--%s must be %s%sa whole number from %lld to %lld, not '%s'", option->name,
              word ? word : "", word ? " or " : "", (long long)option->min, (long long)option->max,
              value);
}

static bool set_option(struct options *options, size_t index, const char *value, int rank) {
  const struct option_desc *option = options->table[index];
  if (option->kind == OPTION_NUMBER && !check_number(options, option, value)) return false;
  if (rank < options->ranks[index]) return true;
  free(options->values[index]);
  options->values[index] = xstrdup(value);
  options->ranks[index] = rank;
  return true;
}

static bool set_kafka(struct options *options, const char *name, size_t size, const char *value,
                      bool replace) {
  for (size_t i = 0; i < options->kafka_count; i++) {
    struct kafka_property *property = &options->kafka[i];
    if (strlen(property->name) != size || memcmp(property->name, name, size) != 0) continue;
    if (!replace) return true;
    free(property->value);
    property->value = xstrdup(value);
    return true;
  }
  if (options->kafka_count == KAFKA_PROPERTIES_MAX)
    return fail(options, "more than %d librdkafka properties", KAFKA_PROPERTIES_MAX);
  char *copy = xcalloc(1, size + 1);
  memcpy(copy, name, size);
  options->kafka[options->kafka_count++] = (struct kafka_property){copy, xstrdup(value)};
  return true;
}

/* Of librdkafka's properties. */
static bool is_secret(const char *name) {
  static const char *const secrets[] = {"sasl.password",
                                        "ssl.key.password",
                                        "ssl.key.pem",
                                        "ssl.keystore.password",
                                        "sasl.oauthbearer.client.secret",
                                        "sasl.oauthbearer.config"};
  for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
    if (strcmp(name, secrets[i]) == 0) return true;
  }
  return false;
}

static bool refuse_secret(struct options *options, const char *name, size_t size) {
  return fail(options,
              "%.*s is a secret, and every user of this machine can read a command line: put it "
              "into the properties file (-F), or into the environment or a file where there is an "
              "option for that",
              (int)size, name);
}

static bool set_flag(struct options *options, size_t index, const char *value) {
  const struct option_desc *option = options->table[index];
  if (option->secret) return refuse_secret(options, option->name, strlen(option->name));
  return set_option(options, index, value, RANK_FLAG);
}

/* -X name=value, which also takes the table's own names. */
static bool set_pair(struct options *options, const char *pair) {
  const char *equals = strchr(pair, '=');
  if (!equals || equals == pair) return fail(options, "-X needs name=value, not '%s'", pair);
  char name[64];
  size_t size = (size_t)(equals - pair);
  int index = find(options, pair, size);
  if (index >= 0) return set_flag(options, (size_t)index, equals + 1);
  snprintf(name, sizeof name, "%.*s", (int)size, pair);
  if (is_secret(name)) return refuse_secret(options, pair, size);
  return set_kafka(options, pair, size, equals + 1, true);
}

static bool take_setting(void *user, const char *name, const char *value, char *why) {
  struct options *options = user;
  int index = find(options, name, strlen(name));
  bool fine = index >= 0 ? set_option(options, (size_t)index, value, RANK_FILE)
                         : set_kafka(options, name, strlen(name), value, false);
  if (!fine) snprintf(why, SETTINGS_WHY_SIZE, "%s", options->error);
  return fine;
}

static bool read_file(struct options *options) {
  const char *path =
      find(options, "properties", 10) >= 0 ? options_text(options, "properties") : NULL;
  if (!path) return true;
  FILE *file = fopen(path, "r");
  if (!file)
    return fail(options, "cannot read the properties file '%s': %s", path, strerror(errno));
  bool fine = settings_read(file, path, take_setting, options, options->error);
  fclose(file);
  return fine;
}

static bool read_environment(struct options *options) {
  for (size_t i = 0; i < options->count; i++) {
    char name[64] = "HOLDFAST_";
    size_t used = strlen(name);
    for (const char *c = options->table[i]->name; *c && used < sizeof name - 1; c++) {
      name[used++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
    const char *value = getenv(name);
    if (!value || !*value || set_option(options, i, value, RANK_ENVIRONMENT)) continue;
    char why[sizeof options->error];
    memcpy(why, options->error, sizeof why);
    return fail(options, "%s in the environment: %s", name, why);
  }
  return true;
}

static int find_letter(const struct options *options, char letter) {
  for (size_t i = 0; i < options->count; i++) {
    if (options->table[i]->letter == letter) return (int)i;
  }
  return -1;
}

/* One argument that begins with '-'; *next is the one after it, taken if it is the value. */
static bool read_flag(struct options *options, const char *argument, char ***next) {
  const char *value = NULL;
  int index;
  if (argument[1] == '-') {
    const char *name = argument + 2, *equals = strchr(name, '=');
    index = find(options, name, equals ? (size_t)(equals - name) : strlen(name));
    value = equals ? equals + 1 : NULL;
  } else {
    index = find_letter(options, argument[1]);
    value = argument[1] && argument[2] ? argument + 2 : NULL;
  }
  if (index < 0) return fail(options, "unknown option '%s'; --help lists them", argument);
  const struct option_desc *option = options->table[index];
  if (option->kind == OPTION_FLAG) {
    if (value) return fail(options, "'%s' takes no value", argument);
    return set_option(options, (size_t)index, "yes", RANK_FLAG);
  }
  if (!value && !(value = **next))
    return fail(options, "'%s' needs a value: %s", argument, option->metavar);
  if (value == **next) ++*next;
  return option->letter == 'X' ? set_pair(options, value) : set_flag(options, (size_t)index, value);
}

bool options_parse(struct options *options, int argc, char **argv) {
  options->arguments = xcalloc((size_t)argc + 1, sizeof(char *));
  bool flags = true;
  for (char **next = argv + (argc > 0); *next;) {
    char *argument = *next++;
    if (flags && strcmp(argument, "--") == 0) {
      flags = false;
    } else if (flags && argument[0] == '-' && argument[1]) {
      if (!read_flag(options, argument, &next)) return false;
    } else {
      options->arguments[options->argument_count++] = argument;
    }
  }
  return read_environment(options) && read_file(options);
}

void options_free(struct options *options) {
  for (size_t i = 0; i < options->count; i++) free(options->values[i]);
  for (size_t i = 0; i < options->kafka_count; i++) {
    free(options->kafka[i].name);
    free(options->kafka[i].value);
  }
  free(options->arguments);
  *options = (struct options){0};
}

const char *options_text(const struct options *options, const char *name) {
  int index = find(options, name, strlen(name));
  if (index < 0) abort(); /* a name that no table has is a fault of the program */
  return options->values[index] ? options->values[index] : options->table[index]->value;
}

int64_t options_number(const struct options *options, const char *name) {
  return strtoll(options_text(options, name), NULL, 10);
}

bool options_given(const struct options *options, const char *name) {
  int index = find(options, name, strlen(name));
  return index >= 0 && options->values[index];
}

bool options_flag(const struct options *options, const char *name) {
  return options_text(options, name) != NULL;
}

void options_help(const struct options *options, FILE *out) {
  for (size_t i = 0; i < options->count; i++) {
    const struct option_desc *option = options->table[i];
    char flag[64], short_flag[8] = "    ";
    if (option->letter) snprintf(short_flag, sizeof short_flag, "-%c, ", option->letter);
    snprintf(flag, sizeof flag, "  %s--%s %s", short_flag, option->name,
             option->metavar ? option->metavar : "");
    fprintf(out, "%-38s %s", flag, option->help);
    if (option->value && *option->value) fprintf(out, " [%s]", option->value);
    fprintf(out, "\n");
  }
}
