/* The books of the provider simulator: each charge and refund by its key, in memory and on disk.
 * They have no lock: their caller has one. */
#ifndef HOLDFAST_PROVIDER_BOOKS_H
#define HOLDFAST_PROVIDER_BOOKS_H

#include <jansson.h>
#include <stdbool.h>

#define PATH_SIZE_MAX 4096

struct books {
  json_t *known;   /* path -> entry: {"key","kind","amount","customer","status","calls"} */
  json_t *entries; /* the same, as they came: a cursor is a place in it */
  int file;        /* a line for each call: the entry as it became. -1: none is kept */
  long calls;      /* also those without an entry, which the caller adds */
  long charges, refunds, declined, repeated;
};

void books_begin(struct books *books);
void books_end(struct books *books);

/* Reads the file, and writes to it from now on. Returns an exit code, EX_OK or with a message on
 * stderr. */
int books_open(struct books *books, const char *path);

/* path: /charges/KEY or /refunds/KEY. */
bool books_is_charge(const char *path);

/* Borrowed, NULL: there is none. */
json_t *books_find(const struct books *books, const char *path);

/* Each returns the answer to a call as a new reference, once it is written down: a new entry, or a
 * known one again. NULL: the known key belongs to another amount. */
json_t *books_enter(struct books *books, const char *path, const json_t *body, bool declined);
json_t *books_repeat(struct books *books, json_t *entry, const json_t *body);

/* {"charges":[...],"next":CURSOR,"more":true|false}. NULL: the cursor belongs to no page. */
json_t *books_page(const struct books *books, const char *after, const char *limit);

#endif
