/* Lines of JSON: of a pipe, and the commands of `holdfast send` and `encode`. */
#include "runtime/record/codec.h"
#include "fuzz.h"
#include "runtime/record/line.h"

/* A record that JSON made is one that the codec takes, or it is too large. */
static void survives(struct codec *codec, struct record record, struct arena *arena) {
  char error[CODEC_ERROR_SIZE];
  struct record again;
  struct str bytes = codec_encode(codec, record, arena);
  if (bytes.data) must(codec_decode(codec, bytes, arena, &again, error), error);
}

static void as_command(struct codec *codec, struct str text) {
  struct arena arena = {0};
  char error[CODEC_ERROR_SIZE];
  struct record record;
  json_t *json = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
  if (json && record_from_json(&holdfast_schemas, json, &arena, &record, error)) {
    must_be_linear(&arena, text.size);
    survives(codec, record, &arena);
  }
  json_decref(json);
  arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct codec *codec;
  if (!codec) codec = codec_new(&holdfast_schemas);
  struct arena arena = {0};
  char error[CODEC_ERROR_SIZE] = "";
  struct str text = {(const char *)data, size}, topic;
  struct message record;
  bool fine = line_parse(codec, text, &arena, &topic, &record, error);
  must(fine || error[0], "a refusal does not say why");
  must_be_linear(&arena, size);
  arena_free(&arena);
  as_command(codec, text);
  return 0;
}
