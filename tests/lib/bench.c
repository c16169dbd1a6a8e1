#include "bench.h"

#include "charge/breaker.h"
#include "fake_world.h"
#include "runtime/base/report.h"

void bench_open(struct bench *b, const char *name, size_t batch_records, int32_t partitions) {
  struct failure failure = {0};
  fake_world_state = (struct fake_world_state){0};
  *b = (struct bench){.cluster = memory_cluster_new(),
                      .codec = codec_new(&holdfast_schemas),
                      .processor = without_world(find_processor(name)),
                      .partitions = partitions};
  report_as("test", LEVEL_ERROR);
  memory_cluster_set_time(b->cluster, BENCH_TIME);
  pipe_prepare(b->cluster, b->processor, partitions);
  struct runtime_config config = {.processor = b->processor,
                                  .batch_records = batch_records,
                                  .tombstone_retention_ms = INT64_MAX};
  config.log = memory_log_open(b->cluster, b->processor->name, b->processor->input,
                               b->processor->changelog, 0);
  b->runtime = runtime_new(&config, &failure);
  if (!b->runtime) fail_msg("%s", failure.text);
}

void bench_close(struct bench *b) {
  runtime_free(b->runtime);
  codec_free(b->codec);
  arena_free(&b->arena);
  memory_cluster_free(b->cluster);
}

void bench_give(struct bench *b, int32_t partition, int64_t time, int type, const void *value,
                struct str key) {
  struct record record = {type, value};
  const struct message in = {
      .timestamp = time, .key = key, .value = codec_encode(b->codec, record, &b->arena)};
  memory_append(b->cluster, b->processor->input, partition, &in);
}

void bench_step(struct bench *b) {
  enum runtime_status status = runtime_step(b->runtime, 0);
  if (status == RUNTIME_FAILED) fail_msg("%s", runtime_failure(b->runtime)->text);
}

void bench_settle(struct bench *b) {
  for (int idle = 0, turn = 0; idle < 3; turn++) {
    if (turn > 1000000) fail_msg("it does not settle");
    idle = runtime_step(b->runtime, 0) == RUNTIME_IDLE ? idle + 1 : 0;
  }
}

void bench_request(struct bench *b, int32_t partition, int number, int attempt, int64_t time) {
  const struct request_charge request = {
      .reservation_id = arena_format(&b->arena, "r%d-%d", (int)partition, number),
      .customer_id = STR("c"),
      .charge_key = arena_format(&b->arena, "r%d-%d/charge", (int)partition, number),
      .amount = 5,
      .attempt = attempt,
      .opened_at = BENCH_TIME};
  bench_give(b, partition, time, RECORD_REQUEST_CHARGE, &request, request.reservation_id);
}

struct breaker bench_breaker(struct bench *b, int32_t partition) {
  struct record record;
  char error[CODEC_ERROR_SIZE];
  struct str bytes =
      store_get(runtime_store(b->runtime), partition, STR("b" BREAKER_NAME), &b->arena);
  if (!bytes.data) return (struct breaker){.state = BREAKER_STATE_CLOSED};
  assert_true(codec_decode(b->codec, bytes, &b->arena, &record, error));
  return *(const struct breaker *)record.value;
}

enum breaker_state bench_breaker_state(struct bench *b, int32_t partition) {
  return bench_breaker(b, partition).state;
}
