/* A file of settings: a line is name = value, or empty, or begins with # or ; for a comment. The
 * value goes from the = to the end of the line, without blanks around it; a name has letters,
 * digits, '.', '_' and '-'. */
#ifndef HOLDFAST_BASE_SETTINGS_H
#define HOLDFAST_BASE_SETTINGS_H

#include <stdbool.h>
#include <stdio.h>

#define SETTINGS_WHY_SIZE 320

/* Reads the file to its end. take is given each setting; if it returns false, why
 * (SETTINGS_WHY_SIZE) names the fault, and nothing more is read. False: error (512 bytes) says so
 * with path and line. */
bool settings_read(FILE *file, const char *path,
                   bool (*take)(void *user, const char *name, const char *value, char *why),
                   void *user, char *error);

#endif
