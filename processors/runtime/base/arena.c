#include "runtime/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#define BLOCK_SIZE ((size_t)64 * 1024)
#define SPARE_MAX 64 /* blocks: 4 MiB */
#define ALIGNMENT _Alignof(max_align_t)

struct arena_block {
  struct arena_block *next;
  size_t capacity;
  max_align_t data[];
};

static void *checked(void *memory, size_t size) {
  if (memory || size == 0) return memory;
  fprintf(stderr, "holdfast: out of memory (%zu bytes asked for)\n", size);
  exit(EX_OSERR);
}

void *xmalloc(size_t size) {
  return checked(malloc(size), size);
}

void *xcalloc(size_t count, size_t size) {
  return checked(calloc(count, size), count * size);
}

void *xrealloc(void *old, size_t size) {
  return checked(realloc(old, size), size);
}

char *xstrdup(const char *text) {
  size_t size = strlen(text) + 1;
  return memcpy(xmalloc(size), text, size);
}

void *xgrow(void *old, size_t *capacity, size_t need, size_t size) {
  if (need <= *capacity) return old;
  size_t larger = *capacity ? *capacity * 2 : 16;
  while (larger < need) larger *= 2;
  *capacity = larger;
  return xrealloc(old, larger * size);
}

static size_t usual_size(const struct arena *arena) {
  return arena->block_size ? arena->block_size : BLOCK_SIZE;
}

static struct arena_block *new_block(struct arena *arena, size_t size) {
  struct arena_block *block = arena->spare;
  size_t usual = usual_size(arena);
  if (block && size <= usual) {
    arena->spare = block->next;
    arena->spare_count--;
    return block;
  }
  size_t capacity = size > usual ? size : usual;
  block = xmalloc(sizeof *block + capacity);
  block->capacity = capacity;
  return block;
}

void *arena_alloc(struct arena *arena, size_t size) {
  size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  if (!arena->blocks || arena->blocks->capacity - arena->used < size) {
    struct arena_block *block = new_block(arena, size);
    block->next = arena->blocks;
    arena->blocks = block;
    arena->used = 0;
  }
  char *result = (char *)arena->blocks->data + arena->used;
  arena->used += size;
  arena->total += size;
  return result;
}

void *arena_zalloc(struct arena *arena, size_t size) {
  return memset(arena_alloc(arena, size), 0, size);
}

struct str arena_copy(struct arena *arena, struct str bytes) {
  char *copy = arena_alloc(arena, bytes.size + 1);
  if (bytes.size) memcpy(copy, bytes.data, bytes.size);
  copy[bytes.size] = '\0';
  return (struct str){copy, bytes.size};
}

struct str arena_format(struct arena *arena, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  va_list again;
  va_copy(again, arguments);
  int size = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  char *text = arena_alloc(arena, (size_t)size + 1);
  vsnprintf(text, (size_t)size + 1, format, again);
  va_end(again);
  return (struct str){text, (size_t)size};
}

/* Blocks of the usual size are kept for the next round, up to a limit. */
void arena_reset(struct arena *arena) {
  struct arena_block *spare = arena->spare;
  size_t kept = arena->spare_count;
  for (struct arena_block *block = arena->blocks, *next; block; block = next) {
    next = block->next;
    if (block->capacity == usual_size(arena) && kept < SPARE_MAX) {
      block->next = spare;
      spare = block;
      kept++;
    } else {
      free(block);
    }
  }
  *arena = (struct arena){.spare = spare, .spare_count = kept, .block_size = arena->block_size};
}

void arena_free(struct arena *arena) {
  arena_reset(arena);
  for (struct arena_block *block = arena->spare, *next; block; block = next) {
    next = block->next;
    free(block);
  }
  *arena = (struct arena){0};
}
