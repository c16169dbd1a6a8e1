/* holdfast acls: the rights that each process needs, against the ACLs of the cluster. */
#include "acls.h"

#include <stdlib.h>
#include <sysexits.h>

#include "commands.h"
#include "runtime/kafka/acls.h"

#define EX_DIFFERS 1

static const struct option_desc acls_options[] = {
    {.name = "principal",
     .metavar = "PATTERN",
     .help = "of a process, by its name for {} [User:<prefix>{}]"},
    {.name = "output",
     .letter = 'o',
     .metavar = "FORMAT",
     .value = "text",
     .help = "text, json, or kafka-acls: commands for Kafka's own tool"},
    {0}};

static const struct usage usage = {
    "The rights that each process of the pipeline needs on a cluster with ACLs: those of a filter "
    "follow from its declaration.\nPrints them (list, without a broker), shows what is missing "
    "(plan), grants it (apply; takes nothing away), or judges\n(verify: 0 exactly these, 1 there "
    "are others or some are missing).\n\n"
    "Usage: holdfast acls list|plan|apply|verify [option ...] [PROCESS ...]    the filters, "
    "gateway, auditor, operator; all of them",
    acls_options, true,
    "  holdfast acls list payment\n  holdfast acls plan -F admin.properties\n"
    "  holdfast acls list -o kafka-acls | KAFKA_ACLS='kafka-acls.sh --bootstrap-server "
    "127.0.0.1:9092 --command-config admin.properties' sh\n"
    "  holdfast acls verify -F admin.properties --principal 'User:CN={},O=Example'\n"};

/* ---- what is there ---- */

static bool fits_name(const struct right *given, const struct right *wanted) {
  if (given->prefixed) return strncmp(wanted->name, given->name, strlen(given->name)) == 0;
  if (strcmp(given->name, "*") == 0) return true;
  return !wanted->prefixed && strcmp(given->name, wanted->name) == 0;
}

/* Kafka's own rules: some operations bring another. */
static bool fits_operation(enum right_operation given, enum right_operation wanted) {
  return given == wanted || given == RIGHT_ALL ||
         (wanted == RIGHT_DESCRIBE && (given == RIGHT_READ || given == RIGHT_WRITE)) ||
         (wanted == RIGHT_DESCRIBE_CONFIGS && given == RIGHT_ALTER_CONFIGS);
}

/* A resource that this librdkafka does not know can be a transactional id, and by its name it is. */
static bool fits_resource(enum right_resource given, enum right_resource wanted) {
  return given == wanted || (given == RIGHT_OTHER_RESOURCE && wanted == RIGHT_TRANSACTIONAL_ID);
}

static bool covers(const struct kafka_acl *acl, const struct grant *grant) {
  bool anybody = strcmp(acl->principal, "User:*") == 0;
  return (anybody || strcmp(acl->principal, grant->principal) == 0) &&
         strcmp(acl->host, "*") == 0 && fits_resource(acl->right.resource, grant->right.resource) &&
         fits_operation(acl->right.operation, grant->right.operation) &&
         fits_name(&acl->right, &grant->right);
}

static bool is_asked(const struct kafka_acl *acl, const struct grant *grant) {
  struct right right = acl->right;
  if (fits_resource(right.resource, grant->right.resource)) right.resource = grant->right.resource;
  return !acl->denies && strcmp(acl->principal, grant->principal) == 0 &&
         strcmp(acl->host, "*") == 0 && right_is(&right, &grant->right);
}

static void keep_unasked(struct acls *acls, const struct kafka_acl *acl, bool ours) {
  acls->unasked =
      xgrow(acls->unasked, &acls->unasked_capacity, acls->unasked_count + 1, sizeof *acls->unasked);
  struct unasked *one = &acls->unasked[acls->unasked_count++];
  *one = (struct unasked){.right = acl->right, .ours = ours, .denies = acl->denies};
  snprintf(one->principal, sizeof one->principal, "%s", acl->principal);
}

static void take(void *user, const struct kafka_acl *acl) {
  struct acls *acls = user;
  bool asked = false, ours = false, concerns = false;
  acls->seen++;
  for (size_t i = 0; i < acls->grants.count; i++) {
    struct grant *grant = &acls->grants.list[i];
    asked |= is_asked(acl, grant);
    ours |= strcmp(acl->principal, grant->principal) == 0;
    concerns |= fits_resource(acl->right.resource, grant->right.resource) &&
                fits_name(&acl->right, &grant->right);
    grant->there |= !acl->denies && covers(acl, grant);
  }
  concerns |= ours && strncmp(acl->right.name, acls->prefix, strlen(acls->prefix)) == 0;
  if (!asked && concerns) keep_unasked(acls, acl, ours);
}

/* A denial wins, in whatever order they come. */
static void take_denials(struct acls *acls) {
  for (size_t i = 0; i < acls->unasked_count; i++) {
    const struct unasked *one = &acls->unasked[i];
    const struct kafka_acl acl = {.principal = one->principal, .host = "*", .right = one->right};
    for (size_t j = 0; one->denies && j < acls->grants.count; j++) {
      if (covers(&acl, &acls->grants.list[j])) acls->grants.list[j].there = false;
    }
  }
}

static bool look(struct acls *acls, struct kafka_acls *cluster, struct failure *failure) {
  if (!kafka_acls_list(cluster, take, acls, failure)) return false;
  take_denials(acls);
  if (acls->seen == 0)
    fprintf(stderr,
            "holdfast acls: the cluster shows no ACL: it has none, or this principal may not see "
            "them (Describe on cluster)\n");
  return true;
}

/* ---- what is to be done ---- */

static int plan(const struct acls *acls, enum acls_format format, const struct options *options) {
  size_t missing = acls_missing(acls);
  acls_tell_difference(acls, format, options);
  if (format != ACLS_TEXT) return EX_OK;
  if (missing == 0)
    printf("nothing to do: every process has the rights that it needs\n");
  else
    printf("%zu rights are missing; 'holdfast acls apply' grants them\n", missing);
  return EX_OK;
}

static int verify(const struct acls *acls, enum acls_format format, const struct options *options) {
  size_t missing = acls_missing(acls), more = 0;
  for (size_t i = 0; i < acls->unasked_count; i++) more += acls->unasked[i].ours;
  acls_tell_difference(acls, format, options);
  if (format == ACLS_TEXT)
    printf("%zu rights are needed, %zu of them are missing, and %zu are more than needed\n",
           acls->grants.count, missing, more);
  return missing || more ? EX_DIFFERS : EX_OK;
}

static int tell_rest(const struct acls *acls, enum acls_format format,
                     const struct options *options) {
  size_t left = acls_missing(acls);
  if (left == 0) return EX_OK;
  fprintf(stderr,
          "holdfast acls: %zu rights are on transactional ids, which librdkafka %s cannot grant. "
          "These commands of Kafka's own tool do:\n",
          left, kafka_library_version());
  if (format != ACLS_JSON) acls_tell_commands(acls, true, options);
  return EX_CONFIG;
}

static bool grant_missing(struct acls *acls, struct kafka_acls *cluster, struct failure *failure) {
  struct grants *grants = &acls->grants;
  struct kafka_acl *wanted = xcalloc(grants->count + 1, sizeof *wanted);
  bool *made = xcalloc(grants->count + 1, sizeof *made);
  for (size_t i = 0; i < grants->count; i++) {
    wanted[i] = (struct kafka_acl){
        .principal = grants->list[i].principal, .host = "*", .right = grants->list[i].right};
    made[i] = grants->list[i].there;
  }
  bool fine = kafka_acls_create(cluster, wanted, grants->count, made, failure);
  for (size_t i = 0; fine && i < grants->count; i++) grants->list[i].there = made[i];
  free(wanted);
  free(made);
  return fine;
}

static int apply(struct acls *acls, struct kafka_acls *cluster, enum acls_format format,
                 const struct options *options, struct failure *failure) {
  if (format != ACLS_TOOL) acls_tell_difference(acls, format, options);
  if (format == ACLS_TEXT && acls_missing(acls) == 0)
    printf("nothing to do: every process has the rights that it needs\n");
  return grant_missing(acls, cluster, failure) ? tell_rest(acls, format, options)
                                               : failure->exit_code;
}

static int work(struct acls *acls, const char *action, enum acls_format format,
                const struct options *options) {
  struct failure failure = {0};
  struct kafka_acls *cluster = kafka_acls_open(options, &failure);
  int code = 0;
  if (cluster && look(acls, cluster, &failure)) {
    code = strcmp(action, "plan") == 0     ? plan(acls, format, options)
           : strcmp(action, "verify") == 0 ? verify(acls, format, options)
                                           : apply(acls, cluster, format, options, &failure);
  }
  kafka_acls_close(cluster);
  if (!failure.exit_code) return code;
  fprintf(stderr, "holdfast acls: %s\n", failure.text);
  return failure.exit_code;
}

static bool format_of(const char *text, enum acls_format *out) {
  static const char *const names[] = {
      [ACLS_TEXT] = "text", [ACLS_JSON] = "json", [ACLS_TOOL] = "kafka-acls"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(text, names[i]) != 0) continue;
    *out = (enum acls_format)i;
    return true;
  }
  return false;
}

static int run(const struct options *options) {
  static const char *const actions[] = {"list", "plan", "apply", "verify"};
  const char *action = options->argument_count ? options->arguments[0] : "", *wrong;
  bool known = false;
  enum acls_format format;
  struct acls acls = {.prefix = options_text(options, "prefix")};
  for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
    known |= strcmp(action, actions[i]) == 0;
  if (!known || !format_of(options_text(options, "output"), &format)) {
    fprintf(stderr, "holdfast acls: %s\n",
            known ? "--output is text, json or kafka-acls"
                  : "say list, plan, apply or verify: see holdfast acls --help");
    return EX_USAGE;
  }
  int code = EX_OK;
  if (!grants_collect(&acls.grants, options_text(options, "principal"),
                      options_text(options, "prefix"), options->arguments + 1,
                      options->argument_count - 1, &wrong)) {
    fprintf(stderr,
            "holdfast acls: there is no process '%s': filters, gateway, auditor, operator\n",
            wrong);
    code = EX_USAGE;
  } else if (strcmp(action, "list") == 0) {
    acls_tell_all(&acls, format, options);
  } else {
    code = work(&acls, action, format, options);
  }
  grants_free(&acls.grants);
  free(acls.unasked);
  return code;
}

int acls_command(int argc, char **argv) {
  struct options options = {0};
  int code;
  if (command_options(&options, &usage, argc, argv, &code)) code = run(&options);
  options_free(&options);
  return code;
}
