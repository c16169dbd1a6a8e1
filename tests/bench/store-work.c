/* The store alone, with the work that stock-check gives it: how much CPU a record costs when so
 * many rows are there.
 *
 * Usage: store-work DIRECTORY random|ordered ROWS [RECORDS CACHE-MIB]
 *
 * Writes so many holds of 1,000 items into a store, beside what is there. Then a batch is 10,000
 * requests: their holds (new ones) and items are read at once, then intents and rows are written as
 * the commit protocol has it. Reservations are UUIDs, random or ordered by time. CPU is of all
 * threads, compaction too, without that of making the requests up. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/murmur2.h"
#include "runtime/store/internal.h"

#define BATCH 10000
#define ITEMS 1000
#define ENTRIES (BATCH + ITEMS)
#define PARTITIONS 4
#define KEY_SIZE 96
#define ITEM_SIZE 10 /* item-00000 */
#define HOLD STR("\xc3\x01hold of 21 bytes...")
#define ITEM \
  STR("\xc3\x01stock level of an item, which has eighty bytes with its title and options .")

struct entry {
  struct change change;
  int32_t partition;
  char key[KEY_SIZE];
};

struct work {
  struct store *store;
  bool ordered;
  uint64_t made, random;
  struct entry entries[ENTRIES];
  struct store_place places[ENTRIES];
  struct change changes[ENTRIES];
  size_t counts[PARTITIONS], found;
  double making, reading; /* seconds of CPU */
};

static uint64_t chance(struct work *work) {
  work->random ^= work->random << 13;
  work->random ^= work->random >> 7;
  work->random ^= work->random << 17;
  return work->random * UINT64_C(2685821657736338717);
}

/* Its key begins with one letter and the item. */
static void make_entry(struct entry *entry, int size, struct str value) {
  entry->partition = murmur2_partition((struct str){entry->key + 1, ITEM_SIZE}, PARTITIONS);
  entry->change = (struct change){.key = {NULL, (size_t)size}, .value = value};
}

static void make_hold(struct work *work, struct entry *entry) {
  uint64_t high = chance(work), low = chance(work), hash = chance(work);
  uint64_t item = work->made % ITEMS;
  if (work->ordered) high = (UINT64_C(1760000000000) + work->made / 10) << 16 | (high & 0xffff);
  work->made++;
  int size = snprintf(entry->key, KEY_SIZE,
                      "hitem-%05" PRIu64 "%c%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64
                      "-%012" PRIx64 "%c%016" PRIx64,
                      item, 0, high >> 32, high >> 16 & 0xffff, (high & 0xfff) | 0x7000, low >> 48,
                      low & UINT64_C(0xffffffffffff), 0, hash);
  make_entry(entry, size, HOLD);
}

static void make_item(struct entry *entry, uint64_t item) {
  make_entry(entry, snprintf(entry->key, KEY_SIZE, "iitem-%05" PRIu64, item), ITEM);
}

static int by_place(const void *a, const void *b) {
  const struct entry *x = a, *y = b;
  if (x->partition != y->partition) return x->partition < y->partition ? -1 : 1;
  return str_compare((struct str){x->key, x->change.key.size},
                     (struct str){y->key, y->change.key.size});
}

static void make_batch(struct work *work, uint64_t items) {
  for (size_t i = 0; i < BATCH; i++) make_hold(work, &work->entries[i]);
  for (size_t i = 0; i < items; i++) make_item(&work->entries[BATCH + i], i);
  qsort(work->entries, BATCH + items, sizeof *work->entries, by_place);
  memset(work->counts, 0, sizeof work->counts);
  for (size_t i = 0; i < BATCH + items; i++) {
    struct entry *entry = &work->entries[i];
    entry->change.key.data = entry->key;
    work->places[i] = (struct store_place){entry->partition, entry->change.key};
    work->changes[i] = entry->change;
    work->counts[entry->partition]++;
  }
}

static void take(void *user, size_t number, struct str bytes) {
  struct work *work = user;
  (void)number;
  work->found += bytes.data != NULL;
}

static void put_intents(struct work *work) {
  const struct change *changes = work->changes;
  for (int32_t p = 0; p < PARTITIONS; changes += work->counts[p++]) {
    const struct intent intent = {.changes = changes, .change_count = work->counts[p]};
    store_put_intent(work->store, p, &intent);
  }
}

static void put_rows(struct work *work) {
  const struct change *changes = work->changes;
  for (int32_t p = 0; p < PARTITIONS; changes += work->counts[p++])
    store_put_changes(work->store, p, changes, work->counts[p]);
}

/* Nothing that filling left undone is to be measured. */
static void settle(struct work *work) {
  static const char *const kinds[] = {"rocksdb.num-running-flushes", "rocksdb.compaction-pending",
                                      "rocksdb.num-running-compactions"};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds;) {
    uint64_t count = 0;
    bool busy = rocksdb_property_int(work->store->db, kinds[i], &count) == 0 && count > 0;
    if (busy) usleep(10000);
    i = busy ? 0 : i + 1;
  }
}

static void fill(struct work *work, uint64_t rows) {
  while (work->made < rows) {
    make_batch(work, 0);
    put_rows(work);
    store_write_behind(work->store);
  }
  settle(work);
}

static double seconds(clockid_t clock) {
  struct timespec at;
  clock_gettime(clock, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void handle_batch(struct work *work) {
  double begun = seconds(CLOCK_THREAD_CPUTIME_ID);
  make_batch(work, ITEMS);
  double ready = seconds(CLOCK_THREAD_CPUTIME_ID);
  store_get_many(work->store, work->places, ENTRIES, take, work);
  work->making += ready - begun;
  work->reading += seconds(CLOCK_THREAD_CPUTIME_ID) - ready;
  put_intents(work);
  store_write(work->store);
  put_rows(work);
  for (int32_t p = 0; p < PARTITIONS; p++)
    store_put_meta(work->store, p, &(struct store_meta){.next_input = (int64_t)work->made});
  store_write_behind(work->store);
}

/* The number after the name, of a file of /proc/self. */
static double number_of(const char *path, const char *name) {
  char line[256];
  double value = 0;
  FILE *file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file)) {
    if (strncmp(line, name, strlen(name)) == 0) value = atof(line + strlen(name));
  }
  if (file) fclose(file);
  return value;
}

static void measure(struct work *work, uint64_t records) {
  static const char io[] = "/proc/self/io", written[] = "write_bytes:";
  uint64_t first = work->made;
  double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), bytes = number_of(io, written);
  while (work->made < first + records) handle_batch(work);
  double count = (double)(work->made - first);
  cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu - work->making;
  printf("%" PRIu64
         " rows: CPU %.2f us a record, %.2f of it reading; %.0f bytes written; peak "
         "%.0f MiB\n",
         first, cpu / count * 1e6, work->reading / count * 1e6,
         (number_of(io, written) - bytes) / count, number_of("/proc/self/status", "VmHWM:") / 1024);
}

int main(int argc, char **argv) {
  static struct work work = {.random = UINT64_C(88172645463325252)};
  char error[512];
  int code;
  if (argc != 4 && argc != 6) {
    fprintf(stderr, "store-work DIRECTORY random|ordered ROWS [RECORDS CACHE-MIB]\n");
    return 64;
  }
  const size_t mib = argc == 6 ? strtoull(argv[5], NULL, 10) : 8;
  const struct store_memory memory = {.cache = mib << 20};
  work.store = store_open(argv[1], NULL, memory, error, sizeof error, &code);
  if (!work.store) {
    fprintf(stderr, "%s\n", error);
    return code;
  }
  work.ordered = strcmp(argv[2], "ordered") == 0;
  fill(&work, strtoull(argv[3], NULL, 10));
  if (argc == 6) measure(&work, strtoull(argv[4], NULL, 10));
  store_close(work.store);
}
