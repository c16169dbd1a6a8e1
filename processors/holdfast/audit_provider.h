/* Reads the payment provider's own books for the audit: over HTTP in pages, or from a CSV export.
 * tests/lib/README.md has their form: 'What a real provider must offer'. */
#ifndef HOLDFAST_AUDIT_PROVIDER_H
#define HOLDFAST_AUDIT_PROVIDER_H

#include "auditor/auditor.h"
#include "runtime/base/failure.h"

#define PROVIDER_CURSOR_MAX 256

struct provider_books {
  const char *url, *csv; /* borrowed; one of them, or both NULL: no books are asked for */
  char cursor[PROVIDER_CURSOR_MAX]; /* of the page that comes next; empty at first */
};

/* Gives the auditor what has come since the last time: over HTTP after the cursor; a CSV file is
 * read anew. False: failure says what and where. */
bool provider_books_read(struct provider_books *books, struct auditor *auditor,
                         struct failure *failure);

/* The entries of a CSV export. NULL: all are taken; else what the line of that *number has. */
const char *provider_csv_read(FILE *file, struct auditor *auditor, int64_t *number);

#endif
