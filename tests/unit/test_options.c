/* Options: flags, environment, file, defaults. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../lib/harness.h"

static void flags_win_over_the_environment_over_the_file_over_defaults(void **unused) {
  (void)unused;
  static const struct option_desc table[] = {
      {.name = "one", .letter = '1', .value = "default"},
      {.name = "two", .value = "default"},
      {.name = "three", .value = "default"},
      {.name = "four", .value = "default"},
      {.name = "size", .kind = OPTION_NUMBER, .value = "5", .min = 1, .max = 9},
      {0}};
  char path[] = "/tmp/holdfast-test-XXXXXX";
  int file = mkstemp(path);
  const char text[] =
      "one = file\ntwo=file\n# a comment\nthree = file\nsession.timeout.ms = 6000\nlinger.ms = 9\n";
  assert_int_equal(write(file, text, sizeof text - 1), sizeof text - 1);
  setenv("HOLDFAST_TWO", "environment", 1);
  setenv("HOLDFAST_ONE", "environment", 1);
  char *argv[] = {"test",     "-F",   path, "--one=flag", "-X", "linger.ms=1",
                  "-Xsize=7", "word", "--", "-x",         NULL};
  struct options options = {0};
  options_add(&options, kafka_options);
  options_add(&options, table);
  if (!options_parse(&options, 10, argv)) fail_msg("%s", options.error);
  assert_string_equal(options_text(&options, "one"), "flag");
  assert_string_equal(options_text(&options, "two"), "environment");
  assert_string_equal(options_text(&options, "three"), "file");
  assert_string_equal(options_text(&options, "four"), "default");
  assert_int_equal(options_number(&options, "size"), 7);
  assert_int_equal(options.argument_count, 2);
  assert_int_equal(options.kafka_count, 2);
  assert_string_equal(options.kafka[0].value, "1");
  options_free(&options);
  unsetenv("HOLDFAST_TWO");
  unsetenv("HOLDFAST_ONE");
  unlink(path);
}

static void a_wrong_flag_says_what_is_wrong(void **unused) {
  (void)unused;
  static const struct option_desc table[] = {
      {.name = "size", .kind = OPTION_NUMBER, .metavar = "N", .min = 1, .max = 9},
      {.name = "cache", .kind = OPTION_NUMBER, .metavar = "N", .min = 1, .max = 9, .word = "auto"},
      {.name = "key", .metavar = "TEXT", .secret = true},
      {0}};
  static const char *const wrong[][3] = {
      {"--nothing", NULL, "unknown option '--nothing'"},
      {"--size", NULL, "'--size' needs a value: N"},
      {"--size", "0", "from 1 to 9, not '0'"},
      {"--size", "x", "--size must be a whole number from 1 to 9, not 'x'"},
      {"--size", "auto", "from 1 to 9, not 'auto'"},
      {"--cache", "0", "--cache must be auto or a whole number from 1 to 9, not '0'"},
      {"--cache", "automatic", "auto or a whole number from 1 to 9, not 'automatic'"},
      {"-X", "novalue", "-X needs name=value"},
      {"-X", "sasl.password=4711", "sasl.password is a secret"},
      {"-X", "key=4711", "key is a secret"},
      {"--key=4711", NULL, "key is a secret"},
      {"-F", "/nowhere", "cannot read the properties file '/nowhere'"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct options options = {0};
    char *argv[] = {"test", (char *)(uintptr_t)wrong[i][0], (char *)(uintptr_t)wrong[i][1], NULL};
    options_add(&options, kafka_options);
    options_add(&options, table);
    assert_false(options_parse(&options, wrong[i][1] ? 3 : 2, argv));
    if (!strstr(options.error, wrong[i][2])) fail_msg("%s: '%s'", wrong[i][0], options.error);
    assert_null(strstr(options.error, "4711"));
    options_free(&options);
  }
}

static void a_wrong_variable_says_what_is_wrong(void **unused) {
  (void)unused;
  static const struct option_desc table[] = {
      {.name = "a-size", .kind = OPTION_NUMBER, .min = 1, .max = 9}, {0}};
  struct options options = {0};
  char *argv[] = {"test", NULL};
  setenv("HOLDFAST_A_SIZE", "ten", 1);
  options_add(&options, table);
  assert_false(options_parse(&options, 1, argv));
  assert_string_equal(options.error,
                      "HOLDFAST_A_SIZE in the environment: --a-size must be a whole number from 1 "
                      "to 9, not 'ten'");
  options_free(&options);
  unsetenv("HOLDFAST_A_SIZE");
}

static void a_word_may_stand_for_a_number(void **unused) {
  (void)unused;
  static const struct option_desc table[] = {
      {.name = "cache", .kind = OPTION_NUMBER, .value = "8", .min = 1, .max = 9, .word = "auto"},
      {0}};
  static const struct {
    const char *given;
    int64_t number;
  } cases[] = {{NULL, 8}, {"--cache=3", 3}, {"--cache=auto", 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct options options = {0};
    char *argv[] = {"test", (char *)(uintptr_t)cases[i].given, NULL};
    options_add(&options, table);
    if (!options_parse(&options, cases[i].given ? 2 : 1, argv)) fail_msg("%s", options.error);
    assert_int_equal(options_number(&options, "cache"), cases[i].number);
    options_free(&options);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(flags_win_over_the_environment_over_the_file_over_defaults),
      cmocka_unit_test(a_wrong_flag_says_what_is_wrong),
      cmocka_unit_test(a_wrong_variable_says_what_is_wrong),
      cmocka_unit_test(a_word_may_stand_for_a_number),
  };
  return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
