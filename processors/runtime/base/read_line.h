/* Lines of a file of any size, within bounded memory. */
#ifndef HOLDFAST_BASE_READ_LINE_H
#define HOLDFAST_BASE_READ_LINE_H

#include <stdio.h>

#include "runtime/base/str.h"

#define LINE_SIZE_MAX ((size_t)1 << 20)

/* Reads a line without its end; false at the end of the file. *too_long: it was longer than
 * LINE_SIZE_MAX and is cut. */
bool line_read(FILE *in, char **buffer, size_t *capacity, struct str *line, bool *too_long);

#endif
