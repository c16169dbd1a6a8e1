#include "spill.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

bool spill_make(const char *parent, char *out, size_t size) {
  snprintf(out, size, "%.200s/holdfast-XXXXXX", parent);
  if (mkdtemp(out)) return true;
  out[0] = '\0';
  return false;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk) {
  (void)status;
  (void)flag;
  (void)walk;
  return remove(path);
}

void spill_remove(const char *directory) {
  if (directory[0]) nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
