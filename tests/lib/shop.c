#include "shop.h"

#include "fake_world.h"
#include "runtime/base/report.h"

void shop_settle(struct shop *shop) {
  for (bool moved = true; moved;) {
    moved = false;
    for (int i = 0; i < shop->count; i++)
      moved |= runtime_step(shop->runtimes[i], 0) == RUNTIME_BUSY;
  }
}

void shop_put_command(struct shop *shop, int32_t partition, int64_t time, int type,
                      const void *value) {
  struct record record = {type, value};
  struct str key = command_key(record);
  const struct message in = {.timestamp = time,
                             .key = key,
                             .value = codec_encode(shop->codec, record, &shop->arena),
                             .correlation_id = key};
  memory_append(shop->cluster, "reservation-commands", partition, &in);
}

void shop_command_to(struct shop *shop, int32_t partition, int64_t time, int type,
                     const void *value) {
  shop_put_command(shop, partition, time, type, value);
  shop_settle(shop);
}

void shop_command(struct shop *shop, int type, const void *value) {
  shop_command_to(shop, -1, 1000, type, value);
}

static void reserve(struct shop *shop, const char *id) {
  shop_command(shop, RECORD_RESERVE,
               &(struct reserve){.reservation_id = str_of(id),
                                 .customer_id = STR("kim"),
                                 .item_id = STR("book"),
                                 .quantity = 1});
}

void shop_open_filters(struct shop *shop, int32_t partitions,
                       const struct processor *(*replace)(const struct processor *)) {
  *shop = (struct shop){.cluster = memory_cluster_new(),
                        .codec = codec_new(&holdfast_schemas),
                        .partitions = partitions};
  report_as("test", LEVEL_ERROR);
  memory_cluster_set_time(shop->cluster, 1000);
  for (const struct processor *const *p = all_processors; *p; p++)
    pipe_prepare(shop->cluster, *p, partitions);
  for (const struct processor *const *p = all_processors; *p; p++) {
    struct failure failure;
    const struct processor *other = replace ? replace(*p) : NULL;
    struct runtime_config config = {.processor = other ? other : without_world(*p),
                                    .tombstone_retention_ms = INT64_MAX};
    config.log = memory_log_open(shop->cluster, (*p)->name, (*p)->input, (*p)->changelog, 0);
    shop->runtimes[shop->count] = runtime_new(&config, &failure);
    assert_non_null(shop->runtimes[shop->count++]);
  }
}

void shop_sell(struct shop *shop) {
  shop_command(shop, RECORD_REGISTER_ITEM,
               &(struct register_item){.item_id = STR("book"),
                                       .title = STR("book"),
                                       .kind = ITEM_KIND_BOOK,
                                       .capacity = 2,
                                       .max_per_reservation = 1,
                                       .payment = PAYMENT_DUE_NONE,
                                       .hold_seconds = 60});
  reserve(shop, "r1");
  reserve(shop, "r2");
  reserve(shop, "r3");                                                        /* sold out */
  shop_command(shop, RECORD_CANCEL, &(struct cancel){STR("r5"), STR("kim")}); /* refused: unknown */
  shop_command(shop, RECORD_CANCEL, &(struct cancel){STR("r2"), STR("kim")});
}

void shop_open(struct shop *shop) {
  shop_open_filters(shop, 1, NULL);
  shop_sell(shop);
}

void shop_close(struct shop *shop) {
  for (int i = 0; i < shop->count; i++) runtime_free(shop->runtimes[i]);
  codec_free(shop->codec);
  arena_free(&shop->arena);
  memory_cluster_free(shop->cluster);
}

/* ---- the shop_audit of what is left ---- */

const struct tampering untouched = {
    "an untouched log is clean", AUDIT_COMMANDS, "none", NULL, 0, false, -1};

bool shop_broken[AUDIT_RULE_COUNT];
int shop_violations;

void shop_report(void *user, const struct audit_violation *violation) {
  (void)user;
  shop_broken[violation->rule] = true;
  shop_violations++;
}

static bool fits(struct shop *shop, const struct tampering *tampering, int topic,
                 const struct message *record) {
  struct record decoded;
  char error[CODEC_ERROR_SIZE];
  if (topic != (int)tampering->topic || !record->value.data ||
      !codec_decode(shop->codec, record->value, &shop->arena, &decoded, error))
    return false;
  if (strcmp(holdfast_schemas.records[decoded.type]->name, tampering->type) != 0) return false;
  return !tampering->reservation ||
         str_equal(record->correlation_id, str_of(tampering->reservation));
}

void shop_audit_read(struct shop *shop, const struct tampering *tampering, int unread,
                     struct audit_summary *summary) {
  char error[200];
  int code, seen = 0;
  struct store *store = store_open(NULL, "audit", (struct store_memory){.cache = 1 << 20}, error,
                                   sizeof error, &code);
  struct auditor *auditor = auditor_new(store, shop_report, NULL);
  memset(shop_broken, 0, sizeof shop_broken);
  shop_violations = 0;
  auditor_begin(auditor, 1000);
  for (int i = 0; i < AUDIT_TOPIC_COUNT * shop->partitions; i++) {
    enum audit_topic topic = (enum audit_topic)(i / shop->partitions);
    int32_t p = i % shop->partitions;
    auditor_committed(auditor, topic, p, (int)topic == unread ? 0 : INT64_MAX, 1);
    const struct message *next;
    int64_t shift = 0;
    for (int64_t at = 0; (next = memory_read(shop->cluster, audit_topics[topic].topic, p, at));
         at = next->offset + 1) {
      struct message record = *next;
      bool here = fits(shop, tampering, (int)topic, next) &&
                  (tampering->nth < 0 || seen++ == tampering->nth);
      record.offset += shift;
      if (!here || tampering->twice) auditor_read(auditor, topic, p, &record);
      if (!here || !tampering->twice) continue;
      record.offset = next->offset + ++shift;
      auditor_read(auditor, topic, p, &record);
    }
  }
  auditor_judge(auditor, summary, NULL, NULL);
  assert_int_equal(summary->violations, shop_violations);
  auditor_free(auditor);
  store_close(store);
}

void shop_audit(struct shop *shop, const struct tampering *tampering) {
  struct audit_summary summary;
  shop_audit_read(shop, tampering, AUDIT_TOPIC_COUNT, &summary);
}
