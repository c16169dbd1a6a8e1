/* A piece of text or bytes: a pointer and a size, borrowed from somebody else, not ended by a
 * NUL. */
#ifndef HOLDFAST_BASE_STR_H
#define HOLDFAST_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
  const char *data;
  size_t size;
};

#define STR(literal) ((struct str){"" literal, sizeof literal - 1})
#define STR_FORMAT "%.*s"
#define STR_ARGS(s) (int)(s).size, (s).data ? (s).data : ""

static inline struct str str_of(const char *text) {
  return (struct str){text, text ? strlen(text) : 0};
}

static inline bool str_equal(struct str a, struct str b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Bytewise, a prefix before what it begins. */
static inline int str_compare(struct str a, struct str b) {
  size_t common = a.size < b.size ? a.size : b.size;
  int order = common ? memcmp(a.data, b.data, common) : 0;
  return order ? order : (a.size > b.size) - (a.size < b.size);
}

static inline bool str_starts_with(struct str s, struct str prefix) {
  return s.size >= prefix.size &&
         (prefix.size == 0 || memcmp(s.data, prefix.data, prefix.size) == 0);
}

#endif
