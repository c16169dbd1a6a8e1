#include "acls.h"

#include <jansson.h>
#include <stdlib.h>

size_t acls_missing(const struct acls *acls) {
  size_t missing = 0;
  for (size_t i = 0; i < acls->grants.count; i++) missing += !acls->grants.list[i].there;
  return missing;
}

/* ---- text ---- */

static void print_right(const char *mark, const char *principal, const struct right *right,
                        const char *rest) {
  printf("%s%s: %s on %s %s%s%s\n", mark, principal, right_operation_name(right->operation),
         right_resource_name(right->resource), right->name, right->prefixed ? "*" : "", rest);
}

static void list_text(const struct acls *acls) {
  const char *last = "";
  for (size_t i = 0; i < acls->grants.count; i++) {
    const struct grant *grant = &acls->grants.list[i];
    if (strcmp(last, grant->principal) != 0) printf("%s%s\n", i ? "\n" : "", grant->principal);
    last = grant->principal;
    printf("  %-16s %-16s %s%s\n", right_operation_name(grant->right.operation),
           right_resource_name(grant->right.resource), grant->right.name,
           grant->right.prefixed ? "*" : "");
  }
}

static void difference_text(const struct acls *acls) {
  for (size_t i = 0; i < acls->grants.count; i++) {
    const struct grant *grant = &acls->grants.list[i];
    if (!grant->there) print_right("+ ", grant->principal, &grant->right, "");
  }
  for (size_t i = 0; i < acls->unasked_count; i++) {
    const struct unasked *one = &acls->unasked[i];
    print_right("? ", one->principal, &one->right,
                one->denies ? ": denied, whatever else is allowed"
                : one->ours ? ": more than it needs"
                            : ": no process of the pipeline");
  }
}

/* ---- JSON ---- */

static json_t *right_json(const char *principal, const struct right *right) {
  return json_pack("{s:s,s:s,s:s,s:s,s:s}", "principal", principal, "operation",
                   right_operation_name(right->operation), "resource",
                   right_resource_name(right->resource), "name", right->name, "pattern",
                   right->prefixed ? "prefixed" : "literal");
}

static void print_json(json_t *json) {
  json_dumpf(json, stdout, JSON_INDENT(2));
  putchar('\n');
  json_decref(json);
}

static json_t *grants_json(const struct acls *acls, bool missing_only) {
  json_t *list = json_array();
  for (size_t i = 0; i < acls->grants.count; i++) {
    const struct grant *grant = &acls->grants.list[i];
    if (missing_only && grant->there) continue;
    json_array_append_new(list, right_json(grant->principal, &grant->right));
  }
  return list;
}

static void difference_json(const struct acls *acls) {
  json_t *more = json_array(), *others = json_array();
  for (size_t i = 0; i < acls->unasked_count; i++) {
    const struct unasked *one = &acls->unasked[i];
    json_t *json = right_json(one->principal, &one->right);
    json_object_set_new(json, "denies", json_boolean(one->denies));
    json_array_append_new(one->ours ? more : others, json);
  }
  print_json(json_pack("{s:o,s:o,s:o}", "missing", grants_json(acls, true), "more", more, "others",
                       others));
}

/* ---- commands for Kafka's own tool ---- */

/* A text between single quotes of a shell. */
static void print_quoted(const char *text) {
  putchar('\'');
  for (; *text; text++) {
    if (*text == '\'')
      fputs("'\\''", stdout);
    else
      putchar(*text);
  }
  putchar('\'');
}

static void print_resource(const struct right *right) {
  printf(" --%s ", right->resource == RIGHT_TRANSACTIONAL_ID
                       ? "transactional-id"
                       : right_resource_name(right->resource));
  print_quoted(right->name);
}

/* One command takes all resources of a principal with one operation and one kind of name. */
static bool goes_with(const struct grant *a, const struct grant *b) {
  return strcmp(a->principal, b->principal) == 0 && a->right.operation == b->right.operation &&
         a->right.prefixed == b->right.prefixed &&
         (a->right.resource == RIGHT_TRANSACTIONAL_ID) ==
             (b->right.resource == RIGHT_TRANSACTIONAL_ID);
}

static void print_command(const struct grants *grants, bool *told, size_t from, bool missing_only) {
  const struct grant *first = &grants->list[from];
  fputs("$KAFKA_ACLS --add --force --allow-principal ", stdout);
  print_quoted(first->principal);
  printf(" --operation %s", right_operation_name(first->right.operation));
  if (first->right.prefixed) fputs(" --resource-pattern-type prefixed", stdout);
  for (size_t i = from; i < grants->count; i++) {
    if (told[i] || (missing_only && grants->list[i].there) || !goes_with(first, &grants->list[i]))
      continue;
    print_resource(&grants->list[i].right);
    told[i] = true;
  }
  putchar('\n');
}

void acls_tell_commands(const struct acls *acls, bool missing_only, const struct options *options) {
  const struct grants *grants = &acls->grants;
  bool *told = xcalloc(grants->count + 1, sizeof *told);
  printf(
      ": \"${KAFKA_ACLS:=kafka-acls.sh --bootstrap-server %s --command-config "
      "admin.properties}\"\n",
      options_text(options, "brokers"));
  for (size_t i = 0; i < grants->count; i++) {
    if (!told[i] && !(missing_only && grants->list[i].there))
      print_command(grants, told, i, missing_only);
  }
  free(told);
}

/* ---- all of it ---- */

void acls_tell_all(const struct acls *acls, enum acls_format format,
                   const struct options *options) {
  switch (format) {
    case ACLS_TEXT: list_text(acls); break;
    case ACLS_JSON: print_json(grants_json(acls, false)); break;
    case ACLS_TOOL: acls_tell_commands(acls, false, options); break;
  }
}

void acls_tell_difference(const struct acls *acls, enum acls_format format,
                          const struct options *options) {
  switch (format) {
    case ACLS_TEXT: difference_text(acls); break;
    case ACLS_JSON: difference_json(acls); break;
    case ACLS_TOOL: acls_tell_commands(acls, true, options); break;
  }
}
