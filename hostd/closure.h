/*
 * closure.h - the shared libraries that a program needs, as the dynamic loader would find them; nothing is run.
 *
 * Order of use: closure_begin(), closure_add() for the program, then for every other file whose libraries must be there
 * (modules that it loads by itself); then the objects are what the root has to hold, each at its own path.
 *
 * The rules are those of ld.so(8) of glibc: DT_RPATH of the file and of who asked for it (where there is no
 * DT_RUNPATH), LD_LIBRARY_PATH, DT_RUNPATH, /etc/ld.so.cache, the default directories.  $ORIGIN and $LIB are known.
 *
 * Pure but for what struct closure_io is asked; every byte that it answers with is distrusted.
 * Callers: manifest_parse(); tests and fuzzers.
 *
 * Invariants
 *  I1  Every path of an object is absolute and clean (rule_path_inside()).
 *  I2  No path is there twice.
 */
#ifndef HOSTD_CLOSURE_H
#define HOSTD_CLOSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hostd/manifest.h"

#define CLOSURE_OBJECTS_MAX MANIFEST_MOUNTS_PER_SERVICE_MAX
#define CLOSURE_PATH_BYTES MANIFEST_TO_BYTES_MAX
#define CLOSURE_LIST_BYTES 1024u /* of one RPATH, RUNPATH or LD_LIBRARY_PATH */

struct closure_io {
    void *context;
    /* The bytes of an ELF file.  Negative errno: not there, or nothing that could be read. */
    int (*map)(void *context, const char *path, const void **ret_image, size_t *ret_bytes);
    void (*unmap)(void *context, const void *image, size_t bytes);
};

struct closure_object {
    char path[CLOSURE_PATH_BYTES];
    bool is_interpreter;
    uint32_t parent;                /* who asked for it: index, or CLOSURE_ROOT */
    char rpath[CLOSURE_LIST_BYTES]; /* "" where there is none, or where DT_RUNPATH makes it void */
};
#define CLOSURE_ROOT UINT32_MAX

struct closure {
    const struct closure_io *io;
    const char *library_path; /* LD_LIBRARY_PATH; NULL = none */
    const void *cache;        /* bytes of ld.so.cache; NULL = none */
    size_t cache_bytes;
    struct closure_object objects[CLOSURE_OBJECTS_MAX];
    uint32_t count;
    bool needs_cache;  /* an object is found by the cache alone: the root needs it too */
    bool needs_origin; /* the program's own $ORIGIN was used: without /proc it needs LD_ORIGIN_PATH */
    char program_rpath[CLOSURE_LIST_BYTES], program_directory[CLOSURE_PATH_BYTES];
};

/* Everything given is borrowed until the last call. */
void closure_begin(struct closure *closure, const struct closure_io *io, const char *library_path, const void *cache,
                   size_t cache_bytes);

/*
 * Adds what the file at `path` needs; the file itself is not added.  is_program: its interpreter too.  is_optional: a
 * library that cannot be found is passed over.  -ENOEXEC: no ELF file of this machine; -ENOENT: a library that is not
 * to be found; -E2BIG: too many; another negative errno of io.
 */
int closure_add(struct closure *closure, const char *path, bool is_program, bool is_optional, struct err *e);

/* The path of a library by /etc/ld.so.cache ("glibc-ld.so.cache1.1"), or NULL. */
const char *closure_cache_find(const void *cache, size_t bytes, const char *name);

#endif
