/* The disks of the machines: lost, torn by a loss of power, taken by another. */
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim.h"

#define SPARES_MAX 24
#define SPARE_USES 15
#define CACHE_BYTES ((size_t)1 << 20)

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk) {
  (void)status;
  (void)flag;
  (void)walk;
  return remove(path);
}

char newest_path[512];

static int newest_log(const char *path, const struct stat *status, int flag, struct FTW *walk) {
  (void)walk;
  size_t size = strlen(path);
  if (flag == FTW_F && size > 4 && strcmp(path + size - 4, ".log") == 0 && status->st_size > 0 &&
      strcmp(path, newest_path) > 0)
    snprintf(newest_path, sizeof newest_path, "%s", path);
  return 0;
}

/* The last writes to the WAL never reached the disk; the tear may go through a record. */
void disk_tear(struct sim *sim, struct disk *disk) {
  store_close(disk->store);
  disk->store = NULL;
  newest_path[0] = '\0';
  nftw(disk->directory, newest_log, 8, FTW_PHYS);
  struct stat status;
  if (!newest_path[0] || stat(newest_path, &status) != 0) return;
  uint64_t lost = chance_below(&sim->chance, (uint64_t)status.st_size + 1);
  if (chance_of(&sim->chance, 700)) lost %= 4096;
  if (truncate(newest_path, status.st_size - (off_t)lost) != 0) abort();
  sim->counts[COUNT_POWER_LOSSES]++;
  sim_tell(sim, "power is lost: the last %" PRIu64 " bytes of %s are gone", lost, newest_path);
}

static struct {
  struct store *store;
  const char *owner;
  int uses;
} spares[SPARES_MAX];

struct store *sim_take_store(const char *owner) {
  for (int i = 0; i < SPARES_MAX; i++) {
    if (!spares[i].store || strcmp(spares[i].owner, owner) != 0) continue;
    struct store *store = spares[i].store;
    spares[i].store = NULL;
    return store;
  }
  char error[300];
  int code;
  struct store *store = store_open(NULL, owner, (struct store_memory){.cache = CACHE_BYTES}, error,
                                   sizeof error, &code);
  if (!store) abort();
  return store;
}

void sim_give_store(const char *owner, struct store *store, int32_t partitions) {
  for (int i = 0; i < SPARES_MAX; i++) {
    if (spares[i].store) continue;
    if (++spares[i].uses % SPARE_USES == 0) break;
    store_set_failpoint(store, NULL);
    for (int32_t p = 0; p < partitions; p++) store_wipe(store, p);
    store_write(store);
    spares[i].store = store;
    spares[i].owner = owner;
    return;
  }
  store_close(store);
}

bool disk_open(struct sim *sim, const struct filter *filter, struct disk *disk) {
  if (disk->store) return true;
  if (!disk->directory) disk->store = sim_take_store(filter->processor.name);
  if (disk->store) return true;
  char error[300];
  int code;
  disk->store = store_open(disk->directory, filter->processor.name,
                           (struct store_memory){.cache = CACHE_BYTES}, error, sizeof error, &code);
  if (!disk->store) sim_fail(sim, "%s", error);
  return disk->store != NULL;
}

void disk_lose(const struct filter *filter, struct disk *disk, int32_t partitions) {
  if (disk->directory) {
    store_close(disk->store);
    nftw(disk->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
  } else if (disk->store) {
    sim_give_store(filter->processor.name, disk->store, partitions);
  }
  disk->store = NULL;
}

/* Few seeds lose power: files are slower than memory. */
void disks_choose(struct sim *sim) {
  if (chance_below(&sim->chance, 12) != 0) return;
  int filter = (int)chance_below(&sim->chance, (uint64_t)sim->filter_count);
  for (int i = 0; i < STORES_MAX; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s/holdfast-sim-%d-%d",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid(), i);
    nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    sim->filters[filter].disks[i].directory = xstrdup(path);
  }
}
