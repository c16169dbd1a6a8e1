/* The memory that a process may use, and the cache's part of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../lib/harness.h"
#include "runtime/base/memory.h"

#define MIB (UINT64_C(1) << 20)

static void put(const char *root, const char *path, const char *text) {
  char full[512];
  if (!text) return;
  snprintf(full, sizeof full, "%s/%s", root, path);
  for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
    *slash = '\0';
    mkdir(full, 0700);
  }
  FILE *file = fopen(full, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static void remove_all(const char *root) {
  char command[256];
  snprintf(command, sizeof command, "rm -rf '%s'", root);
  assert_int_equal(system(command), 0);
}

static void the_least_of_groups_and_machine_is_allowed(void **unused) {
  (void)unused;
  static const char machine[] = "MemTotal:       8388608 kB\nMemAvailable:   4194304 kB\n";
  static const struct {
    const char *what, *machine, *group, *limit, *limit_above, *limit_of_all;
    uint64_t allowed, cache;
  } cases[] = {
      {"nobody says", NULL, NULL, NULL, NULL, NULL, UINT64_MAX, 8},
      {"the machine alone", machine, NULL, NULL, NULL, NULL, 4096 * MIB, 256},
      {"a group without a limit", machine, "0::/a/b\n", "max\n", "max\n", NULL, 4096 * MIB, 256},
      {"a group", machine, "0::/a/b\n", "536870912\n", "max\n", NULL, 512 * MIB, 32},
      {"the group above", machine, "0::/a/b\n", "536870912\n", "268435456\n", NULL, 256 * MIB, 16},
      {"a container", machine, "0::/\n", NULL, NULL, "1073741824\n", 1024 * MIB, 64},
      {"a group of more than there is", machine, "0::/a/b\n", "99999999999\n", NULL, NULL,
       4096 * MIB, 256},
      {"groups of version 1", machine, "4:memory:/a/b\n", "1\n", NULL, NULL, 4096 * MIB, 256},
      {"a small one", machine, "0::/a/b\n", "67108864\n", NULL, NULL, 64 * MIB, 8},
      {"a file that says something else", "?\n", "?\n", NULL, NULL, "?\n", UINT64_MAX, 8}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char root[] = "/tmp/holdfast-test-XXXXXX";
    assert_non_null(mkdtemp(root));
    put(root, "proc/meminfo", cases[i].machine);
    put(root, "proc/self/cgroup", cases[i].group);
    put(root, "sys/fs/cgroup/a/b/memory.max", cases[i].limit);
    put(root, "sys/fs/cgroup/a/memory.max", cases[i].limit_above);
    put(root, "sys/fs/cgroup/memory.max", cases[i].limit_of_all);
    uint64_t allowed = memory_allowed(root);
    remove_all(root);
    if (allowed != cases[i].allowed || memory_cache_mib(allowed) != cases[i].cache)
      fail_msg("%s: %" PRIu64 " allowed, a cache of %" PRIu64, cases[i].what, allowed,
               memory_cache_mib(allowed));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_least_of_groups_and_machine_is_allowed),
  };
  return cmocka_run_group_tests_name("memory limit", tests, NULL, NULL);
}
