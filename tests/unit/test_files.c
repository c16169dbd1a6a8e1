/* Files that people write, and paths that they ask for: what is wrong with them is said with its
 * line, and nothing is cut in silence. */
#include <stdlib.h>

#include "../lib/harness.h"
#include "holdfast/script.h"
#include "runtime/base/settings.h"
#include "holdfast/topic_file.h"
#include "runtime/core/view_internal.h"

static FILE *file_of(struct str bytes) {
  FILE *file = tmpfile();
  assert_non_null(file);
  assert_int_equal(fwrite(bytes.data, 1, bytes.size, file), bytes.size);
  rewind(file);
  return file;
}

/* ---- settings ---- */

static char error[512];

static bool collect(void *user, const char *name, const char *value, char *why) {
  if (strcmp(name, "bad") == 0) return snprintf(why, SETTINGS_WHY_SIZE, "bad it is"), false;
  size_t used = strlen(user);
  snprintf((char *)user + used, 256 - used, "%s=%s,", name, value);
  return true;
}

#define BYTES(literal) \
  { literal, sizeof literal - 1 }

static const struct {
  struct str text;
  const char *taken, *wrong; /* wrong NULL: it is read */
} files[] = {
    {BYTES(""), "", NULL},
    {BYTES("a=1\n\n  # one\n; two\n\tb.c-d_e = x = y ; z\t\r\nf =\n"), "a=1,b.c-d_e=x = y ; z,f=,",
     NULL},
    {BYTES("\xef\xbb\xbf"
           "a=1"),
     "a=1,", NULL},
    {BYTES("a=1\nword\n"), "a=1,", "it:2: needs 'name = value'"},
    {BYTES("a: 1\n"), "", "it:1: needs 'name = value'"},
    {BYTES("= 1\n"), "", "it:1: needs 'name = value'"},
    {BYTES("[a]\n"), "", "it:1: needs 'name = value'"},
    {BYTES("a b = 1\n"), "", "it:1: needs 'name = value'"},
    {BYTES("a = 1\n  and more\n"), "a=1,", "it:2: needs 'name = value'"},
    {BYTES("a=1\nb=2\0c=3\n"), "a=1,", "it:2: has a NUL byte"},
    {BYTES("a=1\nbad=2\nc=3\n"), "a=1,", "it:2: bad it is"},
};

static void a_file_of_settings_is_read_or_refused_with_its_line(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char taken[256] = "";
    FILE *file = file_of(files[i].text);
    bool fine = settings_read(file, "it", collect, taken, error);
    if (fine != !files[i].wrong || (!fine && !strstr(error, files[i].wrong)))
      fail_msg("%s: %s", files[i].text.data, fine ? "was read" : error);
    assert_string_equal(taken, files[i].taken);
    fclose(file);
  }
}

static bool measure(void *user, const char *name, const char *value, char *why) {
  (void)name;
  (void)why;
  *(size_t *)user = strlen(value);
  return true;
}

static bool long_line(size_t letters, size_t *size) {
  char *text = malloc(letters + 2);
  memset(text, 'x', letters + 2);
  text[1] = '=';
  FILE *file = file_of((struct str){text, letters + 2});
  bool fine = settings_read(file, "it", measure, size, error);
  fclose(file);
  free(text);
  return fine;
}

static void a_long_value_is_whole_and_a_line_without_end_is_refused(void **unused) {
  (void)unused;
  size_t size = 0;
  assert_true(long_line(100000, &size));
  assert_int_equal(size, 100000);
  assert_false(long_line((size_t)2 << 20, &size));
  assert_non_null(strstr(error, "it:1: is longer than 1 MiB"));
}

static void a_folder_is_no_file_of_settings(void **unused) {
  (void)unused;
  FILE *file = fopen("/tmp", "r");
  assert_false(settings_read(file, "/tmp", measure, NULL, error));
  assert_non_null(strstr(error, "'/tmp' cannot be read"));
  fclose(file);
}

/* ---- topic files ---- */

static const struct {
  struct str text;
  int32_t partitions;
  const char *wrong;
} topics[] = {
    {BYTES("; it\npartitions = 4\ncleanup.policy = delete\nkey = a\nkey = b\n"), 4, NULL},
    {BYTES("cleanup.policy = delete\n"), 0, "a/it.topic: needs 'partitions = N'"},
    {BYTES("partitions = 4x\n"), 0, "a/it.topic:1: partitions must be a whole number"},
    {BYTES("partitions = 4294967297\n"), 0, "a/it.topic:1: partitions must be a whole number"},
    {BYTES("partitions = 1025\n"), 0, "a/it.topic:1: partitions must be a whole number"},
    {BYTES("partitions = 1\npartitions = 2\n"), 0, "a/it.topic:2: 'partitions' is said twice"},
    {BYTES("partitions = 1\na = 1\na = 2\n"), 0, "a/it.topic:3: 'a' is said twice"},
    {BYTES("partitions = 1\nretention.ms =\n"), 0, "a/it.topic:2: needs a value"},
};

static void a_topic_file_is_read_or_refused_with_its_line(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
    struct topic_file topic;
    FILE *file = file_of(topics[i].text);
    bool fine = topic_file_read(file, "a/it.topic", &topic, error);
    if (fine != !topics[i].wrong || (!fine && !strstr(error, topics[i].wrong)))
      fail_msg("%s: %s", topics[i].text.data, fine ? "was read" : error);
    if (fine) assert_int_equal(topic.partitions, topics[i].partitions);
    assert_string_equal(topic.name, "it");
    topic_file_free(&topic);
    fclose(file);
  }
}

/* ---- scripts ---- */

static void a_wait_longer_than_an_hour_is_refused_however_long(void **unused) {
  (void)unused;
  static const struct str texts[] = {
      BYTES("{\"wait\":{\"item\":\"i\",\"seconds\":3601}}\n"),
      BYTES("{\"wait\":{\"item\":\"i\",\"seconds\":4294967301}}\n"), /* 2^32 + 5 */
      BYTES("{\"wait\":{\"item\":\"i\",\"seconds\":0}}\n"),
      BYTES("{\"wait\":{\"item\":\"i\",\"seconds\":\"5\"}}\n")};
  struct codec *codec = codec_new(&holdfast_schemas);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct script script = {0};
    FILE *file = file_of(texts[i]);
    if (script_read(&script, file, codec, error)) fail_msg("%s was taken", texts[i].data);
    assert_non_null(strstr(error, "line 1: needs {\"wait\""));
    script_free(&script);
    fclose(file);
  }
  codec_free(codec);
}

/* ---- paths ---- */

static const struct route routes[] = {{.path = "/things/{}/parts"}, {.path = "/things"}, {0}};

static void a_path_finds_its_route_and_only_a_text_is_an_id(void **unused) {
  (void)unused;
  static const struct {
    const char *path, *part;
    int route; /* -1: none */
  } paths[] = {{"/things", "", 1},
               {"/things/a/parts", "a", 0},
               {"/things/a/b/parts", "a/b", 0},
               {"/things/parts/parts", "parts", 0},
               {"/things//parts", "", -1},
               {"/things/parts", "", -1},
               {"/things/a", "", -1},
               {"", "", -1},
               {"/things/\xff/parts", "", -1}};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    struct str part = {0};
    const struct route *route = route_find(routes, paths[i].path, &part);
    int found = route ? (int)(route - routes) : -1;
    if (found != paths[i].route) fail_msg("%s finds %d", paths[i].path, found);
    if (route) assert_true(str_equal(part, str_of(paths[i].part)));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_file_of_settings_is_read_or_refused_with_its_line),
      cmocka_unit_test(a_long_value_is_whole_and_a_line_without_end_is_refused),
      cmocka_unit_test(a_folder_is_no_file_of_settings),
      cmocka_unit_test(a_topic_file_is_read_or_refused_with_its_line),
      cmocka_unit_test(a_wait_longer_than_an_hour_is_refused_however_long),
      cmocka_unit_test(a_path_finds_its_route_and_only_a_text_is_an_id),
  };
  return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
