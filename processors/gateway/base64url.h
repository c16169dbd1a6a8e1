/* base64url without padding, as tokens and keys have it (RFC 4648, section 5; RFC 7515, section 2).
 * Strict, so that bytes have one text only: no padding, no blanks, no bits left over. */
#ifndef HOLDFAST_GATEWAY_BASE64URL_H
#define HOLDFAST_GATEWAY_BASE64URL_H

#include "runtime/base/str.h"

#define BASE64URL_TEXT_SIZE(bytes) (((bytes)*4 + 2) / 3)
#define BASE64URL_BYTES_MAX(text) ((text)*3 / 4)

/* Writes BASE64URL_TEXT_SIZE(bytes.size) characters, without a NUL, and returns them. */
struct str base64url_encode(struct str bytes, char *out);

/* Writes at most BASE64URL_BYTES_MAX(text.size) bytes. False: the text is no base64url. */
bool base64url_decode(struct str text, char *out, size_t *size);

#endif
