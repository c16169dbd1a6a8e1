/* Avro's bytes as every record type, in every version ever released. */
#include "runtime/record/codec.h"
#include "fuzz.h"

/* Where there is no header, the first byte chooses the version, so that no fingerprint need be
 * guessed. */
static struct str with_header(const uint8_t *data, size_t size, struct arena *arena) {
  if (size > 2 && data[0] == 0xc3 && data[1] == 0x01) return (struct str){(const char *)data, size};
  const struct schema_version *version =
      &holdfast_schemas.versions[data[0] % holdfast_schemas.version_count];
  char *bytes = arena_alloc(arena, 10 + size);
  memcpy(bytes, "\xc3\x01", 2);
  memcpy(bytes + 2, &version->fingerprint, 8);
  memcpy(bytes + 10, data + 1, size - 1);
  return (struct str){bytes, 10 + size - 1};
}

/* What was read is written, and read again as the same. */
static void survives(struct codec *codec, struct record record) {
  struct arena arena = {0};
  char error[CODEC_ERROR_SIZE];
  struct record again;
  struct str written = codec_encode(codec, record, &arena);
  if (written.data) { /* defaults of a later version can make it too large */
    must(codec_decode(codec, written, &arena, &again, error), error);
    must(str_equal(codec_encode(codec, again, &arena), written), "it is another when read again");
  }
  arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct codec *codec;
  if (!codec) codec = codec_new(&holdfast_schemas);
  if (size == 0) return 0;
  struct arena input = {0}, arena = {0};
  char error[CODEC_ERROR_SIZE] = "";
  struct record record;
  struct str bytes = with_header(data, size, &input);
  bool fine = codec_decode(codec, bytes, &arena, &record, error);
  must(fine || error[0], "a refusal does not say why");
  must_be_linear(&arena, bytes.size);
  if (fine) survives(codec, record);
  arena_free(&arena);
  arena_free(&input);
  return 0;
}
