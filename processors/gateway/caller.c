#include "caller.h"

#include <stdio.h>
#include <strings.h>

#include "runtime/base/clock.h"

static void take_headers(const struct http_request *request, struct caller *caller) {
  const char *subject = request->header(request, "Holdfast-Subject");
  const char *roles = request->header(request, "Holdfast-Roles");
  *caller = (struct caller){.roles = ROLE_CUSTOMER | ROLE_MANAGER | ROLE_ADMINISTRATOR};
  snprintf(caller->subject, sizeof caller->subject, "%s",
           subject && *subject ? subject : "anybody");
  caller->subject_size = strlen(caller->subject);
  if (roles) caller->roles = 0;
  for (size_t size; roles && *roles; roles += size, roles += strspn(roles, ", ")) {
    size = strcspn(roles, ", ");
    caller->roles |= role_named((struct str){roles, size});
  }
  if (!caller->roles) caller->roles = ROLE_CUSTOMER;
}

static bool take_token(struct gateway *gateway, const struct http_request *request,
                       struct caller *caller, struct answer *answer) {
  static const char scheme[] = "Bearer ";
  const char *text = request->header(request, "Authorization");
  struct token_refusal why = {.text = "no bearer token was sent"};
  bool sent = text && strncasecmp(text, scheme, sizeof scheme - 1) == 0;
  if (sent && token_check(gateway->keys, &gateway->rules, str_of(text + sizeof scheme - 1),
                          clock_wall_ms() / 1000, caller, &why))
    return true;
  return answer_unknown_caller(answer, sent, &why);
}

static bool take_from(struct limits *limits, const char *name, struct str who,
                      struct answer *answer) {
  if (!limits) return true;
  struct limit_answer taken = limits_take(limits, who, clock_monotonic_ms());
  return answer_limit(answer, limits, name, &taken);
}

bool caller_comes_in(struct gateway *gateway, unsigned roles, struct http_request *request,
                     struct caller *caller, struct answer *answer) {
  if (!gateway->keys) {
    take_headers(request, caller);
  } else if (!take_token(gateway, request, caller, answer)) {
    return false;
  }
  if (!(caller->roles & roles)) return answer_forbidden(answer, roles);
  return take_from(gateway->callers, "caller", (struct str){caller->subject, caller->subject_size},
                   answer);
}

bool caller_address_has_room(struct gateway *gateway, const struct http_request *request,
                             struct answer *answer) {
  char text[LIMIT_ADDRESS_SIZE];
  const struct sockaddr *from =
      MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
  return take_from(gateway->addresses, "address", limit_address(from, text), answer);
}
