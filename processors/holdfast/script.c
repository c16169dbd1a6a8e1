#include "script.h"

#include <errno.h>
#include <stdlib.h>

#include "runtime/record/line.h"

#define ERROR_SIZE 512

static struct script_line *add_line(struct script *script) {
  script->lines = xgrow(script->lines, &script->capacity, script->count + 1, sizeof *script->lines);
  struct script_line *line = &script->lines[script->count++];
  *line = (struct script_line){0};
  return line;
}

static bool add_command(struct script *script, const json_t *json, struct codec *codec,
                        char *error) {
  struct arena parsed = {0};
  struct record record;
  bool fine = record_from_json(codec_schemas(codec), json, &parsed, &record, error);
  if (fine && !command_key(record).data) {
    snprintf(error, CODEC_ERROR_SIZE, "a %s is not a command",
             codec_schemas(codec)->records[record.type]->name);
    fine = false;
  }
  if (fine) {
    struct str value = codec_encode(codec, record, &script->arena);
    if (!value.data)
      snprintf(error, CODEC_ERROR_SIZE, "the command is larger than %zu bytes", RECORD_SIZE_MAX);
    fine = value.data != NULL;
    if (fine) {
      struct script_line *line = add_line(script);
      line->key = arena_copy(&script->arena, command_key(record));
      line->value = value;
    }
  }
  arena_free(&parsed);
  return fine;
}

static bool add_text(struct script *script, struct str text, struct codec *codec, char *error) {
  json_error_t reason;
  json_t *json = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, &reason);
  if (!json) {
    snprintf(error, CODEC_ERROR_SIZE, "not JSON at column %d: %.150s", reason.column, reason.text);
    return false;
  }
  if (!json_object_get(json, "wait")) {
    bool fine = add_command(script, json, codec, error);
    json_decref(json);
    return fine;
  }
  struct wait wait;
  if (!wait_parse(json, &wait, error)) {
    json_decref(json);
    return false;
  }
  struct script_line *line = add_line(script);
  line->json = json;
  line->wait = wait;
  return true;
}

bool script_read(struct script *script, FILE *in, struct codec *codec, char *error) {
  char *buffer = NULL, why[CODEC_ERROR_SIZE];
  size_t capacity = 0;
  struct str text;
  bool fine = true, too_long;
  for (unsigned long number = 1; fine && line_read(in, &buffer, &capacity, &text, &too_long);
       number++) {
    if (text.size == 0 || text.data[0] == '#') continue;
    if (too_long || script->arena.total > SCRIPT_SIZE_MAX) {
      snprintf(why, sizeof why,
               too_long ? "longer than a line may be"
                        : "the script is larger than 512 MiB: send it in parts");
      fine = false;
    } else {
      fine = add_text(script, text, codec, why);
    }
    if (!fine) snprintf(error, ERROR_SIZE, "line %lu: %s; nothing was sent", number, why);
  }
  free(buffer);
  return fine;
}

/* ---- one command from words ---- */

static json_t *word_json(const struct field *field, struct str text) {
  char *end;
  if (field->kind == FIELD_INT || field->kind == FIELD_LONG) {
    errno = 0;
    long long number = strtoll(text.data, &end, 10);
    if (text.size && end == text.data + text.size && errno == 0) return json_integer(number);
  }
  if (field->kind == FIELD_BOOL && str_equal(text, STR("true"))) return json_true();
  if (field->kind == FIELD_BOOL && str_equal(text, STR("false"))) return json_false();
  return json_stringn(text.data, text.size); /* of a wrong type: refused with the field's name */
}

static json_t *value_json(const struct field *field, const char *text, struct arena *arena) {
  if (text[0] == '[' || text[0] == '{') {
    json_t *json = json_loads(text, 0, NULL);
    if (json) return json;
  }
  if (!field->array) return word_json(field, str_of(text));
  json_t *items = json_array();
  while (*text) {
    size_t size = strcspn(text, ",");
    json_array_append_new(items, word_json(field, arena_copy(arena, (struct str){text, size})));
    text += size + (text[size] == ',');
  }
  return items;
}

bool script_words(struct script *script, char **words, int count, struct codec *codec,
                  char *error) {
  const struct record_desc *record = schema_find(codec_schemas(codec), str_of(words[0]));
  json_t *json = json_pack("{s:s}", "type", words[0]);
  bool fine = true;
  for (int i = 1; i < count && fine; i++) {
    const char *equals = strchr(words[i], '=');
    const struct field *field =
        equals ? schema_field(record, (struct str){words[i], (size_t)(equals - words[i])}) : NULL;
    fine = field != NULL;
    if (field)
      json_object_set_new(json, field->name, value_json(field, equals + 1, &script->arena));
    else
      snprintf(error, ERROR_SIZE, "'%s' is not field=value of a %s", words[i], record->name);
  }
  char why[CODEC_ERROR_SIZE];
  if (fine && !(fine = add_command(script, json, codec, why)))
    snprintf(error, ERROR_SIZE, "%s", why);
  json_decref(json);
  return fine;
}

bool script_arguments(struct script *script, char **arguments, int count, struct codec *codec,
                      char *error) {
  if (count == 0 || (count == 1 && strcmp(arguments[0], "-") == 0))
    return script_read(script, stdin, codec, error);
  if (schema_find(codec_schemas(codec), str_of(arguments[0])))
    return script_words(script, arguments, count, codec, error);
  FILE *file = count == 1 ? fopen(arguments[0], "r") : NULL;
  if (!file) {
    snprintf(error, ERROR_SIZE,
             count == 1 ? "'%s' is neither a file that can be read nor a command's type"
                        : "'%s' is not a command's type",
             arguments[0]);
    return false;
  }
  bool fine = script_read(script, file, codec, error);
  fclose(file);
  return fine;
}

void script_free(struct script *script) {
  for (size_t i = 0; i < script->count; i++) json_decref(script->lines[i].json);
  free(script->lines);
  arena_free(&script->arena);
  *script = (struct script){0};
}
