/* holdfast show: the views' answers, for people or as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "commands.h"
#include "runtime/contract/money.h"
#include "view_client.h"

static const struct option_desc show_options[] = {{.name = "output",
                                                   .letter = 'o',
                                                   .metavar = "FORMAT",
                                                   .value = "table",
                                                   .help = "table or json"},
                                                  {0}};

static const struct usage usage = {
    "Shows a reservation, a customer, an item (with its seats: . free, x taken) or the sales of an "
    "item, as the views have them.\n\nUsage: holdfast show [option ...] "
    "reservation|customer|item|tally ID",
    show_options, false,
    "  holdfast show reservation r1\n  holdfast show customer c1 -o json\n  holdfast show item "
    "1003\n  holdfast show tally match-1\n"};

static const char *text_of(const json_t *json, const char *name) {
  const char *text = json_string_value(json_object_get(json, name));
  return text ? text : "";
}

static long long number_of(const json_t *json, const char *name) {
  return json_integer_value(json_object_get(json, name));
}

static void format_time(long long ms, char *out, size_t size) {
  time_t seconds = (time_t)(ms / 1000);
  struct tm local;
  localtime_r(&seconds, &local);
  size_t used = strftime(out, size, "%Y-%m-%d %H:%M:%S", &local);
  snprintf(out + used, size - used, ".%03lld", ms % 1000);
}

static const char *reason_of(const json_t *json) {
  const char *reason = text_of(json, "reason");
  return strcmp(reason, "NONE") == 0 ? "" : reason;
}

static void show_steps(const json_t *timeline) {
  size_t i;
  json_t *step;
  char at[40], until[40];
  json_array_foreach(timeline, i, step) {
    format_time(number_of(step, "at"), at, sizeof at);
    printf("    %s  %-16s %s", at, text_of(step, "status"), reason_of(step));
    if (number_of(step, "until")) {
      format_time(number_of(step, "until"), until, sizeof until);
      printf("until %s", until);
    }
    printf("\n");
  }
}

static void show_reservation(const json_t *json) {
  size_t i;
  json_t *seat;
  printf("%s  %s  item %s, %lld", text_of(json, "reservation_id"), text_of(json, "status"),
         text_of(json, "item_id"), number_of(json, "quantity"));
  json_array_foreach(json_object_get(json, "seats"), i, seat)
      printf("%s%s", i ? ", " : " seats ", json_string_value(seat));
  if (*text_of(json, "option")) printf(" on %s", text_of(json, "option"));
  if (number_of(json, "amount")) printf(", amount %lld", number_of(json, "amount"));
  if (json_is_true(json_object_get(json, "tallied"))) printf(", counted");
  printf(", customer %s\n", text_of(json, "customer_id"));
  show_steps(json_object_get(json, "timeline"));
}

static void show_customer(const json_t *json) {
  const json_t *who = json_object_get(json, "customer");
  size_t i;
  json_t *one;
  char at[40];
  printf("%s", text_of(who, "customer_id"));
  if (*text_of(who, "name")) printf("  %s <%s>", text_of(who, "name"), text_of(who, "contact"));
  printf("\n");
  json_array_foreach(json_object_get(json, "reservations"), i, one) {
    printf("  ");
    show_reservation(one);
  }
  json_array_foreach(json_object_get(json, "refused"), i, one) {
    format_time(number_of(one, "at"), at, sizeof at);
    printf("  refused %s  %s %s: %s\n", at, text_of(one, "command"), text_of(one, "refusal"),
           text_of(one, "detail"));
  }
  if (json_is_string(json_object_get(json, "next"))) printf("  ... and more\n");
}

static void show_item(const json_t *json) {
  size_t i;
  json_t *row;
  printf("%s  %s  %s%s\n", text_of(json, "item_id"), text_of(json, "title"), text_of(json, "kind"),
         json_is_true(json_object_get(json, "closed")) ? "  closed" : "");
  printf(
      "    available %lld of %lld, held %lld, sold %lld; price %lld, payment %s, at most %lld "
      "each\n",
      number_of(json, "available"), number_of(json, "capacity"), number_of(json, "held"),
      number_of(json, "sold"), number_of(json, "price"), text_of(json, "payment"),
      number_of(json, "max_per_reservation"));
  if (*text_of(json, "screen")) printf("    screen %s\n", text_of(json, "screen"));
  json_array_foreach(json_object_get(json, "seats"), i, row) printf(
      "    %6s %4lld  %s\n", text_of(row, "row"), number_of(row, "first"), text_of(row, "seats"));
  if (json_is_string(json_object_get(json, "next"))) printf("    ... and more rows of seats\n");
}

static void show_tally(const json_t *json) {
  size_t i;
  json_t *one;
  printf("%-20s %14s %10s %16s\n", "option", "reservations", "units", "sum");
  json_array_foreach(json_object_get(json, "tallies"), i, one) {
    char sum[MONEY_TEXT_SIZE];
    printf("%-20s %14lld %10lld %16s\n", *text_of(one, "option") ? text_of(one, "option") : "-",
           number_of(one, "count"), number_of(one, "quantity"),
           money_text(number_of(one, "sum_e18"), number_of(one, "sum"), sum));
  }
}

static void show_thing(const char *name, const json_t *json) {
  static const struct {
    const char *name;
    void (*show)(const json_t *json);
  } shows[] = {{"reservation", show_reservation},
               {"customer", show_customer},
               {"item", show_item},
               {"tally", show_tally}};
  for (size_t i = 0; i < sizeof shows / sizeof *shows; i++) {
    if (strcmp(name, shows[i].name) == 0) shows[i].show(json);
  }
}

static int show(const struct options *options, const struct view_thing *thing, bool as_json) {
  char error[512], url[256];
  long status;
  view_url(options, thing, url, sizeof url);
  json_t *json = view_ask(url, thing, options->arguments[1], &status, error);
  if (!json) {
    fprintf(stderr, "holdfast show: %s\n", error);
    return EX_UNAVAILABLE;
  }
  int code = status == 200 ? EX_OK : status / 100 == 4 ? EX_DATAERR : EX_TEMPFAIL;
  if (code != EX_OK) {
    fprintf(stderr, "holdfast show: %s: %s\n", text_of(json, "title"), text_of(json, "detail"));
  } else if (as_json) {
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
  } else {
    show_thing(thing->name, json);
  }
  json_decref(json);
  return code;
}

int show_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  options_add(&options, view_options);
  if (command_options(&options, &usage, argc, argv, &code)) {
    const struct view_thing *thing =
        options.argument_count == 2 ? view_thing(options.arguments[0]) : NULL;
    const char *format = options_text(&options, "output");
    bool as_json = strcmp(format, "json") == 0;
    if (!thing || (!as_json && strcmp(format, "table") != 0)) {
      fprintf(
          stderr,
          "holdfast show: say 'reservation', 'customer', 'item' or 'tally' and an id, and -o table "
          "or json\n");
      code = EX_USAGE;
    } else {
      code = show(&options, thing, as_json);
    }
  }
  options_free(&options);
  return code;
}
