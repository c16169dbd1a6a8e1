#include "gateway/base64url.h"

static const char letters[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct str base64url_encode(struct str bytes, char *out) {
  uint32_t bits = 0;
  int held = 0;
  size_t size = 0;
  for (size_t i = 0; i < bytes.size; i++) {
    bits = bits << 8 | (unsigned char)bytes.data[i];
    for (held += 8; held >= 6; held -= 6) out[size++] = letters[bits >> (held - 6) & 63];
  }
  if (held) out[size++] = letters[bits << (6 - held) & 63];
  return (struct str){out, size};
}

/* -1: not a letter of base64url. */
static int value_of(char letter) {
  if (letter >= 'A' && letter <= 'Z') return letter - 'A';
  if (letter >= 'a' && letter <= 'z') return letter - 'a' + 26;
  if (letter >= '0' && letter <= '9') return letter - '0' + 52;
  if (letter == '-') return 62;
  return letter == '_' ? 63 : -1;
}

bool base64url_decode(struct str text, char *out, size_t *size) {
  uint32_t bits = 0;
  int held = 0;
  *size = 0;
  for (size_t i = 0; i < text.size; i++) {
    int value = value_of(text.data[i]);
    if (value < 0) return false;
    bits = bits << 6 | (uint32_t)value;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out[(*size)++] = (char)(bits >> held & 0xff);
  }
  return held < 6 && (bits & ((1u << held) - 1)) == 0;
}
