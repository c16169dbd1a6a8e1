/* What stands beside a record: its headers, places, and the metadata of a committed offset. */
#include "runtime/record/binary.h"
#include "fuzz.h"
#include "auditor/place.h"
#include "runtime/core/recovery.h"
#include "runtime/core/internal.h"

static void take_headers(const uint8_t *data, size_t size) {
  struct log_record record = {0};
  record.key = take_text(&data, &size);
  record.correlation_id = take_text(&data, &size);
  record.traceparent = (struct str){(const char *)data, size};
  context_take_headers(&record);
  must(record.traceparent.size <= HEADER_SIZE_MAX && record.correlation_id.size <= HEADER_SIZE_MAX,
       "a header that is too long is passed on");
  must(utf8_valid(record.traceparent) && utf8_valid(record.correlation_id),
       "a header that is no text is passed on");
}

/* What is taken comes back as it was said. */
static void parse_metadata(struct str text) {
  struct commit_metadata metadata, again;
  char kept[160], said[160];
  snprintf(kept, sizeof kept, STR_FORMAT, STR_ARGS(text));
  if (!commit_metadata_parse(kept, &metadata)) return;
  commit_metadata_format(&metadata, said);
  must(commit_metadata_parse(said, &again) && again.epoch == metadata.epoch &&
           again.last_changelog == metadata.last_changelog,
       "metadata does not survive");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int64_t partition, offset;
  place_parse((struct str){(const char *)data, size}, &partition, &offset);
  parse_metadata((struct str){(const char *)data, size});
  take_headers(data, size);
  return 0;
}
