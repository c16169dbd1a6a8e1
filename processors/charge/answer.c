#include "answer.h"

/* The place of the last quote of the text that begins at that quote; json.size: the text is cut. */
static size_t text_end(struct str json, size_t at) {
  for (at++; at < json.size && json.data[at] != '"'; at++) at += json.data[at] == '\\';
  return at < json.size ? at : json.size;
}

struct str answer_member(struct str json, struct str name) {
  struct str key = {0}; /* of the member that is being read */
  int depth = 0;
  for (size_t at = 0; at < json.size; at++) {
    char c = json.data[at];
    if (c == '{' || c == '[') depth++;
    if (c == '}' || c == ']') depth--;
    if (c == ',' && depth == 1) key = (struct str){0};
    if (c != '"') continue;
    size_t end = text_end(json, at);
    struct str text = {json.data + at + 1, end - at - 1};
    at = end;
    if (end == json.size) break;
    if (depth != 1) continue;
    if (key.data && str_equal(key, name)) return text;
    if (!key.data) key = text;
  }
  return (struct str){0};
}
