/* closure.c - see closure.h. */
#include "hostd/closure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hostd/elf.h"
#include "hostd/rules.h"
#include "rpc/base/own.h"

/* What this glibc looks for by itself, in its order, and what $LIB is (Debian's; where another distribution has its
 * libraries elsewhere they are found by the cache, which then goes into the root). */
#if defined(__x86_64__)
#define TRIPLET "x86_64-linux-gnu"
#define CACHE_FLAGS 0x0303 /* FLAG_ELF_LIBC6 | FLAG_X8664_LIB64 */
#else
#define TRIPLET "aarch64-linux-gnu"
#define CACHE_FLAGS 0x0A03 /* FLAG_ELF_LIBC6 | FLAG_AARCH64_LIB64 */
#endif
static const char *const default_directories[] = {"/lib/" TRIPLET, "/usr/lib/" TRIPLET, "/lib", "/usr/lib"};

/* ---- ld.so.cache ---- */

#define CACHE_MAGIC "glibc-ld.so.cache1.1"

struct cache_header {
    char magic[20];
    uint32_t count, strings_bytes;
    uint8_t flags, padding[3];
    uint32_t extensions_at, unused[3];
};

struct cache_entry {
    int32_t flags;
    uint32_t key, value; /* offsets of texts, from the start of the header */
    uint32_t os_version;
    uint64_t hwcap; /* not 0: of a directory for newer processors; the plain one is there as well */
};
_Static_assert(sizeof(struct cache_header) == 48 && sizeof(struct cache_entry) == 24, "as ldconfig writes them");

static const char *cache_text(const char *cache, size_t bytes, uint32_t at)
{
    return at < bytes && memchr(cache + at, '\0', bytes - at) ? cache + at : NULL;
}

const char *closure_cache_find(const void *cache, size_t bytes, const char *name)
{
    struct cache_header header;
    if (!cache || bytes < sizeof header)
        return NULL;
    memcpy(&header, cache, sizeof header);
    if (memcmp(header.magic, CACHE_MAGIC, sizeof header.magic) != 0 ||
        header.count > (bytes - sizeof header) / sizeof(struct cache_entry))
        return NULL;
    for (uint32_t i = 0; i < header.count; i++) {
        struct cache_entry entry;
        memcpy(&entry, (const char *)cache + sizeof header + i * sizeof entry, sizeof entry);
        if (entry.flags != CACHE_FLAGS || entry.hwcap != 0)
            continue;
        const char *key = cache_text(cache, bytes, entry.key);
        if (key && strcmp(key, name) == 0)
            return cache_text(cache, bytes, entry.value);
    }
    return NULL;
}

/* ---- paths ---- */

static void directory_of(const char *path, char ret_directory[CLOSURE_PATH_BYTES])
{
    const char *slash = strrchr(path, '/');
    size_t bytes = slash && slash > path ? (size_t)(slash - path) : 1;
    (void)snprintf(ret_directory, CLOSURE_PATH_BYTES, "%.*s", (int)bytes, path);
}

struct search {
    struct closure *closure;
    const char *name;
    char path[CLOSURE_PATH_BYTES]; /* the candidate */
    uint32_t found;                /* its place among the objects; CLOSURE_ROOT: new, and mapped */
    const void *image;
    size_t bytes;
    struct elf elf;
};

/* Collapses "//", "/./" and "/x/../" by text, as far as the result is only a name for the same file: that is so where
 * no part is a symlink, which inside a root of plain directories none is. */
static bool clean(char *path)
{
    size_t used = 0;
    if (path[0] != '/')
        return false;
    for (const char *part = path; *part;) {
        part += strspn(part, "/");
        size_t bytes = strcspn(part, "/");
        if (bytes == 2 && memcmp(part, "..", 2) == 0) {
            while (used > 0 && path[--used] != '/')
                ;
        } else if (bytes > 0 && !(bytes == 1 && part[0] == '.')) {
            path[used++] = '/';
            memmove(path + used, part, bytes);
            used += bytes;
        }
        part += bytes;
    }
    path[used] = '\0';
    return rule_path_inside(path);
}

/* Is the candidate a library of this machine?  1: yes, 0: look on, negative: give up. */
static int try_path(struct search *search)
{
    struct closure *closure = search->closure;
    struct err ignored; /* the loader passes over what is not for this machine, and so do we */
    if (!clean(search->path))
        return 0;
    for (uint32_t i = 0; i < closure->count; i++)
        if (strcmp(closure->objects[i].path, search->path) == 0) {
            search->found = i;
            return 1;
        }
    if (closure->io->map(closure->io->context, search->path, &search->image, &search->bytes) < 0)
        return 0;
    if (elf_read(search->image, search->bytes, &search->elf, &ignored) == 0) {
        search->found = CLOSURE_ROOT;
        return 1;
    }
    closure->io->unmap(closure->io->context, search->image, search->bytes);
    return 0;
}

/* Replaces $ORIGIN and $LIB; false: another token, too long, or no absolute path. */
static bool expand(const char *item, size_t bytes, const char *origin, char ret_path[CLOSURE_PATH_BYTES],
                   bool *ret_has_origin)
{
    static const struct {
        const char *token;
        bool is_origin;
    } tokens[] = {{"$ORIGIN", true}, {"${ORIGIN}", true}, {"$LIB", false}, {"${LIB}", false}};
    size_t used = 0;
    *ret_has_origin = false;
    for (size_t i = 0; i < bytes;) {
        const char *text = item + i;
        size_t taken = 1, text_bytes = 1;
        if (*text == '$') {
            size_t k = 0;
            while (k < ARRAY_COUNT(tokens) &&
                   (strlen(tokens[k].token) > bytes - i || memcmp(text, tokens[k].token, strlen(tokens[k].token)) != 0))
                k++;
            if (k == ARRAY_COUNT(tokens))
                return false;
            *ret_has_origin |= tokens[k].is_origin;
            taken = strlen(tokens[k].token);
            text = tokens[k].is_origin ? origin : "lib/" TRIPLET;
            text_bytes = strlen(text);
        }
        if (used + text_bytes >= CLOSURE_PATH_BYTES)
            return false;
        memcpy(ret_path + used, text, text_bytes);
        used += text_bytes;
        i += taken;
    }
    ret_path[used] = '\0';
    return ret_path[0] == '/';
}

/* A list of directories, as in DT_RPATH. */
static int try_list(struct search *search, const char *list, const char *origin)
{
    for (const char *item = list; list && *item;) {
        size_t bytes = strcspn(item, ":");
        char directory[CLOSURE_PATH_BYTES];
        bool has_origin;
        if (bytes > 0 && expand(item, bytes, origin, directory, &has_origin) &&
            snprintf(search->path, sizeof search->path, "%s/%s", directory, search->name) < (int)sizeof search->path) {
            int found = try_path(search);
            if (found > 0)
                search->closure->needs_origin |= has_origin && strcmp(origin, search->closure->program_directory) == 0;
            if (found)
                return found;
        }
        item += bytes + (item[bytes] == ':');
    }
    return 0;
}

/* DT_RPATH of the file, of who asked for it, and so on up to the program. */
static int try_rpaths(struct search *search, uint32_t asker, const char *own_rpath, const char *own_directory)
{
    struct closure *closure = search->closure;
    int found = try_list(search, own_rpath, own_directory);
    while (!found && asker != CLOSURE_ROOT) {
        char directory[CLOSURE_PATH_BYTES];
        directory_of(closure->objects[asker].path, directory);
        found = try_list(search, closure->objects[asker].rpath, directory);
        asker = closure->objects[asker].parent;
    }
    return found ? found : try_list(search, closure->program_rpath, closure->program_directory);
}

static int try_default(struct search *search)
{
    struct closure *closure = search->closure;
    const char *cached = closure_cache_find(closure->cache, closure->cache_bytes, search->name);
    int found = 0;
    if (cached && snprintf(search->path, sizeof search->path, "%s", cached) < (int)sizeof search->path) {
        found = try_path(search);
        bool is_default = false;
        char directory[CLOSURE_PATH_BYTES];
        directory_of(search->path, directory);
        for (size_t i = 0; i < ARRAY_COUNT(default_directories); i++)
            is_default |= strcmp(directory, default_directories[i]) == 0;
        closure->needs_cache |= found > 0 && !is_default;
    }
    for (size_t i = 0; !found && i < ARRAY_COUNT(default_directories); i++)
        if (snprintf(search->path, sizeof search->path, "%s/%s", default_directories[i], search->name) <
            (int)sizeof search->path)
            found = try_path(search);
    return found;
}

/* ---- objects ---- */

/* The object that search has found becomes one of the closure. */
static int push(struct closure *closure, struct search *search, uint32_t parent, bool is_interpreter, struct err *e)
{
    if (search->found != CLOSURE_ROOT)
        return 0;
    int r = 0;
    if (closure->count == CLOSURE_OBJECTS_MAX) {
        r = err_set(e, -E2BIG, "more than %u libraries are needed", CLOSURE_OBJECTS_MAX);
    } else {
        struct closure_object *object = &closure->objects[closure->count++];
        *object = (struct closure_object){.parent = parent, .is_interpreter = is_interpreter};
        memcpy(object->path, search->path, sizeof object->path);
        if (search->elf.rpath && !search->elf.runpath)
            (void)snprintf(object->rpath, sizeof object->rpath, "%s", search->elf.rpath);
    }
    closure->io->unmap(closure->io->context, search->image, search->bytes);
    return r;
}

/* One DT_NEEDED of a file. */
static int add_needed(struct closure *closure, const char *path, uint32_t index, const struct elf *elf,
                      const char *name, bool is_optional, struct err *e)
{
    struct search search = {.closure = closure, .name = name, .found = CLOSURE_ROOT};
    char directory[CLOSURE_PATH_BYTES];
    int found = 0;
    directory_of(path, directory);
    if (strchr(name, '/')) {
        if (snprintf(search.path, sizeof search.path, "%s", name) < (int)sizeof search.path)
            found = try_path(&search);
    } else {
        if (!elf->runpath)
            found = try_rpaths(&search, index == CLOSURE_ROOT ? CLOSURE_ROOT : closure->objects[index].parent,
                               elf->rpath, directory);
        if (!found)
            found = try_list(&search, closure->library_path, closure->program_directory);
        if (!found)
            found = try_list(&search, elf->runpath, directory);
        if (!found && !elf->is_no_default)
            found = try_default(&search);
    }
    if (found > 0)
        return push(closure, &search, index, false, e);
    for (uint32_t i = 0; i < closure->count; i++) { /* loaded already, under a path that this file would not find */
        const char *slash = strrchr(closure->objects[i].path, '/');
        if (strcmp(slash + 1, name) == 0)
            return 0;
    }
    if (is_optional)
        return 0;
    return err_set(e, -ENOENT, "'%.128s' needs the library '%.64s', which is not to be found", path, name);
}

static int add_interpreter(struct closure *closure, const char *name, struct err *e)
{
    struct search search = {.closure = closure, .name = name, .found = CLOSURE_ROOT};
    if (snprintf(search.path, sizeof search.path, "%s", name) >= (int)sizeof search.path || try_path(&search) <= 0)
        return err_set(e, -ENOENT, "its interpreter '%.64s' is not to be found", name);
    if (search.found != CLOSURE_ROOT) {
        closure->objects[search.found].is_interpreter = true;
        return 0;
    }
    return push(closure, &search, CLOSURE_ROOT, true, e);
}

/* Reads one file, and adds all that it names. */
static int add_all_of(struct closure *closure, const char *path, uint32_t index, bool is_program, bool is_optional,
                      struct err *e)
{
    const void *image;
    size_t bytes;
    struct elf elf;
    int r = closure->io->map(closure->io->context, path, &image, &bytes);
    if (r < 0)
        return err_sys(e, r, "'%.128s'", path);
    r = elf_read(image, bytes, &elf, e);
    if (r == 0 && is_program) {
        if (elf.rpath && !elf.runpath)
            (void)snprintf(closure->program_rpath, sizeof closure->program_rpath, "%s", elf.rpath);
        directory_of(path, closure->program_directory);
        if (elf.interpreter)
            r = add_interpreter(closure, elf.interpreter, e);
    }
    for (uint32_t i = 0; r == 0 && i < elf.needed_count; i++)
        r = add_needed(closure, path, index, &elf, elf.needed[i], is_optional, e);
    closure->io->unmap(closure->io->context, image, bytes);
    return r;
}

void closure_begin(struct closure *closure, const struct closure_io *io, const char *library_path, const void *cache,
                   size_t cache_bytes)
{
    *closure = (struct closure){
        .io = io, .library_path = library_path, .cache = cache, .cache_bytes = cache_bytes, .program_directory = "/"};
}

int closure_add(struct closure *closure, const char *path, bool is_program, bool is_optional, struct err *e)
{
    uint32_t next = closure->count;
    int r = add_all_of(closure, path, CLOSURE_ROOT, is_program, is_optional, e);
    for (; r == 0 && next < closure->count; next++) /* breadth first, as the loader does */
        r = add_all_of(closure, closure->objects[next].path, next, false, is_optional, e);
    return r;
}
