#include "grants.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/contract/processors.h"
#include "runtime/contract/view.h"

/* ---- the pipeline's topics ---- */

static void add_every_topic(struct rights *rights, enum right_operation operation,
                            const char *prefix) {
  rights_add(rights, RIGHT_TOPIC, operation, prefix, "dead-letters");
  rights_add(rights, RIGHT_TOPIC, operation, prefix, VIEW_OWNERS_TOPIC);
  for (const struct processor *const *p = all_processors; *p; p++) {
    rights_add(rights, RIGHT_TOPIC, operation, prefix, (*p)->input);
    for (const struct output *output = (*p)->outputs; output && output->topic; output++)
      rights_add(rights, RIGHT_TOPIC, operation, prefix, output->topic);
    if ((*p)->changelog) rights_add(rights, RIGHT_TOPIC, operation, prefix, (*p)->changelog);
  }
}

static void add_every_group(struct rights *rights, enum right_operation operation,
                            const char *prefix) {
  for (const struct processor *const *p = all_processors; *p; p++)
    rights_add(rights, RIGHT_GROUP, operation, prefix, (*p)->name);
}

/* ---- who is no filter ---- */

/* Produces commands, sees those of other gateways, and hears what became of them. `holdfast send`
 * needs no more. */
static void gateway(const char *prefix, struct rights *rights) {
  rights_add(rights, RIGHT_TOPIC, RIGHT_WRITE, prefix, "reservation-commands");
  rights_add(rights, RIGHT_TOPIC, RIGHT_READ, prefix, "reservation-commands");
  rights_add(rights, RIGHT_TOPIC, RIGHT_READ, prefix, "reservation-events");
  rights_add(rights, RIGHT_TOPIC, RIGHT_READ, prefix, VIEW_OWNERS_TOPIC); /* where the views are */
}

/* holdfast read, audit, explain, replay, and a plan of topics or of a reset. */
static void auditor(const char *prefix, struct rights *rights) {
  add_every_topic(rights, RIGHT_READ, prefix);
  add_every_topic(rights, RIGHT_DESCRIBE_CONFIGS, prefix);
  add_every_group(rights, RIGHT_DESCRIBE, prefix);
}

/* holdfast topics, reset, clock, skip, release. */
static void operator(const char *prefix, struct rights *rights) {
  static const enum right_operation of_topics[] = {RIGHT_READ, RIGHT_CREATE, RIGHT_DESCRIBE_CONFIGS,
                                                   RIGHT_ALTER_CONFIGS};
  for (size_t i = 0; i < sizeof of_topics / sizeof *of_topics; i++)
    add_every_topic(rights, of_topics[i], prefix);
  add_every_group(rights, RIGHT_READ, prefix);
  rights_add_prefixed(rights, RIGHT_TRANSACTIONAL_ID, RIGHT_WRITE, prefix, "holdfast-");
  for (const struct processor *const *p = all_processors; *p; p++) {
    char ids[RIGHT_NAME_MAX];
    if ((*p)->changelog) /* of a reset, or a clock that is set back */
      rights_add(rights, RIGHT_TOPIC, RIGHT_WRITE, prefix, (*p)->changelog);
    snprintf(ids, sizeof ids, "%s-", (*p)->name); /* of a slot that is released */
    rights_add_prefixed(rights, RIGHT_TRANSACTIONAL_ID, RIGHT_WRITE, prefix, ids);
  }
}

const char *const grants_roles[] = {"gateway", "auditor", "operator", NULL};
static void (*const role_rights[])(const char *prefix, struct rights *rights) = {gateway,
                                                                                 auditor, operator};

/* ---- the grants ---- */

static void name_principal(const char *pattern, const char *prefix, const char *name, char *out) {
  const char *place = pattern ? strstr(pattern, "{}") : NULL;
  if (!pattern)
    snprintf(out, PRINCIPAL_MAX, "User:%s%s", prefix, name);
  else if (!place)
    snprintf(out, PRINCIPAL_MAX, "%s", pattern);
  else
    snprintf(out, PRINCIPAL_MAX, "%.*s%s%s", (int)(place - pattern), pattern, name, place + 2);
}

static bool is_wanted(const char *name, char *const *names, int count, bool *found) {
  bool wanted = count == 0;
  for (int i = 0; i < count; i++) {
    if (strcmp(names[i], name) == 0) wanted = found[i] = true;
  }
  return wanted;
}

static void add(struct grants *grants, const char *principal, const struct rights *rights) {
  grants->list =
      xgrow(grants->list, &grants->capacity, grants->count + rights->count, sizeof *grants->list);
  for (size_t i = 0; i < rights->count; i++) {
    struct grant *grant = &grants->list[grants->count++];
    *grant = (struct grant){.right = rights->list[i]};
    snprintf(grant->principal, sizeof grant->principal, "%s", principal);
  }
}

bool grants_collect(struct grants *grants, const char *pattern, const char *prefix,
                    char *const *names, int name_count, const char **wrong) {
  char principal[PRINCIPAL_MAX];
  bool *found = xcalloc((size_t)name_count + 1, sizeof *found);
  struct rights *rights = xcalloc(1, sizeof *rights);
  for (const struct processor *const *p = all_processors; *p; p++) {
    if (!is_wanted((*p)->name, names, name_count, found)) continue;
    rights->count = 0;
    rights_of_filter(*p, prefix, rights);
    name_principal(pattern, prefix, (*p)->name, principal);
    add(grants, principal, rights);
  }
  for (size_t i = 0; grants_roles[i]; i++) {
    if (!is_wanted(grants_roles[i], names, name_count, found)) continue;
    rights->count = 0;
    role_rights[i](prefix, rights);
    name_principal(pattern, prefix, grants_roles[i], principal);
    add(grants, principal, rights);
  }
  *wrong = NULL;
  for (int i = 0; i < name_count; i++) {
    if (!found[i]) *wrong = names[i];
  }
  free(rights);
  free(found);
  return !*wrong;
}

void grants_free(struct grants *grants) {
  free(grants->list);
  *grants = (struct grants){0};
}
