#include "runtime/http/framing.h"

#include <string.h>
#include <strings.h>

#include "runtime/base/str.h"

struct framing {
  unsigned hosts, lengths, encodings;
  const char *fault;
};

/* Of letters, digits and marks alone. */
static bool consists_of(struct str text, const char *marks) {
  for (size_t i = 0; i < text.size; i++) {
    char c = text.data[i];
    bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                (c && strchr(marks, c));
    if (!fits) return false;
  }
  return true;
}

/* RFC 9110, 5.6.2. A space before the colon would make another name of it. */
static bool is_token(struct str text) {
  static const char marks[] = "!#$%&'*+-.^_`|~";
  return text.size > 0 && consists_of(text, marks);
}

static bool is(struct str text, const char *name) {
  return text.size == strlen(name) && strncasecmp(text.data, name, text.size) == 0;
}

static bool is_number(struct str text) {
  for (size_t i = 0; i < text.size; i++) {
    if (text.data[i] < '0' || text.data[i] > '9') return false;
  }
  return text.size > 0;
}

/* RFC 9110, 7.2: a name or an address, and a port. With a space it may be a line that was folded: to
 * one reader a part of Host, to another a header of its own. */
static bool is_host(struct str text) {
  static const char marks[] = "-._~%!$&'()*+,;=:[]";
  return consists_of(text, marks);
}

static enum MHD_Result look_at(void *user, enum MHD_ValueKind kind, const char *name,
                               size_t name_size, const char *value, size_t value_size) {
  (void)kind;
  struct framing *self = user;
  struct str header = {name, name_size}, text = {value ? value : "", value ? value_size : 0};
  if (!is_token(header)) {
    self->fault = "the name of a header has a character that none may have";
  } else if (is(header, "Host")) {
    self->hosts++;
    if (!is_host(text)) self->fault = "Host is not a name with or without a port";
  } else if (is(header, "Content-Length")) {
    self->lengths++;
    if (!is_number(text)) self->fault = "Content-Length is not a number";
  } else if (is(header, "Transfer-Encoding")) {
    self->encodings++;
    if (!is(text, "chunked")) self->fault = "Transfer-Encoding may be chunked, and nothing else";
  }
  return self->fault ? MHD_NO : MHD_YES;
}

const char *framing_fault(struct MHD_Connection *connection, const char *version) {
  struct framing self = {0};
  bool old = strcmp(version, "HTTP/1.0") == 0;
  if (!old && strcmp(version, "HTTP/1.1") != 0) return "this is neither HTTP/1.1 nor HTTP/1.0";
  MHD_get_connection_values_n(connection, MHD_HEADER_KIND, look_at, &self);
  if (self.fault) return self.fault;
  if (self.hosts > 1 || (!self.hosts && !old)) return "there must be one Host";
  if (self.lengths > 1) return "there is more than one Content-Length";
  if (self.encodings > 1) return "there is more than one Transfer-Encoding";
  if (self.encodings && self.lengths) return "there are both Content-Length and Transfer-Encoding";
  return self.encodings && old ? "HTTP/1.0 has no Transfer-Encoding" : NULL;
}
