/* Records of a release that came after this build: read by the file of its schemas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gen/sample_records.h"
#include "runtime/record/codec.h"
#include "runtime/record/later.h"

extern const struct schema_set sample_schemas;

/* One field that nobody here knows, one of a smaller type, one symbol that is new. */
#define LATER                                                                                  \
  "{\"name\":\"holdfast.Sample\",\"type\":\"record\",\"fields\":[{\"name\":\"name\","          \
  "\"type\":\"string\"},{\"name\":\"unheard\",\"type\":{\"type\":\"array\",\"items\":"         \
  "\"string\"}},{\"name\":\"count\",\"type\":\"int\"},{\"name\":\"color\",\"type\":{\"name\":" \
  "\"holdfast.Color\",\"type\":\"enum\",\"symbols\":[\"GREEN\",\"PURPLE\"]}}]}"

static char path[] = "/tmp/holdfast-later-XXXXXX";
static struct codec *codec;
static struct arena arena;
static char error[CODEC_ERROR_SIZE];

static int set_up(void **unused) {
  (void)unused;
  strcpy(path + sizeof path - 7, "XXXXXX");
  int fd = mkstemp(path);
  close(fd);
  codec_look_in(path);
  codec = codec_new(&sample_schemas);
  return fd < 0;
}

static int tear_down(void **unused) {
  (void)unused;
  unlink(path);
  codec_free(codec);
  codec_look_in(NULL);
  arena_free(&arena);
  return 0;
}

static void write_line(FILE *file, const char *schema) {
  fputs("{\"record\":\"Sample\",\"schema\":\"", file);
  for (; *schema; schema++) {
    if (*schema == '"') fputc('\\', file);
    fputc(*schema, file);
  }
  fputs("\"}\n", file);
}

/* Each file has a time of its own, whatever the clock's resolution. */
static void end(FILE *file) {
  static time_t second = 1000000000;
  const struct timespec times[2] = {{.tv_sec = ++second}, {.tv_sec = second}};
  fflush(file);
  futimens(fileno(file), times);
  fclose(file);
}

static bool decode(char color, const struct sample **sample) {
  char bytes[64] = {(char)0xc3, 0x01};
  const char body[] = {2, 'n', 2, 2, 'x', 0, 13, color}; /* "n", ["x"], -7, the symbol */
  uint64_t fingerprint = schema_fingerprint(STR(LATER));
  struct record out;
  memcpy(bytes + 2, &fingerprint, 8);
  memcpy(bytes + 10, body, sizeof body);
  bool decoded = codec_decode(codec, (struct str){bytes, 10 + sizeof body}, &arena, &out, error);
  if (decoded) *sample = out.value;
  return decoded;
}

static void the_fingerprint_is_that_of_the_generator(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sample_schemas.version_count; i++)
    assert_true(schema_fingerprint(str_of(sample_schemas.versions[i].json)) ==
                sample_schemas.versions[i].fingerprint);
}

static void a_record_of_a_later_release_is_read_once_its_schema_is_in_the_file(void **unused) {
  (void)unused;
  const struct sample *sample;
  assert_false(decode(0, &sample));
  assert_non_null(strstr(error, "not known to this version, nor to its --schemas"));
  FILE *file = fopen(path, "w");
  fputs("{\"record\":\"Unheard\",\"schema\":\"\\\"string\\\"\"}\n", file);
  write_line(file, LATER);
  end(file);
  assert_true(decode(0, &sample));
  assert_true(str_equal(sample->name, STR("n")) && sample->count == -7);
  assert_int_equal(sample->color, COLOR_GREEN);
  assert_true(sample->limit == 7 && str_equal(sample->note, STR("none")) && sample->on);
}

static void a_symbol_that_is_new_is_refused_and_named(void **unused) {
  (void)unused;
  const struct sample *sample;
  FILE *file = fopen(path, "w");
  write_line(file, LATER);
  end(file);
  assert_false(decode(2, &sample));
  assert_non_null(strstr(error, "Sample"));
}

static void a_file_that_is_gone_leaves_what_was_learnt(void **unused) {
  (void)unused;
  const struct sample *sample;
  FILE *file = fopen(path, "w");
  write_line(file, LATER);
  end(file);
  assert_true(decode(0, &sample));
  unlink(path);
  assert_true(decode(0, &sample));
}

static void a_bad_line_is_passed_over_and_the_good_ones_are_taken(void **unused) {
  (void)unused;
#define RECORD(fields) "{\"name\":\"holdfast.Sample\",\"type\":\"record\",\"fields\":[" fields "]}"
  static const char *const bad[] = {
      "",
      "nonsense",
      "\"string\"",
      "{\"type\":\"array\",\"items\":\"string\"}",
      RECORD("{\"name\":\"name\",\"type\":\"string\"}"), /* no count, which has no default */
      RECORD("{\"name\":\"name\",\"type\":\"int\"},{\"name\":\"count\",\"type\":\"long\"},"
             "{\"name\":\"color\",\"type\":{\"name\":\"C\",\"type\":\"enum\",\"symbols\":[\"RED\"]}"
             "}"),
      RECORD("{\"name\":\"tags\",\"type\":\"string\"}"),
      RECORD("{\"name\":\"tags\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"array\","
             "\"items\":\"string\"}}}"),
      RECORD("{\"name\":\"x\",\"type\":[\"null\",\"string\"]}"),
      RECORD("{\"name\":\"x\",\"type\":{\"type\":\"map\",\"values\":\"string\"}}"),
      RECORD("{\"name\":\"x\",\"type\":\"double\"}"),
      RECORD("{\"name\":\"x\",\"type\":\"holdfast.Sample\"}"), /* in itself */
  };
  const struct sample *sample;
  FILE *file = fopen(path, "w");
  fputs("\n{}\nnot JSON\n[1]\n{\"record\":5,\"schema\":6}\n", file);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) write_line(file, bad[i]);
  write_line(file, LATER);
  end(file);
  assert_true(decode(0, &sample));
  struct later *later = later_new(&sample_schemas, path);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_null(later_find(later, schema_fingerprint(str_of(bad[i]))));
  later_free(later);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_fingerprint_is_that_of_the_generator),
      cmocka_unit_test_setup_teardown(
          a_record_of_a_later_release_is_read_once_its_schema_is_in_the_file, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_symbol_that_is_new_is_refused_and_named, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_file_that_is_gone_leaves_what_was_learnt, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_bad_line_is_passed_over_and_the_good_ones_are_taken, set_up,
                                      tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
