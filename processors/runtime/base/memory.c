#include "runtime/base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CACHE_PART 16
#define CACHE_LEAST_MIB 8

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* The number after the name in the first line that begins with it; UINT64_MAX: there is none, or
 * the word "max". */
static uint64_t read_number(const char *path, const char *name) {
  char line[256];
  uint64_t number = UINT64_MAX;
  FILE *file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file)) {
    if (strncmp(line, name, strlen(name)) != 0) continue;
    if (sscanf(line + strlen(name), "%" SCNu64, &number) != 1) number = UINT64_MAX;
    break;
  }
  if (file) fclose(file);
  return number;
}

/* The group of version 2 that this process is in: "/" in most containers. */
static void find_group(const char *root, char *group, size_t size) {
  char path[512], line[512];
  snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
  snprintf(group, size, "/");
  FILE *file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "0::/", 4) == 0) snprintf(group, size, "%s", line + 3);
  }
  if (file) fclose(file);
}

/* A group may use no more than those above it. */
static uint64_t group_limit(const char *root) {
  char group[512], path[1200];
  uint64_t limit = UINT64_MAX;
  find_group(root, group, sizeof group);
  for (char *end = group + strlen(group); end; end = strrchr(group, '/')) {
    *end = '\0';
    snprintf(path, sizeof path, "%s/sys/fs/cgroup%s/memory.max", root, group);
    limit = least(limit, read_number(path, ""));
  }
  return limit;
}

uint64_t memory_allowed(const char *root) {
  char path[512];
  snprintf(path, sizeof path, "%s/proc/meminfo", root);
  uint64_t kib = read_number(path, "MemAvailable:");
  return least(group_limit(root), kib == UINT64_MAX ? kib : kib << 10);
}

uint64_t memory_cache_mib(uint64_t allowed) {
  uint64_t mib = allowed == UINT64_MAX ? 0 : (allowed >> 20) / CACHE_PART;
  return mib > CACHE_LEAST_MIB ? mib : CACHE_LEAST_MIB;
}
