#include "runtime/http/left_alone.h"

#include "runtime/base/clock.h"

static size_t find(const struct left_alone *all, struct str url) {
  size_t i = 0;
  while (i < LEFT_ALONE_MAX && !str_equal(str_of(all->places[i].url), url)) i++;
  return i;
}

bool left_alone(struct left_alone *all, const char *url) {
  size_t i = find(all, str_of(url));
  if (i == LEFT_ALONE_MAX) return false;
  if (clock_monotonic_ms() < all->places[i].until) return true;
  all->places[i].until = clock_monotonic_ms() + LEFT_ALONE_MS;
  return false;
}

/* A free place, or that of who failed longest ago. */
static size_t place_for(const struct left_alone *all) {
  size_t found = 0;
  for (size_t i = 1; i < LEFT_ALONE_MAX; i++) {
    if (all->places[i].until < all->places[found].until) found = i;
  }
  return found;
}

void left_alone_note(struct left_alone *all, struct str url, bool failed) {
  size_t i = find(all, url);
  if (!failed && i < LEFT_ALONE_MAX) {
    all->places[i].url[0] = '\0';
    all->places[i].until = 0;
  } else if (failed) {
    if (i == LEFT_ALONE_MAX) i = place_for(all);
    snprintf(all->places[i].url, OWNER_URL_MAX, STR_FORMAT, STR_ARGS(url));
    all->places[i].until = clock_monotonic_ms() + LEFT_ALONE_MS;
  }
}
