/* The rows of a filter that is reset, as they were at the place where it begins again. */
#include <stdio.h>
#include <sysexits.h>

#include "fold.h"
#include "reset.h"
#include "shadow.h"
#include "spill.h"

#define CACHE_BYTES ((size_t)32 << 20)

static bool make_state(struct reset *reset, int32_t partition) {
  if (reset->to[partition] == reset->first[partition]) return true; /* an empty one */
  const struct shadow shadow = {.options = reset->options,
                                .processor = reset->processor,
                                .store = reset->state,
                                .partition = partition,
                                .partitions = reset->partitions,
                                .to = reset->to[partition],
                                .user = reset};
  return shadow_run(&shadow, &reset->failure);
}

static bool fold_changelog(struct reset *reset, int32_t partition) {
  return fold_topic(reset->options, reset->processor->changelog, partition,
                    reset->last[partition] + 1, reset->recorded, partition, &reset->failure);
}

static bool put(struct reset *reset, struct str key, struct str value) {
  (value.data ? reset->written : reset->tombstones)[reset->partition]++;
  if (!reset->rewrite) return true;
  return kafka_rewrite_put(reset->rewrite, reset->processor->changelog, reset->partition, key,
                           value, &reset->last[reset->partition], &reset->failure);
}

/* A row of the changelog: it goes if that place did not have it. */
static bool take_back(void *user, struct str key, struct str value) {
  struct reset *reset = user;
  struct arena arena = {0};
  struct str wanted = store_get(reset->state, reset->partition, key, &arena);
  if (!wanted.data || !str_equal(wanted, value)) reset->fine = put(reset, key, wanted);
  arena_free(&arena);
  return reset->fine;
}

/* A row of that place that the changelog has no more. */
static bool bring_back(void *user, struct str key, struct str value) {
  struct reset *reset = user;
  struct arena arena = {0};
  if (!store_get(reset->recorded, reset->partition, key, &arena).data)
    reset->fine = put(reset, key, value);
  arena_free(&arena);
  return reset->fine;
}

/* Answers of the world stay, and so do rows that are accepted as they are. */
static bool is_rewritten(const struct reset *reset) {
  return reset->processor->changelog && !reset->processor->world && !reset->accept_loss;
}

bool reset_rewrite_rows(struct reset *reset) {
  const struct processor *processor = reset->processor;
  for (int32_t p = 0; p < reset->partitions; p++) {
    reset->tombstones[p] = reset->written[p] = 0;
    if (processor->input_is_changelog) reset->last[p] = reset->to[p] - 1;
    if (!is_rewritten(reset)) continue;
    reset->partition = p;
    reset->fine = true;
    store_scan(reset->recorded, p, STR(""), (struct str){0}, take_back, reset);
    if (reset->fine) store_scan(reset->state, p, STR(""), (struct str){0}, bring_back, reset);
    if (!reset->fine) return false;
  }
  return true;
}

bool reset_make_state(struct reset *reset) {
  if (!is_rewritten(reset)) return true;
  char path[400], error[400];
  int code;
  if (!spill_make(options_text(reset->options, "spill-dir"), reset->directory,
                  sizeof reset->directory))
    return failure_set(&reset->failure, EX_CANTCREAT,
                       "cannot make a folder in '%s': see --spill-dir",
                       options_text(reset->options, "spill-dir"));
  snprintf(path, sizeof path, "%s/state", reset->directory);
  reset->state = store_open(path, NULL, (struct store_memory){.cache = CACHE_BYTES}, error,
                            sizeof error, &code);
  snprintf(path, sizeof path, "%s/recorded", reset->directory);
  if (reset->state)
    reset->recorded = store_open(path, NULL, (struct store_memory){.cache = CACHE_BYTES}, error,
                                 sizeof error, &code);
  if (!reset->recorded) return failure_set(&reset->failure, code, "%s", error);
  for (int32_t p = 0; p < reset->partitions; p++) {
    if (!make_state(reset, p) || !fold_changelog(reset, p)) return false;
  }
  return true;
}
