/* Encoding, past versions, and bytes that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <avro.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/record/codec.h"
#include "runtime/record/json.h"
#include "gen/records.h"
#include "gen/sample_records.h"

extern const struct schema_set sample_schemas;

static struct codec *codec, *samples;
static struct arena arena;
static char error[CODEC_ERROR_SIZE];

static int set_up(void **unused) {
  (void)unused;
  codec = codec_new(&holdfast_schemas);
  samples = codec_new(&sample_schemas);
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  codec_free(codec);
  codec_free(samples);
  arena_free(&arena);
  return 0;
}

static struct sample a_sample(void) {
  static const struct str tags[] = {{"a", 1}, {"", 0}, {"분노의 질주", 16}};
  static const struct spot spots[] = {{.x = -1, .label = {"left", 4}},
                                      {.x = INT32_MAX, .label = {"right", 5}}};
  return (struct sample){.color = COLOR_RED,
                         .name = STR("n"),
                         .count = INT64_MIN,
                         .note = STR("hm"),
                         .limit = INT32_MIN,
                         .tags = {3, tags},
                         .spots = {2, spots},
                         .on = false,
                         .raw = {"\0\xff", 2}};
}

static void what_is_encoded_is_decoded(void **unused) {
  (void)unused;
  struct sample in = a_sample();
  struct record out;
  struct str bytes = codec_encode(samples, (struct record){0, &in}, &arena);
  assert_true(codec_decode(samples, bytes, &arena, &out, error));
  const struct sample *sample = out.value;
  assert_int_equal(sample->color, COLOR_RED);
  assert_true(sample->count == INT64_MIN && sample->limit == INT32_MIN && !sample->on);
  assert_true(str_equal(sample->raw, in.raw));
  assert_int_equal(sample->tags.count, 3);
  assert_true(str_equal(sample->tags.items[2], STR("분노의 질주")));
  assert_int_equal(sample->spots.items[1].x, INT32_MAX);
  assert_true(str_equal(sample->spots.items[0].label, STR("left")));
}

/* Written by version 1: {"name","gone","count":int,"color":RED|BLUE}. */
static void a_past_version_is_read_with_defaults_for_what_is_new(void **unused) {
  (void)unused;
  uint64_t fingerprint = 0;
  for (size_t i = 0; i < sample_schemas.version_count; i++) {
    if (!sample_schemas.versions[i].current) fingerprint = sample_schemas.versions[i].fingerprint;
  }
  assert_true(fingerprint != 0);
  char bytes[64] = {(char)0xc3, 0x01};
  memcpy(bytes + 2, &fingerprint, 8);
  const char body[] = {2, 'n', 4, 'x', 'y', 13, 2}; /* "n", "xy", -7, BLUE */
  memcpy(bytes + 10, body, sizeof body);
  struct record out;
  if (!codec_decode(samples, (struct str){bytes, 10 + sizeof body}, &arena, &out, error))
    fail_msg("%s", error);
  const struct sample *sample = out.value;
  assert_true(str_equal(sample->name, STR("n")));
  assert_true(sample->count == -7);            /* int became long */
  assert_int_equal(sample->color, COLOR_BLUE); /* by its name: its number has changed */
  assert_true(str_equal(sample->note, STR("none")));
  assert_int_equal(sample->limit, 7);
  assert_true(sample->on);
  assert_int_equal(sample->tags.count, 0);
}

static void the_first_bytes_are_the_single_object_encoding(void **unused) {
  (void)unused;
  struct pay pay = {STR("r"), STR("c")};
  struct str bytes = codec_encode(codec, (struct record){RECORD_PAY, &pay}, &arena);
  assert_int_equal(bytes.size, 10 + 4);
  assert_memory_equal(bytes.data, "\xc3\x01", 2);
  assert_memory_equal(bytes.data + 10,
                      "\x02r\x02"
                      "c",
                      4);
}

static struct str with_header(int type, const char *body, size_t size) {
  struct pay unused = {0};
  (void)unused;
  char *bytes = arena_alloc(&arena, 10 + size);
  memcpy(bytes, "\xc3\x01", 2);
  for (size_t i = 0; i < holdfast_schemas.version_count; i++) {
    if (holdfast_schemas.versions[i].type == type && holdfast_schemas.versions[i].current)
      memcpy(bytes + 2, &holdfast_schemas.versions[i].fingerprint, 8);
  }
  memcpy(bytes + 10, body, size);
  return (struct str){bytes, 10 + size};
}

#define BODY(text) text, sizeof text - 1
static const struct {
  const char *name;
  int type;
  const char *body;
  size_t size;
  const char *error;
} hostile[] = {
    {"nothing", RECORD_PAY, BODY(""), "at byte 0: the bytes end within a number"},
    {"a number that ends early", RECORD_PAY, BODY("\x02r\x80"), "the bytes end within a number"},
    {"a number of eleven bytes", RECORD_PAY, BODY("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
     "more than 64 bits"},
    {"a negative length", RECORD_PAY,
     BODY("\x01r\x02"
          "c"),
     "a length of -1"},
    {"a length past the end", RECORD_PAY,
     BODY("\x02r\x08"
          "c"),
     "a length of 4 with 1 bytes left"},
    {"a length of 8 GiB", RECORD_PAY, BODY("\x80\x80\x80\x80\x40r"), "a length of 8589934592"},
    {"bytes left over", RECORD_PAY,
     BODY("\x02r\x02"
          "c!"),
     "1 bytes are left over"},
    {"a string that is not UTF-8", RECORD_PAY,
     BODY("\x02\xff\x02"
          "c"),
     "not UTF-8"},
    {"an overlong form", RECORD_PAY,
     BODY("\x04\xc0\x80\x02"
          "c"),
     "not UTF-8"},
    {"a surrogate", RECORD_PAY,
     BODY("\x06\xed\xa0\x80\x02"
          "c"),
     "not UTF-8"},
    {"an array of 2^40 items", RECORD_RESERVE,
     BODY("\x02r\x02"
          "c\x02i\x00\x80\x80\x80\x80\x80\x40"),
     "an array of"},
    {"an array's least count", RECORD_RESERVE,
     BODY("\x02r\x02"
          "c\x02i\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02"),
     "count out of range"},
    {"a block that lies about its size", RECORD_RESERVE,
     BODY("\x02r\x02"
          "c\x02i\x00\x01\x7f\x02s\x00\x00\x00"),
     "an array's block"},
    {"an int past 32 bits", RECORD_RESERVE,
     BODY("\x02r\x02"
          "c\x02i\x80\x80\x80\x80\x20\x00\x00\x00"),
     "does not fit an int"},
    {"an enum's index past its symbols", RECORD_HOLD, BODY("\x08\x00\x00\x00"),
     "an enum's index of 4"},
    {"a negative enum's index", RECORD_HOLD, BODY("\x01\x00\x00\x00"), "an enum's index of -1"},
    {"a boolean of two", RECORD_CHARGE_SETTLED, BODY("\x02r\x02k\x00\x02"), "a boolean of 2"},
    {"a boolean that is missing", RECORD_CHARGE_SETTLED, BODY("\x02r\x02k\x00"),
     "end before a boolean"},
};

static void bytes_that_lie_are_refused_with_the_place(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
    struct record out;
    error[0] = '\0';
    struct str bytes = with_header(hostile[i].type, hostile[i].body, hostile[i].size);
    if (codec_decode(codec, bytes, &arena, &out, error)) fail_msg("%s: was taken", hostile[i].name);
    if (!strstr(error, hostile[i].error)) fail_msg("%s: '%s'", hostile[i].name, error);
  }
}

/* What fuzzing asserts of every input, for the one that is known to have needed 8 GiB. */
static void an_array_in_blocks_of_one_item_needs_memory_in_proportion_to_its_bytes(void **unused) {
  (void)unused;
  enum { BLOCKS = 32000 };
  static const char head[] = {0, 2, 'n', 0, 0, 0}; /* color, name, count, note, limit */
  static const char tail[] = {0, 0, 1, 0};         /* no further tag, no spots, on, raw */
  static char bytes[10 + sizeof head + 2 * BLOCKS + sizeof tail];
  struct sample one = a_sample();
  memcpy(bytes, codec_encode(samples, (struct record){0, &one}, &arena).data, 10);
  memcpy(bytes + 10, head, sizeof head);
  for (size_t i = 0; i < BLOCKS; i++)
    bytes[10 + sizeof head + 2 * i] = 2; /* a block of one tag, which is empty */
  memcpy(bytes + sizeof bytes - sizeof tail, tail, sizeof tail);
  struct arena memory = {0};
  struct record out;
  if (!codec_decode(samples, (struct str){bytes, sizeof bytes}, &memory, &out, error))
    fail_msg("%s", error);
  const struct sample *sample = out.value;
  assert_int_equal(sample->tags.count, BLOCKS);
  assert_true(memory.total <= 64 * sizeof bytes);
  arena_free(&memory);
}

static void what_is_not_single_object_encoding_is_refused(void **unused) {
  (void)unused;
  struct record out;
  static char large[RECORD_SIZE_MAX + 1] = "\xc3\x01";
  assert_false(codec_decode(codec, STR(""), &arena, &out, error));
  assert_false(codec_decode(codec, STR("{\"type\":\"Reserve\"}"), &arena, &out, error));
  assert_non_null(strstr(error, "single-object encoding"));
  assert_false(codec_decode(codec, STR("\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08 more"), &arena,
                            &out, error));
  assert_non_null(strstr(error, "fingerprint 0807060504030201 is not known"));
  assert_false(codec_decode(codec, (struct str){large, sizeof large}, &arena, &out, error));
  assert_non_null(strstr(error, "65537 bytes are more than the limit"));
}

static void a_record_past_the_limit_is_not_encoded(void **unused) {
  (void)unused;
  static char large[RECORD_SIZE_MAX];
  memset(large, 'x', sizeof large);
  struct pay pay = {{large, sizeof large}, STR("c")};
  assert_null(codec_encode(codec, (struct record){RECORD_PAY, &pay}, &arena).data);
  pay.reservation_id = STR("r"); /* and the next one is none the worse */
  assert_non_null(codec_encode(codec, (struct record){RECORD_PAY, &pay}, &arena).data);
}

static struct str random_text(unsigned *seed) {
  char text[300];
  size_t size = (size_t)rand_r(seed) % (rand_r(seed) % 8 ? 12 : sizeof text);
  for (size_t i = 0; i < size; i++) text[i] = (char)(rand_r(seed) % 128);
  return arena_copy(&arena, (struct str){text, size});
}

static int64_t random_number(unsigned *seed) {
  uint64_t bits =
      (uint64_t)rand_r(seed) << 33 ^ (uint64_t)rand_r(seed) << 11 ^ (uint64_t)rand_r(seed);
  return (int64_t)(bits >> rand_r(seed) % 64);
}

static struct sample random_sample(unsigned *seed) {
  struct sample sample = {.color = (enum color)(rand_r(seed) % 2),
                          .name = random_text(seed),
                          .count = random_number(seed) * (rand_r(seed) % 2 ? 1 : -1),
                          .note = random_text(seed),
                          .limit = (int32_t)random_number(seed),
                          .on = rand_r(seed) % 2,
                          .raw = random_text(seed)};
  struct str *tags = arena_alloc(&arena, 100 * sizeof *tags);
  struct spot *spots = arena_alloc(&arena, 100 * sizeof *spots);
  sample.tags.count = (size_t)rand_r(seed) % 100;
  sample.spots.count = (size_t)rand_r(seed) % 3;
  for (size_t i = 0; i < sample.tags.count; i++) tags[i] = random_text(seed);
  for (size_t i = 0; i < sample.spots.count; i++)
    spots[i] = (struct spot){.x = (int32_t)random_number(seed), .label = random_text(seed)};
  sample.tags.items = tags;
  sample.spots.items = spots;
  return sample;
}

/* avro-c takes what is written here for the same value: it reads it and writes the same bytes. */
static void avro_c_reads_what_is_written_and_writes_what_is_read(void **unused) {
  (void)unused;
  const char *given = getenv("SEED");
  unsigned seed = given ? (unsigned)atoi(given) : (unsigned)time(NULL);
  printf("seed %u (repeat with SEED=%u)\n", seed, seed);
  const struct schema_version *version = sample_schemas.versions;
  while (!version->current) version++;
  avro_schema_t schema;
  assert_int_equal(avro_schema_from_json_length(version->json, strlen(version->json), &schema), 0);
  avro_value_iface_t *class = avro_generic_class_from_schema(schema);
  for (int i = 0; i < 2000; i++) {
    struct sample in = random_sample(&seed);
    struct str bytes = codec_encode(samples, (struct record){0, &in}, &arena);
    static char again[RECORD_SIZE_MAX];
    avro_value_t value;
    avro_generic_value_new(class, &value);
    avro_reader_t reader = avro_reader_memory(bytes.data + 10, (int64_t)bytes.size - 10);
    avro_writer_t writer = avro_writer_memory(again, sizeof again);
    assert_int_equal(avro_value_read(reader, &value), 0);
    assert_int_equal(avro_value_write(writer, &value), 0);
    assert_int_equal(avro_writer_tell(writer), bytes.size - 10);
    assert_memory_equal(again, bytes.data + 10, bytes.size - 10);
    struct record out;
    assert_true(codec_decode(samples, bytes, &arena, &out, error));
    assert_true(str_equal(codec_encode(samples, out, &arena), bytes));
    avro_value_decref(&value);
    avro_reader_free(reader);
    avro_writer_free(writer);
    arena_reset(&arena);
  }
  avro_value_iface_decref(class);
  avro_schema_decref(schema);
}

/* Any bytes: decoded or refused, within bounds (the sanitizers look), and what is decoded can be
 * encoded again. */
static void random_damage_never_harms(void **unused) {
  (void)unused;
  const char *given = getenv("SEED");
  unsigned seed = given ? (unsigned)atoi(given) : (unsigned)time(NULL);
  printf("seed %u (repeat with SEED=%u)\n", seed, seed);
  struct sample in = a_sample();
  struct str good = codec_encode(samples, (struct record){0, &in}, &arena);
  int decoded = 0;
  for (int i = 0; i < 100000; i++) {
    struct arena round = {0};
    struct str copy = arena_copy(&round, good);
    char *bytes = (char *)(uintptr_t)copy.data;
    for (int n = rand_r(&seed) % 4; n >= 0; n--)
      bytes[10 + (size_t)rand_r(&seed) % (copy.size - 10)] = (char)rand_r(&seed);
    if (rand_r(&seed) % 4 == 0) copy.size = 10 + (size_t)rand_r(&seed) % (copy.size - 10);
    struct record out;
    if (codec_decode(samples, copy, &round, &out, error)) {
      decoded++;
      assert_non_null(codec_encode(samples, out, &round).data);
    }
    arena_free(&round);
  }
  assert_true(decoded > 0);
}

static void every_record_survives_json(void **unused) {
  (void)unused;
  struct sample in = a_sample();
  json_t *json = record_to_json(&sample_schemas, (struct record){0, &in});
  struct record out;
  if (!record_from_json(&sample_schemas, json, &arena, &out, error)) fail_msg("%s", error);
  json_decref(json);
  assert_true(str_equal(codec_encode(samples, (struct record){0, &in}, &arena),
                        codec_encode(samples, out, &arena)));
}

static void json_that_does_not_fit_is_refused_with_the_field(void **unused) {
  (void)unused;
  static const char *const wrong[][2] = {
      {"[]", "needs an object with a \"type\""},
      {"{\"type\":\"Nothing\"}", "no record of type 'Nothing'"},
      {"{\"type\":\"Pay\",\"reservation_id\":\"r\"}", "Pay.customer_id: is missing"},
      {"{\"type\":\"Pay\",\"reservation_id\":\"r\",\"customer_id\":7}",
       "Pay.customer_id: must be a string"},
      {"{\"type\":\"Pay\",\"reservation_id\":\"r\",\"customer_id\":\"c\",\"amount\":7}",
       "Pay.amount: there is no such field"},
      {"{\"type\":\"ReceiveStock\",\"item_id\":\"i\",\"receipt_id\":\"q\",\"quantity\":3000000000}",
       "ReceiveStock.quantity: must be a whole number of 32 bits"},
      {"{\"type\":\"ReceiveStock\",\"item_id\":\"i\",\"receipt_id\":\"q\",\"quantity\":1.5}",
       "ReceiveStock.quantity: must be a whole number"},
      {"{\"type\":\"RegisterItem\",\"item_id\":\"i\",\"title\":\"t\",\"kind\":\"OPERA\","
       "\"payment\":\"NONE\"}",
       "RegisterItem.kind: must be one of CONCERT, BOOK"},
      {"{\"type\":\"RegisterItem\",\"item_id\":\"i\",\"title\":\"t\",\"kind\":\"BOOK\",\"payment\":"
       "\"NONE\",\"rows\":[{\"row\":\"A\"}]}",
       "SeatRowPlan.seats: is missing"},
      {"{\"type\":\"RegisterItem\",\"item_id\":\"i\",\"title\":\"t\",\"kind\":\"BOOK\",\"payment\":"
       "\"NONE\",\"options\":\"KT\"}",
       "RegisterItem.options: must be an array"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    json_t *json = json_loads(wrong[i][0], 0, NULL);
    struct record out;
    assert_non_null(json);
    assert_false(record_from_json(&holdfast_schemas, json, &arena, &out, error));
    if (!strstr(error, wrong[i][1])) fail_msg("%s: '%s'", wrong[i][0], error);
    json_decref(json);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_encoded_is_decoded),
      cmocka_unit_test(a_past_version_is_read_with_defaults_for_what_is_new),
      cmocka_unit_test(the_first_bytes_are_the_single_object_encoding),
      cmocka_unit_test(bytes_that_lie_are_refused_with_the_place),
      cmocka_unit_test(an_array_in_blocks_of_one_item_needs_memory_in_proportion_to_its_bytes),
      cmocka_unit_test(what_is_not_single_object_encoding_is_refused),
      cmocka_unit_test(a_record_past_the_limit_is_not_encoded),
      cmocka_unit_test(avro_c_reads_what_is_written_and_writes_what_is_read),
      cmocka_unit_test(random_damage_never_harms),
      cmocka_unit_test(every_record_survives_json),
      cmocka_unit_test(json_that_does_not_fit_is_refused_with_the_field),
  };
  return cmocka_run_group_tests_name("codec", tests, set_up, tear_down);
}
