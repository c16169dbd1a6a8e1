/* The ledger and the stock before a step and after it: their filters decide once more. */
#include <stdio.h>

#include "explain.h"
#include "payment/payment.h"
#include "runtime/contract/processors.h"
#include "runtime/core/runtime.h"
#include "runtime/memory/pipe.h"
#include "shadow.h"
#include "spill.h"
#include "stock-check/stock-check.h"

#define CACHE_BYTES ((size_t)16 << 20)

/* ---- its effect on the ledger: payment decides these records once more ---- */

static struct str ledger_state(struct story *story, struct runtime *runtime) {
  struct arena scratch = {0};
  struct str key =
      arena_format(&scratch, "%c%.*s", payment_rows[ROW_LEDGER].prefix, STR_ARGS(story->id));
  struct str bytes = store_get(runtime_store(runtime), 0, key, &scratch);
  struct record row;
  char error[CODEC_ERROR_SIZE];
  struct str state = STR("nothing known");
  if (bytes.data && codec_decode(story->codec, bytes, &scratch, &row, error))
    state = str_of(ledger_state_enum.symbols[((const struct ledger *)row.value)->state]);
  arena_free(&scratch);
  return state;
}

void explain_ledger(struct story *story) {
  const struct processor *payment = processor_named("payment");
  struct memory_cluster *cluster = memory_cluster_new();
  pipe_prepare(cluster, payment, 1);
  struct failure failure;
  struct runtime_config config = {.processor = payment, .tombstone_retention_ms = INT64_MAX};
  config.log = memory_log_open(cluster, payment->name, payment->input, payment->changelog, 0);
  struct runtime *runtime = runtime_new(&config, &failure);
  for (size_t i = 0; runtime && i < story->count; i++) {
    struct happening *step = &story->steps[i];
    if (strcmp(step->topic, payment->input) != 0) continue;
    step->before = ledger_state(story, runtime);
    memory_append(cluster, payment->input, 0, &step->record);
    enum runtime_status status;
    do {
      status = runtime_step(runtime, 0);
    } while (status == RUNTIME_BUSY);
    step->after = ledger_state(story, runtime);
    if (status == RUNTIME_FAILED) break;
  }
  runtime_free(runtime);
  memory_cluster_free(cluster);
}

/* ---- what stock-check saw: its state is made again up to the request ---- */

static json_t *stock_at(struct story *story, struct store *store, const struct happening *step,
                        int64_t offset) {
  const struct processor *stock_check = processor_named("stock-check");
  const struct shadow shadow = {.options = story->options,
                                .processor = stock_check,
                                .store = store,
                                .partition = step->partition,
                                .partitions = step->partition + 1,
                                .to = offset};
  if (!shadow_run(&shadow, &story->failure)) return NULL;
  struct str item = explain_text(story->codec, step->value, STR("item_id")), bytes;
  struct arena scratch = {0};
  struct str key =
      arena_format(&scratch, "%c%.*s", stock_check_rows[ROW_ITEM].prefix, STR_ARGS(item));
  bytes = store_get(store, step->partition, key, &scratch);
  struct record row;
  char error[CODEC_ERROR_SIZE];
  json_t *json = json_null();
  if (bytes.data && codec_decode(story->codec, bytes, &scratch, &row, error)) {
    const struct stock_level *level = row.value;
    json = json_pack("{s:i,s:i,s:i,s:i,s:b}", "capacity", (int)level->capacity, "available",
                     (int)(level->capacity - level->held - level->sold), "held", (int)level->held,
                     "sold", (int)level->sold, "closed", level->closed);
  }
  arena_free(&scratch);
  return json;
}

bool explain_stock(struct story *story) {
  char directory[300], path[400], error[400];
  int code;
  if (!options_flag(story->options, "stock")) return true;
  if (!spill_make(options_text(story->options, "spill-dir"), directory, sizeof directory)) {
    snprintf(story->failure.text, sizeof story->failure.text, "see --spill-dir");
    return false;
  }
  snprintf(path, sizeof path, "%s/stock", directory);
  struct store *store = store_open(path, NULL, (struct store_memory){.cache = CACHE_BYTES}, error,
                                   sizeof error, &code);
  bool fine = store != NULL;
  /* Steps are in the order of time, and so are those of one partition. */
  for (size_t i = 0; fine && i < story->count; i++) {
    struct happening *step = &story->steps[i];
    if (strcmp(step->topic, "stock-requests") != 0 || !step->readable) continue;
    json_t *before = stock_at(story, store, step, step->record.offset),
           *after = before ? stock_at(story, store, step, step->record.offset + 1) : NULL;
    fine = after != NULL;
    if (fine)
      step->stock = json_pack("{s:o,s:o}", "before", before, "after", after);
    else
      json_decref(before);
  }
  store_close(store);
  spill_remove(directory);
  return fine;
}
