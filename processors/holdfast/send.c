/* holdfast send: commands to Kafka. */
#include <stdio.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "runtime/kafka/io.h"
#include "script.h"
#include "view_client.h"

#define ASK_AGAIN_US 50000
#define PROGRESS_SECONDS 2

static const struct usage usage = {
    "Checks commands and produces them to reservation-commands.\n\nUsage: holdfast send [option "
    "...] [FILE]\n       holdfast send [option ...] TYPE field=value ...\n\n"
    "FILE (default stdin) has a command per line: {\"type\":\"Reserve\",...}. All are checked "
    "before the first is sent. A line\n"
    "{\"wait\":{\"item\":ID,\"available\":5}}, with a reservation, customer, item or tally and "
    "expected values, waits until the view shows them.",
    view_options, true,
    "  holdfast send Reserve reservation_id=r1 customer_id=c1 item_id=1003 quantity=2\n"
    "  holdfast send Reserve reservation_id=r2 customer_id=c1 item_id=film-1 seats=A-1,A-2\n"
    "  holdfast send -b 127.0.0.1:9092 < commands.jsonl\n"};

static bool wait_for(const struct wait *wait, const struct options *options) {
  char error[512], what[512], url[256];
  view_url(options, wait->thing, url, sizeof url);
  for (time_t until = time(NULL) + wait->seconds; time(NULL) <= until;) {
    if (wait_is_so(wait, url, error)) return true;
    usleep(ASK_AGAIN_US);
  }
  wait_describe(wait, what, sizeof what);
  fprintf(stderr, "holdfast send: waited %d s for %s: %s\n", wait->seconds, what, error);
  return false;
}

static int fail(const struct failure *failure) {
  fprintf(stderr, "holdfast send: %s\n", failure->text);
  return failure->exit_code;
}

static int send_script(const struct script *script, const struct options *options) {
  struct failure failure;
  struct kafka_producer *producer = kafka_producer_open(options, "reservation-commands", &failure);
  if (!producer) return fail(&failure);
  int code = EX_OK;
  size_t delivered = 0, commands = 0;
  time_t told = time(NULL);
  for (size_t i = 0; i < script->count && code == EX_OK; i++) {
    const struct script_line *line = &script->lines[i];
    if (line->json) {
      if (!kafka_producer_flush(producer, &delivered, &failure))
        code = fail(&failure);
      else if (!wait_for(&line->wait, options))
        code = EX_TEMPFAIL;
    } else {
      if (!kafka_producer_send(producer, line->key, line->value, line->key, &failure))
        code = fail(&failure);
      commands++;
    }
    if (time(NULL) - told >= PROGRESS_SECONDS) {
      fprintf(stderr, "holdfast send: %zu of %zu lines\n", i + 1, script->count);
      told = time(NULL);
    }
  }
  if (!kafka_producer_flush(producer, &delivered, &failure) && code == EX_OK) code = fail(&failure);
  fprintf(stderr, "holdfast send: %zu commands sent\n", delivered);
  kafka_producer_close(producer);
  return code;
}

int send_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) {
    struct script script = {0};
    struct codec *codec = codec_new(&holdfast_schemas);
    char error[512];
    if (script_arguments(&script, options.arguments, options.argument_count, codec, error)) {
      code = send_script(&script, &options);
    } else {
      fprintf(stderr, "holdfast send: %s\n", error);
      code = EX_DATAERR;
    }
    script_free(&script);
    codec_free(codec);
  }
  options_free(&options);
  return code;
}
