/*
 * manifest_parse.c - manifest_parse(): from the text of a service list to a flat, checked block, or to a report.
 *
 * Pure but for what struct manifest_io is asked.  Runs in the unprivileged child of manifest_load().
 *
 *   text ─▶ toml_depth_is_bounded() ─▶ toml_tree_parse() ─▶ take_root(): tables of keys take their values
 *        ─▶ check_unique(), take_links() ─▶ emit()
 *
 * Invariants
 *  I1  Every error of meaning is reported, each once, at the place that has to be changed; what follows only from an
 *      error that is reported already is not.
 *  I2  A block is emitted only when nothing was reported.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostd/closure.h"
#include "hostd/elf.h"
#include "hostd/manifest.h"
#include "hostd/report.h"
#include "hostd/rules.h"
#include "hostd/schema.h"
#include "hostd/suggest.h"
#include "hostd/toml.h"
#include "hostd/toml_depth.h"
#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

#define CLAIM_BYTES 80 /* a name, an address, or two names and an arrow */
#define CONFIG_KEY_BYTES 256
#define KEYS_MAX 24

/* An array that grows. */
struct vector {
    char *items;
    uint32_t count, room;
};

/* Something that only one may have: a name, an address, a pair. */
struct claim {
    char key[CLAIM_BYTES];
    const struct toml_tree *node;
};

/* Each kind of claim by itself; `what` is how a report speaks of it. */
enum claim_kind { CLAIM_DATA, CLAIM_INGRESS, CLAIM_ADDRESS, CLAIM_LINK, CLAIM_KIND_COUNT };

/* A binary that was read: services may share it. */
struct binary {
    text_at path;
    bool is_good;
    uint32_t methods_first, methods_count;
};

struct build {
    struct report report;
    const char *dir, *bin_dir;
    const struct manifest_io *io;
    int result; /* 0, or -ENOMEM, -E2BIG: then nothing more is collected */
    char app[NAME_BYTES];
    uint32_t app_missing;
    struct vector services, links, ingresses, data, files, methods, config, text; /* what the block is made of */
    struct vector words, mounts;                                                  /* likewise */
    struct vector binaries, names, claims[CLAIM_KIND_COUNT];                      /* what checking needs */
};

/* What the key functions fill: one of the two, and the nodes that are looked at when all keys are known. */
struct target {
    struct manifest_service *service;
    const struct toml_tree *operator_methods;
    bool has_binary;
    const struct toml_tree *from, *to, *allow, *name, *listen, *links;
    const struct toml_tree *port, *exec, *args, *env, *paths; /* the last four: of a process */
};

struct key {
    const char *name;
    enum toml_kind kind;
    bool is_required;
    void (*take)(struct build *b, struct target *target, const struct toml_tree *node);
};

static const char *const kind_names[] = {
    [TREE_TABLE] = "a table",    [TREE_ARRAY] = "a list",   [TREE_STRING] = "a text", [TREE_INT] = "a whole number",
    [TREE_FLOAT] = "a fraction", [TREE_BOOL] = "a boolean", [TREE_TIME] = "a time",
};
_Static_assert(ARRAY_COUNT(kind_names) == TREE_KIND_COUNT, "every kind has a name");

#define ERROR_AT(b, node, ...) report_add(&(b)->report, (node)->line, (node)->column, __VA_ARGS__)
#define ERROR_AT_KEY(b, node, ...) report_add(&(b)->report, (node)->key_line, (node)->key_column, __VA_ARGS__)

/* ---- growing arrays ---- */

/* `count` zeroed items more; NULL when there is no memory or the block would be too large (b->result says which). */
static void *push_many(struct build *b, struct vector *v, uint32_t count, size_t item_bytes)
{
    if (b->result < 0)
        return NULL;
    if (((uint64_t)v->count + count) * item_bytes > MANIFEST_BYTES_MAX) {
        b->result = -E2BIG;
        return NULL;
    }
    if (v->count + count > v->room) {
        uint32_t room = v->room ? 2 * v->room : 16;
        while (room < v->count + count)
            room *= 2;
        char *items = realloc(v->items, room * item_bytes);
        if (!items) {
            b->result = -ENOMEM;
            return NULL;
        }
        v->items = items;
        v->room = room;
    }
    char *item = v->items + v->count * item_bytes;
    memset(item, 0, count * item_bytes);
    v->count += count;
    return item;
}

static void *push(struct build *b, struct vector *v, size_t item_bytes)
{
    return push_many(b, v, 1, item_bytes);
}

static text_at push_text(struct build *b, const char *text)
{
    if (*text == '\0')
        return 0;
    text_at at = b->text.count;
    uint32_t bytes = (uint32_t)strlen(text) + 1; /* what is given is bounded by the file */
    char *to = push_many(b, &b->text, bytes, 1);
    if (!to)
        return 0;
    memcpy(to, text, bytes);
    return at;
}

static const char *text_of(const struct build *b, text_at at)
{
    return b->text.items + at;
}

static void claim(struct build *b, enum claim_kind kind, const char *key, const struct toml_tree *node)
{
    struct claim *c = push(b, &b->claims[kind], sizeof *c);
    if (!c)
        return;
    (void)snprintf(c->key, sizeof c->key, "%s", key);
    c->node = node;
}

static bool is_before(const struct toml_tree *a, const struct toml_tree *b)
{
    return a->line != b->line ? a->line < b->line : a->column < b->column;
}

static int compare_claims(const void *a, const void *b)
{
    const struct claim *left = a, *right = b;
    int order = strcmp(left->key, right->key);
    return order ? order : is_before(left->node, right->node) ? -1 : is_before(right->node, left->node);
}

/* Reports every claim that somebody made before. */
static void check_claims(struct build *b, enum claim_kind kind)
{
    static const char *const what[] = {
        [CLAIM_DATA] = "data directory",
        [CLAIM_INGRESS] = "ingress",
        [CLAIM_ADDRESS] = "address",
        [CLAIM_LINK] = "link",
    };
    _Static_assert(ARRAY_COUNT(what) == CLAIM_KIND_COUNT, "every kind has a word");
    struct claim *claims = (void *)b->claims[kind].items;
    uint32_t count = b->claims[kind].count;
    if (count > 1)
        qsort(claims, count, sizeof *claims, compare_claims);
    for (uint32_t i = 1, first = 0; i < count; i++) {
        if (strcmp(claims[first].key, claims[i].key) == 0)
            ERROR_AT(b, claims[i].node, "%s '%s' is there already: see line %u", what[kind], claims[i].key,
                     claims[first].node->line);
        else
            first = i;
    }
}

/* ---- tables of keys ---- */

static void unknown_key(struct build *b, const struct toml_tree *child, const struct key *keys, size_t count)
{
    struct suggestion near = suggest_for(child->key);
    for (size_t i = 0; i < count; i++)
        suggest_offer(&near, keys[i].name);
    if (near.best)
        ERROR_AT_KEY(b, child, "unknown key '%.64s'; did you mean '%s'?", child->key, near.best);
    else
        ERROR_AT_KEY(b, child, "unknown key '%.64s'", child->key);
}

static void take_keys(struct build *b, struct target *target, const struct toml_tree *table, const struct key *keys,
                      size_t count, const char *what)
{
    bool is_seen[KEYS_MAX] = {false};
    for (size_t i = 0; i < table->child_count; i++) {
        const struct toml_tree *child = &table->children[i];
        size_t k = 0;
        while (k < count && strcmp(keys[k].name, child->key) != 0)
            k++;
        if (k == count) {
            unknown_key(b, child, keys, count);
            continue;
        }
        is_seen[k] = true;
        if (child->kind != keys[k].kind)
            ERROR_AT(b, child, "'%s' must be %s, not %s", child->key, kind_names[keys[k].kind],
                     kind_names[child->kind]);
        else if (child->kind == TREE_STRING && strlen(child->text) != child->text_bytes)
            ERROR_AT(b, child, "'%s' holds a NUL character", child->key);
        else
            keys[k].take(b, target, child);
    }
    for (size_t k = 0; k < count; k++)
        if (keys[k].is_required && !is_seen[k])
            ERROR_AT(b, table, "%s has no '%s'", what, keys[k].name);
}

/* Is this element of a list a text without NUL?  Reports it if not. */
static bool is_text(struct build *b, const struct toml_tree *node, const char *list)
{
    if (node->kind == TREE_STRING && strlen(node->text) == node->text_bytes)
        return true;
    if (node->kind == TREE_STRING)
        ERROR_AT(b, node, "'%s' holds a NUL character", list);
    else
        ERROR_AT(b, node, "'%s' is a list of texts; this is %s", list, kind_names[node->kind]);
    return false;
}

/* Reports a name that is none; `what` says of what. */
static bool is_name(struct build *b, const struct toml_tree *node, const char *name, const char *what, bool at_key)
{
    if (rule_name(name))
        return true;
    uint32_t line = at_key ? node->key_line : node->line, column = at_key ? node->key_column : node->column;
    report_add(&b->report, line, column,
               "'%.64s' is no name of %s: a-z, 0-9, _ and -, beginning with a letter, at most %d characters", name,
               what, NAME_BYTES - 1);
    return false;
}

static bool has_room(struct build *b, const struct toml_tree *list, uint32_t max)
{
    if (list->child_count <= max)
        return true;
    ERROR_AT(b, list, "'%s' has %zu entries; %u is the limit", list->key, list->child_count, max);
    return false;
}

/* ---- [app] ---- */

static uint32_t missing_bits(struct build *b, const struct toml_tree *list)
{
    static const char *const names[] = {"landlock", "memory", "pids", "cpu"}; /* bit 1 << index */
    uint32_t bits = 0;
    for (size_t i = 0; i < list->child_count; i++) {
        const struct toml_tree *node = &list->children[i];
        if (!is_text(b, node, list->key))
            continue;
        size_t k = 0;
        while (k < ARRAY_COUNT(names) && strcmp(names[k], node->text) != 0)
            k++;
        const char *near = suggest(node->text, names, ARRAY_COUNT(names));
        if (k < ARRAY_COUNT(names))
            bits |= 1u << k;
        else if (near)
            ERROR_AT(b, node, "no protection '%.64s'; did you mean '%s'?", node->text, near);
        else
            ERROR_AT(b, node, "no protection '%.64s': there are landlock, memory, pids and cpu", node->text);
    }
    return bits;
}

static void take_app_name(struct build *b, struct target *target, const struct toml_tree *node)
{
    if (is_name(b, node, node->text, "an application", false))
        memcpy(b->app, node->text, node->text_bytes + 1);
}

static void take_app_missing(struct build *b, struct target *target, const struct toml_tree *node)
{
    b->app_missing = missing_bits(b, node);
}

static void take_app(struct build *b, struct target *target, const struct toml_tree *node)
{
    static const struct key keys[] = {
        {"name", TREE_STRING, true, take_app_name},
        {"accept_missing", TREE_ARRAY, false, take_app_missing},
    };
    take_keys(b, target, node, keys, ARRAY_COUNT(keys), "[app]");
}

/* ---- exec ---- */

/* Copies what the binary declares to the methods, once per binary. */
static bool read_binary(struct build *b, const struct toml_tree *node, const char *path, struct binary *binary)
{
    const void *image;
    size_t bytes;
    int r = b->io->map(b->io->context, path, &image, &bytes);
    if (r < 0) {
        if (r == -ENOENT)
            ERROR_AT(b, node, "there is no program '%s'", path);
        else if (r == -EACCES)
            ERROR_AT(b, node, "'%s' may not be executed", path);
        else
            ERROR_AT(b, node, "program '%s': %s", path, strerror(-r));
        return false;
    }
    static struct schema schema; /* 16 KiB; one thread */
    struct err e;
    r = schema_read(image, bytes, &schema, &e);
    b->io->unmap(b->io->context, image, bytes);
    if (r < 0) {
        ERROR_AT(b, node, "'%s' cannot be a service: %s", path, e.text);
        return false;
    }
    if (schema.is_dynamic) {
        ERROR_AT(b, node, "'%s' cannot be a service: it needs shared libraries; link it statically", path);
        return false;
    }
    binary->methods_first = b->methods.count;
    binary->methods_count = schema.count;
    if (schema.count == 0)
        return true;
    struct manifest_method *methods = push_many(b, &b->methods, schema.count, sizeof *methods);
    if (!methods)
        return false;
    memcpy(methods, schema.methods, schema.count * sizeof *methods);
    return true;
}

/* Absolute form of a path of the list; false when it is too long. */
static bool absolute(const struct build *b, const char *path, char ret_path[MANIFEST_PATH_BYTES_MAX])
{
    int bytes;
    while (strncmp(path, "./", 2) == 0) /* only for the eye: ".." is left to the kernel, which knows of symlinks */
        path += 2;
    if (path[0] == '/')
        bytes = snprintf(ret_path, MANIFEST_PATH_BYTES_MAX, "%s", path);
    else
        bytes = snprintf(ret_path, MANIFEST_PATH_BYTES_MAX, "%s/%s", b->dir, path);
    return bytes > 0 && (uint32_t)bytes < MANIFEST_PATH_BYTES_MAX;
}

static void take_exec(struct build *b, struct target *target, const struct toml_tree *node)
{
    char path[MANIFEST_PATH_BYTES_MAX];
    if (target->service->kind == KIND_PROCESS) {
        target->exec = node; /* looked at when its paths and its environment are known */
        return;
    }
    bool is_bare = strchr(node->text, '/') == NULL;
    int bytes = is_bare ? snprintf(path, sizeof path, "%s/%s", b->bin_dir, node->text) : absolute(b, node->text, path);
    if (node->text[0] == '\0' || bytes <= 0 || (size_t)bytes >= sizeof path || !rule_printable(path)) {
        ERROR_AT(b, node, "'exec' is the name of a program that came with hostd, or a path");
        return;
    }
    struct binary *binary = NULL;
    for (uint32_t i = b->binaries.count; !binary && i-- > 0;) /* backwards: equal ones stand together */
        if (strcmp(text_of(b, ((struct binary *)(void *)b->binaries.items)[i].path), path) == 0)
            binary = &((struct binary *)(void *)b->binaries.items)[i];
    if (!binary) {
        struct binary read = {.path = push_text(b, path)};
        read.is_good = read_binary(b, node, path, &read);
        binary = push(b, &b->binaries, sizeof *binary);
        if (!binary)
            return;
        *binary = read;
    }
    target->service->exec = binary->path;
    target->service->methods_first = binary->methods_first;
    target->service->methods_count = binary->methods_count;
    target->has_binary = binary->is_good;
}

/* ---- lists of methods ---- */

static void unknown_method(struct build *b, const struct toml_tree *node, const struct manifest_service *callee)
{
    const struct manifest_method *methods = (void *)b->methods.items;
    if (callee->methods_count == 0) {
        ERROR_AT(b, node, "service '%s' has no method '%.64s': its program serves no interface", callee->name,
                 node->text);
        return;
    }
    struct suggestion near = suggest_for(node->text);
    for (uint32_t i = 0; i < callee->methods_count; i++)
        suggest_offer(&near, methods[callee->methods_first + i].name);
    if (near.best)
        ERROR_AT(b, node, "service '%s' has no method '%.64s'; did you mean '%s'?", callee->name, node->text,
                 near.best);
    else
        ERROR_AT(b, node, "service '%s' has no method '%.64s'", callee->name, node->text);
}

static bool has_method(const struct build *b, uint32_t first, uint32_t count, const char *name)
{
    const struct manifest_method *methods = (void *)b->methods.items;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(methods[first + i].name, name) == 0)
            return true;
    return false;
}

/* Methods of a list that the callee declares.  callee: copied, for the array of services may move. */
static void take_methods(struct build *b, const struct toml_tree *list, struct manifest_service callee,
                         uint32_t *ret_first, uint32_t *ret_count)
{
    if (!has_room(b, list, MANIFEST_METHODS_MAX))
        return;
    *ret_first = b->methods.count;
    for (size_t i = 0; i < list->child_count; i++) {
        const struct toml_tree *node = &list->children[i];
        if (!is_text(b, node, list->key))
            continue;
        if (!has_method(b, callee.methods_first, callee.methods_count, node->text)) {
            unknown_method(b, node, &callee);
        } else if (has_method(b, *ret_first, *ret_count, node->text)) {
            ERROR_AT(b, node, "'%s' is in this list already", node->text);
        } else {
            struct manifest_method *method = push(b, &b->methods, sizeof *method);
            if (!method)
                return;
            memcpy(method->name, node->text, node->text_bytes); /* a method that a binary declares: it fits */
            *ret_count += 1;
        }
    }
}

static void take_operator(struct build *b, struct target *target, const struct toml_tree *node)
{
    if (target->service->kind == KIND_PROCESS)
        ERROR_AT_KEY(b, node, "a process service has no 'operator': it serves no methods that could be called");
    else
        target->operator_methods = node; /* checked when the binary is known */
}

/* ---- ingress, data, files ---- */

static void take_listen(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->listen = node;
}

static void take_name(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->name = node;
}

/* "127.0.0.1:8080", strictly. */
static bool parse_listen(const char *text, uint32_t *ret_address, uint16_t *ret_port)
{
    char host[INET_ADDRSTRLEN];
    struct in_addr address;
    size_t host_bytes = strcspn(text, ":");
    if (text[host_bytes] != ':' || host_bytes >= sizeof host)
        return false;
    memcpy(host, text, host_bytes);
    host[host_bytes] = '\0';
    const char *port_text = text + host_bytes + 1;
    size_t digits = strspn(port_text, "0123456789");
    unsigned long port = digits > 0 && digits <= 5 ? strtoul(port_text, NULL, 10) : 0;
    if (port_text[digits] != '\0' || port_text[0] == '0' || port < 1 || port > UINT16_MAX ||
        inet_pton(AF_INET, host, &address) != 1)
        return false;
    *ret_address = ntohl(address.s_addr);
    *ret_port = (uint16_t)port;
    return true;
}

static void take_one_ingress(struct build *b, const struct toml_tree *table)
{
    static const struct key keys[] = {
        {"name", TREE_STRING, true, take_name},
        {"listen", TREE_STRING, true, take_listen},
    };
    struct target target = {0};
    struct manifest_ingress *ingress = push(b, &b->ingresses, sizeof *ingress);
    take_keys(b, &target, table, keys, ARRAY_COUNT(keys), "this ingress");
    if (!ingress)
        return;
    if (target.name && is_name(b, target.name, target.name->text, "an ingress", false)) {
        claim(b, CLAIM_INGRESS, target.name->text, target.name);
        memcpy(ingress->name, target.name->text, target.name->text_bytes + 1);
    }
    if (target.listen && parse_listen(target.listen->text, &ingress->address, &ingress->port))
        claim(b, CLAIM_ADDRESS, target.listen->text, target.listen);
    else if (target.listen)
        ERROR_AT(b, target.listen, "'listen' is an IPv4 address and a port, as in \"127.0.0.1:8080\"");
}

static void take_ingress(struct build *b, struct target *target, const struct toml_tree *list)
{
    if (target->service->kind == KIND_PROCESS) {
        ERROR_AT_KEY(b, list,
                     "a process service cannot have an 'ingress': it could turn a listener of the host into a "
                     "connection; put a sealed service in front of it");
        return;
    }
    if (!has_room(b, list, MANIFEST_INGRESSES_PER_SERVICE_MAX))
        return;
    target->service->ingress_first = b->ingresses.count;
    for (size_t i = 0; i < list->child_count; i++) {
        if (list->children[i].kind == TREE_TABLE)
            take_one_ingress(b, &list->children[i]);
        else
            ERROR_AT(b, &list->children[i],
                     "an ingress is a table, as in { name = \"http\", listen = \"127.0.0.1:8080\" }");
    }
    target->service->ingress_count = b->ingresses.count - target->service->ingress_first;
}

static void take_data(struct build *b, struct target *target, const struct toml_tree *list)
{
    if (!has_room(b, list, MANIFEST_DATA_PER_SERVICE_MAX))
        return;
    target->service->data_first = b->data.count;
    for (size_t i = 0; i < list->child_count; i++) {
        const struct toml_tree *node = &list->children[i];
        if (!is_text(b, node, list->key) || !is_name(b, node, node->text, "a data directory", false))
            continue;
        if (rule_data_reserved(node->text)) {
            ERROR_AT(b, node, "no data directory can be called '%s': /%s is the root's own", node->text, node->text);
            continue;
        }
        if (!weakened("data-exclusive"))
            claim(b, CLAIM_DATA, node->text, node);
        char *name = push(b, &b->data, NAME_BYTES);
        if (!name)
            return;
        memcpy(name, node->text, node->text_bytes + 1);
    }
    target->service->data_count = b->data.count - target->service->data_first;
}

static void take_from(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->from = node;
}

static void take_to(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->to = node;
}

/* What a service may see of the host: bytes, and nothing that leads to somebody else. */
static bool is_source(struct build *b, const struct toml_tree *node, const char *path)
{
    int r = b->io->probe(b->io->context, path);
    if (r == -ENOENT)
        ERROR_AT(b, node, "there is no '%s'", path);
    else if (r == -EINVAL)
        ERROR_AT(b, node, "'%s' is neither a file nor a directory", path);
    else if (r == -ENXIO)
        ERROR_AT(b, node,
                 "'%s' holds a socket or FIFO, by which a service could speak to others without a link: "
                 "find %s -type s -o -type p",
                 path, path);
    else if (r == -E2BIG)
        ERROR_AT(b, node, "'%s' holds too many files: name the parts of it that are needed", path);
    else if (r < 0)
        ERROR_AT(b, node, "'%s': %s", path, strerror(-r));
    return r == 0;
}

static text_at take_file_from(struct build *b, const struct toml_tree *node)
{
    char path[MANIFEST_PATH_BYTES_MAX];
    if (node->text[0] == '\0' || !absolute(b, node->text, path) || !rule_printable(path)) {
        ERROR_AT(b, node, "'from' is the path of a file or directory");
        return 0;
    }
    (void)is_source(b, node, path); /* said, then */
    return push_text(b, path);
}

static text_at take_file_to(struct build *b, const struct toml_tree *node)
{
    if (!rule_path_inside(node->text)) {
        ERROR_AT(b, node, "'to' is an absolute path below /, without '.', '..' or '//', at most %u bytes",
                 MANIFEST_TO_BYTES_MAX - 1);
        return 0;
    }
    if (rule_target_reserved(node->text)) {
        ERROR_AT(b, node, "nothing can be put at '%s': /bin, /dev, /proc and /sys are the root's own", node->text);
        return 0;
    }
    return push_text(b, node->text);
}

static bool is_hidden(const struct manifest_service *service, const char *to)
{
    return service->kind == KIND_PROCESS && rule_process_target_reserved(to);
}

static void take_one_file(struct build *b, const struct manifest_service *service, const struct toml_tree *table)
{
    static const struct key keys[] = {
        {"from", TREE_STRING, true, take_from},
        {"to", TREE_STRING, true, take_to},
    };
    struct target target = {0};
    take_keys(b, &target, table, keys, ARRAY_COUNT(keys), "this file");
    struct manifest_file taken = {
        .from = target.from ? take_file_from(b, target.from) : 0,
        .to = target.to ? take_file_to(b, target.to) : 0,
    };
    if (taken.to && is_hidden(service, target.to->text))
        ERROR_AT(b, target.to, "nothing can be put at '%s': it is the root's own", target.to->text);
    const struct manifest_file *files = (void *)b->files.items;
    for (uint32_t i = service->files_first; taken.to && i < b->files.count; i++)
        if (files[i].to && rule_paths_clash(text_of(b, files[i].to), text_of(b, taken.to)))
            ERROR_AT(b, target.to, "'%s' and '%s' hide each other", target.to->text, text_of(b, files[i].to));
    struct manifest_file *file = push(b, &b->files, sizeof *file);
    if (file)
        *file = taken;
}

static void take_files(struct build *b, struct target *target, const struct toml_tree *list)
{
    if (!has_room(b, list, MANIFEST_FILES_PER_SERVICE_MAX))
        return;
    target->service->files_first = b->files.count;
    for (size_t i = 0; i < list->child_count; i++) {
        if (list->children[i].kind == TREE_TABLE)
            take_one_file(b, target->service, &list->children[i]);
        else
            ERROR_AT(b, &list->children[i], "a file is a table, as in { from = \"media\", to = \"/media\" }");
    }
    target->service->files_count = b->files.count - target->service->files_first;
}

/* ---- limits ---- */

/* 0: said already. */
static uint64_t take_size(struct build *b, const struct toml_tree *node, uint64_t min, uint64_t max, const char *range)
{
    static const char units[] = "KMG";
    const char *text = node->text;
    size_t digits = strspn(text, "0123456789");
    const char *unit = text[digits] ? strchr(units, text[digits]) : NULL;
    if (digits == 0 || digits > 10 || !unit || text[digits + 1] != '\0') {
        ERROR_AT(b, node, "'%.64s' is no size: a number and K, M or G (powers of 1024), as in \"64M\"", text);
        return 0;
    }
    uint64_t bytes = strtoull(text, NULL, 10) << (10 * (unit - units + 1)); /* ten digits and 30 bits: no overflow */
    if (bytes >= min && bytes <= max)
        return bytes;
    ERROR_AT(b, node, "'%s' is between %s", node->key, range);
    return 0;
}

static void take_memory(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->service->memory_bytes =
        take_size(b, node, MANIFEST_MEMORY_BYTES_MIN, MANIFEST_MEMORY_BYTES_MAX, "4M and 1024G");
}

static void take_file_size(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->service->file_bytes = take_size(b, node, MANIFEST_FILE_BYTES_MIN, MANIFEST_FILE_BYTES_MAX, "1K and 1024G");
}

static uint32_t take_number(struct build *b, const struct toml_tree *node, uint32_t min, uint32_t max)
{
    if (node->number >= min && node->number <= max)
        return (uint32_t)node->number;
    ERROR_AT(b, node, "'%s' is between %u and %u", node->key, min, max);
    return 0;
}

static void take_pids(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->service->pids = take_number(b, node, MANIFEST_PIDS_MIN, MANIFEST_PIDS_MAX);
}

static void take_cpu(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->service->cpu_percent = take_number(b, node, 1, MANIFEST_CPU_PERCENT_MAX);
}

static void take_restart(struct build *b, struct target *target, const struct toml_tree *node)
{
    static const char *const names[] = {
        [RESTART_ALWAYS] = "always", [RESTART_ON_FAILURE] = "on-failure", [RESTART_NEVER] = "never"};
    _Static_assert(ARRAY_COUNT(names) == RESTART_COUNT, "a name for every policy");
    for (uint32_t i = 0; i < RESTART_COUNT; i++)
        if (strcmp(names[i], node->text) == 0) {
            target->service->restart = i;
            return;
        }
    const char *near = suggest(node->text, names, ARRAY_COUNT(names));
    if (near)
        ERROR_AT(b, node, "no restart policy '%.64s'; did you mean '%s'?", node->text, near);
    else
        ERROR_AT(b, node, "no restart policy '%.64s': there are always, on-failure and never", node->text);
}

/* "500ms", "10s", "2m"; 0, and an error, for anything else. */
static uint32_t take_time(struct build *b, const struct toml_tree *node, uint32_t min_ms)
{
    static const struct {
        const char *unit;
        uint32_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}};
    size_t digits = strspn(node->text, "0123456789");
    for (size_t i = 0; digits > 0 && digits <= 7 && i < ARRAY_COUNT(units); i++) {
        if (strcmp(node->text + digits, units[i].unit) != 0)
            continue;
        uint64_t ms = strtoull(node->text, NULL, 10) * units[i].ms; /* seven digits: no overflow */
        if (ms >= min_ms && ms <= MANIFEST_TIMEOUT_MS_MAX)
            return (uint32_t)ms;
        ERROR_AT(b, node, "'%s' is between %ums and %um", node->key, min_ms, MANIFEST_TIMEOUT_MS_MAX / 60000);
        return 0;
    }
    ERROR_AT(b, node, "'%.64s' is no time: a number and ms, s or m, as in \"10s\"", node->text);
    return 0;
}

static void take_ready_timeout(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->service->ready_ms = take_time(b, node, MANIFEST_TIMEOUT_MS_MIN);
}

static void take_stop_timeout(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->service->stop_ms = take_time(b, node, MANIFEST_TIMEOUT_MS_MIN);
}

static void take_watchdog(struct build *b, struct target *target, const struct toml_tree *node)
{
    if (target->service->kind == KIND_PROCESS)
        ERROR_AT_KEY(b, node, "a process service has no 'watchdog': only a sealed one has a ring that can be asked");
    else if (strcmp(node->text, "off") == 0)
        target->service->watchdog_ms = MANIFEST_WATCHDOG_OFF;
    else
        target->service->watchdog_ms = take_time(b, node, MANIFEST_WATCHDOG_MS_MIN);
}

static void take_missing(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->service->accept_missing |= missing_bits(b, node);
}

/* ---- config ---- */

static void push_config(struct build *b, const struct toml_tree *node, const char *key)
{
    char number[64];
    const char *value = number;
    enum config_type type = CONFIG_STRING;
    switch (node->kind) {
    case TREE_STRING:
        if (strlen(node->text) != node->text_bytes) {
            ERROR_AT(b, node, "'%s' holds a NUL character", key);
            return;
        }
        value = node->text;
        break;
    case TREE_INT:
        type = CONFIG_INT;
        (void)snprintf(number, sizeof number, "%" PRId64, node->number);
        break;
    case TREE_FLOAT:
        type = CONFIG_FLOAT;
        (void)snprintf(number, sizeof number, "%.17g", node->real);
        break;
    case TREE_BOOL:
        type = CONFIG_BOOL;
        value = node->number ? "true" : "false";
        break;
    default:
        ERROR_AT(b, node, "a configuration holds texts, numbers and booleans: write a time as a text");
        return;
    }
    struct manifest_config *config = push(b, &b->config, sizeof *config);
    if (!config)
        return;
    config->key = push_text(b, key);
    config->value = push_text(b, value);
    config->type = type;
}

/* One node and what is below it; key: its full name, with room for more behind it. */
static void flatten(struct build *b, const struct toml_tree *node, char key[CONFIG_KEY_BYTES], uint32_t depth)
{
    if (node->kind != TREE_TABLE && node->kind != TREE_ARRAY) {
        push_config(b, node, key);
        return;
    }
    if (depth == MANIFEST_CONFIG_DEPTH_MAX) {
        ERROR_AT(b, node, "a configuration is at most %u levels deep", MANIFEST_CONFIG_DEPTH_MAX);
        return;
    }
    size_t used = strlen(key);
    for (size_t i = 0; i < node->child_count; i++) {
        const struct toml_tree *child = &node->children[i];
        const char *dot = used ? "." : "";
        int bytes;
        if (node->kind == TREE_ARRAY) {
            bytes = snprintf(key + used, CONFIG_KEY_BYTES - used, "%s%zu", dot, i);
        } else {
            if (!rule_config_key(child->key) || strchr(child->key, '.')) {
                ERROR_AT_KEY(b, child, "a key of a configuration is made of a-z, A-Z, 0-9, _ and -");
                continue;
            }
            bytes = snprintf(key + used, CONFIG_KEY_BYTES - used, "%s%s", dot, child->key);
        }
        if (bytes < 0 || (size_t)bytes >= CONFIG_KEY_BYTES - used) {
            ERROR_AT(b, child, "the full key of a configuration is at most %d bytes", CONFIG_KEY_BYTES - 1);
            key[used] = '\0';
            return;
        }
        flatten(b, child, key, depth + 1);
        key[used] = '\0';
    }
}

static void take_config(struct build *b, struct target *target, const struct toml_tree *node)
{
    char key[CONFIG_KEY_BYTES] = "";
    if (target->service->kind == KIND_PROCESS) {
        ERROR_AT_KEY(b, node, "a process service has no 'config': hand it 'args', 'env' or 'files'");
        return;
    }
    target->service->config_first = b->config.count;
    flatten(b, node, key, 0);
    target->service->config_count = b->config.count - target->service->config_first;
    if (target->service->config_count > MANIFEST_CONFIG_PER_SERVICE_MAX)
        ERROR_AT(b, node, "this configuration has %u values; %u is the limit", target->service->config_count,
                 MANIFEST_CONFIG_PER_SERVICE_MAX);
}

/* ---- process services ---- */

/* A key that only a process service has; reports it on any other. */
static bool is_of_process(struct build *b, const struct target *target, const struct toml_tree *node)
{
    if (target->service->kind == KIND_PROCESS)
        return true;
    ERROR_AT_KEY(b, node, "'%s' is a key of process services: this one would need kind = \"process\"", node->key);
    return false;
}

/* One of a few words: its index, or `count` with a report. */
static uint32_t take_word(struct build *b, const struct toml_tree *node, const char *const *names, uint32_t count)
{
    uint32_t i = 0;
    while (i < count && strcmp(names[i], node->text) != 0)
        i++;
    const char *near = i < count ? NULL : suggest(node->text, names, count);
    if (near)
        ERROR_AT(b, node, "no %s '%.64s'; did you mean '%s'?", node->key, node->text, near);
    else if (i == count)
        ERROR_AT(b, node, "no %s '%.64s': there are %s and %s", node->key, node->text, names[0], names[1]);
    return i;
}

static void take_kind(struct build *b, struct target *target, const struct toml_tree *node)
{
    static const char *const names[] = {[KIND_SEALED] = "sealed", [KIND_PROCESS] = "process"};
    _Static_assert(ARRAY_COUNT(names) == KIND_COUNT, "a name for every kind");
    (void)take_word(b, node, names, KIND_COUNT); /* the kind itself is known: see kind_of() */
}

static void take_ready(struct build *b, struct target *target, const struct toml_tree *node)
{
    static const char *const names[] = {[READY_STARTED] = "started", [READY_NOTIFY] = "notify"};
    _Static_assert(ARRAY_COUNT(names) == READY_COUNT, "a name for each");
    uint32_t ready = is_of_process(b, target, node) ? take_word(b, node, names, READY_COUNT) : READY_COUNT;
    if (ready < READY_COUNT)
        target->service->ready = ready;
}

static void take_proc(struct build *b, struct target *target, const struct toml_tree *node)
{
    if (is_of_process(b, target, node))
        target->service->has_proc = node->number != 0;
}

static void take_args(struct build *b, struct target *target, const struct toml_tree *node)
{
    if (is_of_process(b, target, node))
        target->args = node;
}

static void take_env(struct build *b, struct target *target, const struct toml_tree *node)
{
    if (is_of_process(b, target, node))
        target->env = node;
}

static void take_paths(struct build *b, struct target *target, const struct toml_tree *node)
{
    if (is_of_process(b, target, node))
        target->paths = node;
}

/* Every other key depends on it, and it may stand behind them. */
static enum manifest_kind kind_of(const struct toml_tree *table)
{
    for (size_t i = 0; i < table->child_count; i++)
        if (strcmp(table->children[i].key, "kind") == 0 && table->children[i].kind == TREE_STRING)
            return strcmp(table->children[i].text, "process") == 0 ? KIND_PROCESS : KIND_SEALED;
    return KIND_SEALED;
}

static void push_word(struct build *b, const char *text)
{
    struct manifest_word *word = push(b, &b->words, sizeof *word);
    text_at at = push_text(b, text);
    if (word)
        word->text = at;
}

/* Arguments, then the environment; ret_library_path: LD_LIBRARY_PATH, or NULL. */
static void take_words(struct build *b, const struct target *target, const char **ret_library_path)
{
    struct manifest_service *service = target->service;
    size_t bytes = 0;
    service->words_first = b->words.count;
    if (target->args && has_room(b, target->args, MANIFEST_WORDS_PER_SERVICE_MAX))
        for (size_t i = 0; i < target->args->child_count; i++) {
            const struct toml_tree *node = &target->args->children[i];
            if (!is_text(b, node, "args"))
                continue;
            push_word(b, node->text);
            bytes += node->text_bytes + 1;
        }
    service->args_count = b->words.count - service->words_first;
    if (target->env && has_room(b, target->env, MANIFEST_WORDS_PER_SERVICE_MAX - 1)) /* LD_ORIGIN_PATH may come */
        for (size_t i = 0; i < target->env->child_count; i++) {
            const struct toml_tree *node = &target->env->children[i];
            char word[CONFIG_KEY_BYTES + 1];
            (void)snprintf(word, sizeof word, "%s=", node->key);
            if (strlen(node->key) >= CONFIG_KEY_BYTES || !rule_environment(word)) {
                ERROR_AT_KEY(b, node,
                             "'%.64s' is no variable of an environment that can be set: letters, digits and _, "
                             "and not NOTIFY_SOCKET",
                             node->key);
                continue;
            }
            if (!is_text(b, node, "env"))
                continue;
            text_at at = b->text.count;
            char *text = push_many(b, &b->text, (uint32_t)(strlen(word) + node->text_bytes + 1), 1);
            struct manifest_word *pushed = push(b, &b->words, sizeof *pushed);
            if (!text || !pushed)
                return;
            memcpy(text, word, strlen(word));
            memcpy(text + strlen(word), node->text, node->text_bytes);
            pushed->text = at;
            bytes += strlen(word) + node->text_bytes + 1;
            if (strcmp(node->key, "LD_LIBRARY_PATH") == 0)
                *ret_library_path = node->text;
        }
    service->env_count = b->words.count - service->words_first - service->args_count;
    if (bytes > MANIFEST_WORDS_BYTES_MAX)
        ERROR_AT(b, target->args ? target->args : target->env, "'args' and 'env' are %zu bytes; %u is the limit", bytes,
                 MANIFEST_WORDS_BYTES_MAX);
}

static int read_for_closure(void *context, const char *path, const void **ret_image, size_t *ret_bytes)
{
    const struct manifest_io *io = context;
    return io->read(io->context, WANT_LIBRARY, path, ret_image, ret_bytes);
}

static void unmap_for_closure(void *context, const void *image, size_t bytes)
{
    const struct manifest_io *io = context;
    io->unmap(io->context, image, bytes);
}

/* Below one of the paths that the list names? */
static bool is_covered(const struct build *b, const struct manifest_service *service, const char *path)
{
    const struct manifest_mount *mounts = (void *)b->mounts.items;
    for (uint32_t i = service->mounts_first; i < b->mounts.count; i++)
        if (mounts[i].kind == MOUNT_PATH && rule_path_below(path, text_of(b, mounts[i].path)))
            return true;
    return false;
}

static void push_mount(struct build *b, const char *path, enum manifest_mount_kind kind)
{
    struct manifest_mount *mount = push(b, &b->mounts, sizeof *mount);
    text_at at = push_text(b, path);
    if (mount)
        *mount = (struct manifest_mount){.path = at, .kind = kind};
}

/* The paths of the list, for the root. */
static void take_path(struct build *b, const struct manifest_service *service, const struct toml_tree *node)
{
    if (!is_text(b, node, "paths"))
        return;
    if (!rule_path_inside(node->text)) {
        ERROR_AT(b, node, "a path is absolute, without '.', '..' or '//', at most %u bytes", MANIFEST_TO_BYTES_MAX - 1);
        return;
    }
    if (rule_process_target_reserved(node->text)) {
        ERROR_AT(b, node, "'%s' cannot be taken from the host: the root has its own", node->text);
        return;
    }
    const struct manifest_mount *mounts = (void *)b->mounts.items;
    for (uint32_t i = service->mounts_first; i < b->mounts.count; i++)
        if (rule_paths_clash(text_of(b, mounts[i].path), node->text)) {
            ERROR_AT(b, node, "'%s' and '%s' hide each other", node->text, text_of(b, mounts[i].path));
            return;
        }
    if (is_source(b, node, node->text))
        push_mount(b, node->text, MOUNT_PATH);
}

/* What an ELF file of the list needs: a directory is walked, and what in it cannot be loaded anyway is passed over. */
static void close_path(struct build *b, struct closure *closure, const struct toml_tree *node)
{
    struct err e = {0};
    int r = closure_add(closure, node->text, false, false, &e);
    if (r != -EISDIR) {
        if (r < 0 && r != -ENOEXEC) /* no ELF file: it needs nothing */
            ERROR_AT(b, node, "%s", e.text);
        return;
    }
    const void *list;
    size_t bytes;
    r = b->io->read(b->io->context, WANT_TREE, node->text, &list, &bytes);
    if (r < 0) {
        if (r == -E2BIG)
            ERROR_AT(b, node, "'%s' holds too many files: name the parts of it that are needed", node->text);
        else if (r != -ENOENT) /* empty */
            ERROR_AT(b, node, "'%s': %s", node->text, strerror(-r));
        return;
    }
    const char *at = list, *end = at + bytes;
    for (r = 0; at < end && memchr(at, '\0', (size_t)(end - at)) && r != -E2BIG; at += strlen(at) + 1)
        r = closure_add(closure, at, false, true, &e);
    if (r == -E2BIG)
        ERROR_AT(b, node, "'%s': %s", node->text, e.text);
    b->io->unmap(b->io->context, list, bytes);
}

/* The program itself: any ELF file that may be executed, at its own path. */
static bool take_program(struct build *b, struct manifest_service *service, const struct toml_tree *node)
{
    const void *image;
    size_t bytes;
    struct elf elf;
    struct err e = {0};
    if (!rule_path_inside(node->text) || rule_process_target_reserved(node->text)) {
        ERROR_AT(b, node,
                 "'exec' of a process service is the absolute path of a program, at most %u bytes, not below "
                 "/dev, /proc, /sys or /tmp",
                 MANIFEST_TO_BYTES_MAX - 1);
        return false;
    }
    int r = b->io->map(b->io->context, node->text, &image, &bytes);
    if (r == -ENOENT)
        ERROR_AT(b, node, "there is no program '%s'", node->text);
    else if (r == -EACCES)
        ERROR_AT(b, node, "'%s' may not be executed", node->text);
    else if (r < 0)
        ERROR_AT(b, node, "program '%s': %s", node->text, strerror(-r));
    if (r < 0)
        return false;
    r = elf_read(image, bytes, &elf, &e);
    bool is_script = bytes > 2 && memcmp(image, "#!", 2) == 0;
    b->io->unmap(b->io->context, image, bytes);
    if (r == 0)
        service->exec = push_text(b, node->text);
    else if (is_script)
        ERROR_AT(b, node, "'%s' is a script: name its interpreter in 'exec', itself in 'args' and 'paths'", node->text);
    else
        ERROR_AT(b, node, "'%s' cannot be a service: %s", node->text, e.text);
    return r == 0;
}

/* What one more file in the root would hide, or be hidden by. */
static void check_hiding(struct build *b, const struct manifest_service *service, const char *path,
                         const struct toml_tree *node)
{
    const struct manifest_file *files = (void *)b->files.items;
    for (uint32_t i = 0; i < service->files_count; i++) {
        const char *to = text_of(b, files[service->files_first + i].to);
        if (*to && rule_paths_clash(to, path))
            ERROR_AT(b, node, "'%s' and the file '%s' hide each other", path, to);
    }
    for (uint32_t i = 0; i < service->data_count; i++) {
        char data[NAME_BYTES + 1] = "/";
        memcpy(data + 1, b->data.items + (service->data_first + i) * NAME_BYTES, NAME_BYTES);
        if (rule_paths_clash(data, path))
            ERROR_AT(b, node, "'%s' and the data directory '%s' hide each other", path, data);
    }
}

static void push_objects(struct build *b, struct manifest_service *service, const struct closure *closure,
                         const struct toml_tree *node)
{
    for (uint32_t i = 0; i < closure->count; i++) {
        const struct closure_object *object = &closure->objects[i];
        if (rule_process_target_reserved(object->path))
            ERROR_AT(b, node, "its library '%s' lies where the root has its own", object->path);
        else if (!is_covered(b, service, object->path) && strcmp(object->path, node->text) != 0)
            push_mount(b, object->path, object->is_interpreter ? MOUNT_INTERPRETER : MOUNT_LIBRARY);
        else if (object->is_interpreter) /* covered, and the kernel executes it: it has to be known */
            push_mount(b, object->path, MOUNT_INTERPRETER);
    }
    if (closure->needs_cache && !is_covered(b, service, "/etc/ld.so.cache"))
        push_mount(b, "/etc/ld.so.cache", MOUNT_LIBRARY);
    if (closure->needs_origin && service->env_count < MANIFEST_WORDS_PER_SERVICE_MAX) {
        char word[sizeof "LD_ORIGIN_PATH=" + CLOSURE_PATH_BYTES];
        (void)snprintf(word, sizeof word, "LD_ORIGIN_PATH=%s", closure->program_directory);
        push_word(b, word); /* the last words are this service's */
        service->env_count++;
    }
}

static void take_process(struct build *b, const struct target *target)
{
    struct manifest_service *service = target->service;
    const struct closure_io io = {
        .context = (void *)(uintptr_t)b->io, .map = read_for_closure, .unmap = unmap_for_closure};
    static struct closure closure; /* 200 KiB; one thread */
    const char *library_path = NULL;
    const void *cache = NULL;
    size_t cache_bytes = 0;
    struct err e = {0};
    service->mounts_first = b->mounts.count;
    take_words(b, target, &library_path);
    for (size_t i = 0; target->paths && i < target->paths->child_count; i++)
        take_path(b, service, &target->paths->children[i]);
    if (!target->exec || !take_program(b, service, target->exec))
        return;
    if (b->io->read(b->io->context, WANT_CACHE, "/etc/ld.so.cache", &cache, &cache_bytes) < 0)
        cache = NULL; /* the default directories are left, as for the loader */
    closure_begin(&closure, &io, library_path, cache, cache_bytes);
    int r = closure_add(&closure, target->exec->text, true, false, &e);
    if (r < 0)
        ERROR_AT(b, target->exec, "%s", e.text);
    const struct manifest_mount *mounts = (void *)b->mounts.items;
    uint32_t paths_count = b->mounts.count - service->mounts_first;
    for (size_t i = 0; r == 0 && target->paths && i < target->paths->child_count; i++)
        for (uint32_t k = 0; k < paths_count; k++) /* those that were taken */
            if (target->paths->children[i].kind == TREE_STRING &&
                strcmp(text_of(b, mounts[service->mounts_first + k].path), target->paths->children[i].text) == 0)
                close_path(b, &closure, &target->paths->children[i]);
    if (cache)
        b->io->unmap(b->io->context, cache, cache_bytes);
    push_objects(b, service, &closure, target->exec);
    service->mounts_count = b->mounts.count - service->mounts_first;
    if (service->mounts_count > MANIFEST_MOUNTS_PER_SERVICE_MAX)
        ERROR_AT(b, target->exec,
                 "this service needs %u paths and libraries; %u is the limit: name their directory in "
                 "'paths'",
                 service->mounts_count, MANIFEST_MOUNTS_PER_SERVICE_MAX);
    mounts = (void *)b->mounts.items;
    for (uint32_t i = 0; b->result == 0 && i < service->mounts_count; i++)
        check_hiding(b, service, text_of(b, mounts[service->mounts_first + i].path), target->exec);
    check_hiding(b, service, target->exec->text, target->exec);
}

/* ---- [service.NAME] ---- */

static void check_targets(struct build *b, const struct manifest_service *service, const struct toml_tree *table)
{
    const struct manifest_file *files = (void *)b->files.items;
    for (uint32_t i = 0; i < service->files_count; i++)
        for (uint32_t k = 0; k < service->data_count; k++) {
            char data[NAME_BYTES + 1] = "/";
            memcpy(data + 1, b->data.items + (service->data_first + k) * NAME_BYTES, NAME_BYTES);
            const char *to = text_of(b, files[service->files_first + i].to);
            if (*to && rule_paths_clash(to, data))
                ERROR_AT(b, table, "service '%s': file '%s' and data directory '%s' hide each other", service->name, to,
                         data);
        }
}

static void take_service(struct build *b, const struct toml_tree *table)
{
    static const struct key keys[] = {
        {"exec", TREE_STRING, true, take_exec},
        {"ingress", TREE_ARRAY, false, take_ingress},
        {"data", TREE_ARRAY, false, take_data},
        {"files", TREE_ARRAY, false, take_files},
        {"memory", TREE_STRING, false, take_memory},
        {"file_size", TREE_STRING, false, take_file_size},
        {"pids", TREE_INT, false, take_pids},
        {"cpu", TREE_INT, false, take_cpu},
        {"restart", TREE_STRING, false, take_restart},
        {"ready_timeout", TREE_STRING, false, take_ready_timeout},
        {"stop_timeout", TREE_STRING, false, take_stop_timeout},
        {"watchdog", TREE_STRING, false, take_watchdog},
        {"operator", TREE_ARRAY, false, take_operator},
        {"accept_missing", TREE_ARRAY, false, take_missing},
        {"config", TREE_TABLE, false, take_config},
        {"kind", TREE_STRING, false, take_kind},
        {"args", TREE_ARRAY, false, take_args},
        {"env", TREE_TABLE, false, take_env},
        {"paths", TREE_ARRAY, false, take_paths},
        {"ready", TREE_STRING, false, take_ready},
        {"proc", TREE_BOOL, false, take_proc},
    };
    _Static_assert(ARRAY_COUNT(keys) <= KEYS_MAX, "take_keys() marks what it saw");
    struct manifest_service service = {.line = table->line, .accept_missing = b->app_missing, .kind = kind_of(table)};
    struct target target = {.service = &service};
    if (is_name(b, table, table->key, "a service", true)) {
        if (rule_service_reserved(table->key))
            ERROR_AT_KEY(b, table, "no service can be called '%s': it would be mistaken for hostd's own", table->key);
        memcpy(service.name, table->key, strlen(table->key) + 1);
    }
    char what[128];
    (void)snprintf(what, sizeof what, "service '%.64s'", table->key);
    take_keys(b, &target, table, keys, ARRAY_COUNT(keys), what);
    check_targets(b, &service, table);
    if (service.kind == KIND_PROCESS)
        take_process(b, &target);
    if (target.operator_methods && target.has_binary)
        take_methods(b, target.operator_methods, service, &service.operator_first, &service.operator_count);
    if (!target.has_binary && service.kind == KIND_SEALED)
        service.exec = 0; /* its methods are not known: none of a link is reported as missing */
    struct manifest_service *pushed = push(b, &b->services, sizeof *pushed);
    if (pushed)
        *pushed = service;
}

static void take_services(struct build *b, struct target *target, const struct toml_tree *node)
{
    if (node->child_count > MANIFEST_SERVICES_MAX) {
        ERROR_AT(b, node, "%zu services; %u is the limit", node->child_count, MANIFEST_SERVICES_MAX);
        return;
    }
    for (size_t i = 0; i < node->child_count; i++) {
        if (node->children[i].kind == TREE_TABLE)
            take_service(b, &node->children[i]);
        else
            ERROR_AT_KEY(b, &node->children[i], "a service is a table: [service.%.64s]", node->children[i].key);
    }
}

/* ---- [[link]] ---- */

static void take_links(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->links = node; /* looked at when all services are known */
}

static void take_allow(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->allow = node;
}

static void take_port(struct build *b, struct target *target, const struct toml_tree *node)
{
    target->port = node;
}

/* What a link carries follows from what the callee is: methods of a sealed one, a TCP port of a process. */
static void take_use(struct build *b, const struct toml_tree *table, const struct target *target,
                     struct manifest_link *link, bool has_from)
{
    const struct manifest_service *services = (void *)b->services.items;
    const struct manifest_service callee = services[link->to];
    if (callee.kind == KIND_SEALED) {
        if (target->port)
            ERROR_AT_KEY(b, target->port,
                         "'port' is for links to process services: '%s' is sealed, hostd chooses its port",
                         callee.name);
        if (target->allow && callee.exec)
            take_methods(b, target->allow, callee, &link->allow_first, &link->allow_count);
        else if (!target->allow)
            ERROR_AT(b, table, "this link has no 'allow'");
        return;
    }
    if (has_from && services[link->from].kind == KIND_SEALED)
        ERROR_AT(b, target->from, "'%s' is sealed: it speaks to sealed services only, and '%s' is a process",
                 services[link->from].name, callee.name);
    if (target->allow)
        ERROR_AT_KEY(b, target->allow, "'allow' is for links to sealed services: '%s' is a process, name its 'port'",
                     callee.name);
    if (target->port)
        link->port = take_number(b, target->port, 1, UINT16_MAX);
    else
        ERROR_AT(b, table, "this link has no 'port': the TCP port that process '%s' listens on", callee.name);
}

struct name_index {
    const char *name;
    uint32_t index;
};

static int compare_index(const void *a, const void *b)
{
    return strcmp(((const struct name_index *)a)->name, ((const struct name_index *)b)->name);
}

static void index_services(struct build *b)
{
    const struct manifest_service *services = (void *)b->services.items;
    for (uint32_t i = 0; i < b->services.count; i++) {
        struct name_index *name = push(b, &b->names, sizeof *name);
        if (!name)
            return;
        *name = (struct name_index){services[i].name, i}; /* no service is added any more: they stay where they are */
    }
    if (b->names.count > 0)
        qsort(b->names.items, b->names.count, sizeof(struct name_index), compare_index);
}

static bool find_service(struct build *b, const struct toml_tree *node, uint32_t *ret_index)
{
    const struct name_index wanted = {.name = node->text};
    const struct name_index *found = NULL;
    if (b->names.count > 0 && *node->text)
        found = bsearch(&wanted, b->names.items, b->names.count, sizeof wanted, compare_index);
    if (found) {
        *ret_index = found->index;
        return true;
    }
    struct suggestion near = suggest_for(node->text);
    for (uint32_t i = 0; i < b->names.count; i++)
        suggest_offer(&near, ((const struct name_index *)(void *)b->names.items)[i].name);
    if (near.best)
        ERROR_AT(b, node, "no service '%.64s'; did you mean '%s'?", node->text, near.best);
    else
        ERROR_AT(b, node, "no service '%.64s'", node->text);
    return false;
}

static void take_link(struct build *b, const struct toml_tree *table, uint32_t ends[])
{
    static const struct key keys[] = {
        {"from", TREE_STRING, true, take_from},
        {"to", TREE_STRING, true, take_to},
        {"allow", TREE_ARRAY, false, take_allow},
        {"port", TREE_INT, false, take_port},
    };
    struct target target = {0};
    struct manifest_link link = {.line = table->line};
    take_keys(b, &target, table, keys, ARRAY_COUNT(keys), "this link");
    bool has_from = target.from && find_service(b, target.from, &link.from);
    bool has_to = target.to && find_service(b, target.to, &link.to);
    if (has_to)
        take_use(b, table, &target, &link, has_from);
    if (has_from && has_to) {
        char pair[CLAIM_BYTES];
        (void)snprintf(pair, sizeof pair, "%.31s -> %.31s", target.from->text, target.to->text);
        if (link.from == link.to)
            ERROR_AT(b, target.to, "service '%s' cannot have a link to itself", target.to->text);
        else
            claim(b, CLAIM_LINK, pair, table);
        if (++ends[link.from] == MANIFEST_LINKS_PER_SERVICE_MAX + 1)
            ERROR_AT(b, target.from, "service '%s' has more than %u links", target.from->text,
                     MANIFEST_LINKS_PER_SERVICE_MAX);
        if (++ends[link.to] == MANIFEST_LINKS_PER_SERVICE_MAX + 1)
            ERROR_AT(b, target.to, "service '%s' has more than %u links", target.to->text,
                     MANIFEST_LINKS_PER_SERVICE_MAX);
    }
    struct manifest_link *pushed = push(b, &b->links, sizeof *pushed);
    if (pushed)
        *pushed = link;
}

static void take_all_links(struct build *b, const struct toml_tree *list)
{
    if (list->child_count > MANIFEST_LINKS_MAX) {
        ERROR_AT(b, list, "%zu links; %u is the limit", list->child_count, MANIFEST_LINKS_MAX);
        return;
    }
    FREE_AUTO uint32_t *ends = calloc((size_t)b->services.count + 1, sizeof *ends);
    if (!ends) {
        b->result = -ENOMEM;
        return;
    }
    for (size_t i = 0; i < list->child_count; i++) {
        if (list->children[i].kind == TREE_TABLE)
            take_link(b, &list->children[i], ends);
        else
            ERROR_AT(b, &list->children[i], "a link is a table: [[link]]");
    }
}

/* ---- the whole ---- */

static void take_root(struct build *b, const struct toml_tree *root)
{
    static const struct key keys[] = {
        {"app", TREE_TABLE, false, take_app},
        {"service", TREE_TABLE, false, take_services},
        {"link", TREE_ARRAY, false, take_links},
    };
    bool has_app = false, has_service = false;
    for (size_t i = 0; i < root->child_count; i++) {
        has_app |= strcmp(root->children[i].key, "app") == 0;
        has_service |= strcmp(root->children[i].key, "service") == 0;
    }
    struct target target = {0};
    if (!has_app)
        report_add(&b->report, 1, 1, "there is no [app]; it names the application, as in name = \"zoobar\"");
    if (!has_service)
        report_add(&b->report, 1, 1, "there is no service: each is a table, as in [service.bank]");
    take_keys(b, &target, root, keys, ARRAY_COUNT(keys), "the list");
    struct manifest_service *services = (void *)b->services.items;
    for (uint32_t i = 0; i < b->services.count; i++)
        services[i].accept_missing |= b->app_missing; /* [app] may stand below them */
    index_services(b);
    if (target.links)
        take_all_links(b, target.links);
    for (enum claim_kind kind = 0; kind < CLAIM_KIND_COUNT; kind++)
        check_claims(b, kind);
}

/* Copies one array behind the others, 8-aligned. */
static uint32_t emit_array(char *block, uint64_t *used, const struct vector *v, size_t item_bytes)
{
    uint32_t at = (uint32_t)*used;
    if (block && v->count)
        memcpy(block + at, v->items, v->count * item_bytes);
    *used = (*used + v->count * item_bytes + 7) & ~7ull;
    return at;
}

/* Lays the block out (block NULL: only measures it). */
static uint64_t emit(const struct build *b, char *block)
{
    struct manifest header = {
        .magic = MANIFEST_MAGIC,
        .service_count = b->services.count,
        .link_count = b->links.count,
        .ingress_count = b->ingresses.count,
        .data_count = b->data.count,
        .file_count = b->files.count,
        .method_count = b->methods.count,
        .config_count = b->config.count,
        .word_count = b->words.count,
        .mount_count = b->mounts.count,
        .text_bytes = b->text.count,
    };
    uint64_t used = (sizeof header + 7) & ~7ull;
    header.services_at = emit_array(block, &used, &b->services, sizeof(struct manifest_service));
    header.links_at = emit_array(block, &used, &b->links, sizeof(struct manifest_link));
    header.ingresses_at = emit_array(block, &used, &b->ingresses, sizeof(struct manifest_ingress));
    header.data_at = emit_array(block, &used, &b->data, NAME_BYTES);
    header.files_at = emit_array(block, &used, &b->files, sizeof(struct manifest_file));
    header.methods_at = emit_array(block, &used, &b->methods, sizeof(struct manifest_method));
    header.config_at = emit_array(block, &used, &b->config, sizeof(struct manifest_config));
    header.words_at = emit_array(block, &used, &b->words, sizeof(struct manifest_word));
    header.mounts_at = emit_array(block, &used, &b->mounts, sizeof(struct manifest_mount));
    header.text_at_ = emit_array(block, &used, &b->text, 1);
    header.total_bytes = (uint32_t)used;
    memcpy(header.app, b->app, sizeof header.app);
    if (block)
        memcpy(block, &header, sizeof header);
    return used;
}

static int finish(struct build *b, struct manifest **ret_manifest)
{
    uint64_t bytes = emit(b, NULL);
    if (bytes > MANIFEST_BYTES_MAX)
        return -E2BIG;
    char *block = calloc(1, bytes);
    if (!block)
        return -ENOMEM;
    (void)emit(b, block);
    *ret_manifest = (struct manifest *)(void *)block;
    return 0;
}

static void build_done(struct build *b)
{
    struct vector *const all[] = {&b->services, &b->links, &b->ingresses, &b->data,  &b->files, &b->methods,
                                  &b->config,   &b->text,  &b->binaries,  &b->names, &b->words, &b->mounts};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        free(all[i]->items);
    for (size_t i = 0; i < CLAIM_KIND_COUNT; i++)
        free(b->claims[i].items);
}

/* "Error while parsing string: ..." of the library becomes "syntax error in string: ...". */
static void add_syntax_error(struct report *report, const struct toml_tree_error *error)
{
    static const char prefix[] = "Error while parsing ";
    bool has_prefix = strncmp(error->text, prefix, sizeof prefix - 1) == 0;
    report_add(report, error->line, error->column, "syntax error%s%s", has_prefix ? " in " : ": ",
               has_prefix ? error->text + sizeof prefix - 1 : error->text);
}

static bool is_blank(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n')
            return false;
    return true;
}

int manifest_parse(const char *text, size_t bytes, const char *name, const char *dir, const char *bin_dir,
                   const struct manifest_io *io, struct manifest **ret_manifest, char report[MANIFEST_REPORT_BYTES])
{
    struct build *b = calloc(1, sizeof *b);
    if (!b) {
        (void)snprintf(report, MANIFEST_REPORT_BYTES, "%s: %s\n", name, strerror(ENOMEM));
        return -ENOMEM;
    }
    b->report.name = name;
    b->report.text = text;
    b->report.bytes = bytes;
    b->dir = dir;
    b->bin_dir = bin_dir;
    b->io = io;
    (void)push(b, &b->text, 1); /* offset 0 is the empty text */

    struct toml_tree *root = NULL;
    struct toml_tree_error error;
    uint32_t line, column;
    if (is_blank(text, bytes))
        report_add(&b->report, 1, 1, "the file is empty: a list has an [app] and services");
    else if (!toml_depth_is_bounded(text, bytes, &line, &column))
        report_add(&b->report, line, column, "a key of more than %u parts", TOML_KEY_PARTS_MAX);
    else if (toml_tree_parse(text, bytes, &root, &error) < 0)
        add_syntax_error(&b->report, &error);
    else
        take_root(b, root);

    int result = b->report.count ? -EINVAL : b->result;
    if (result == 0)
        result = finish(b, ret_manifest);
    if (result == -E2BIG) {
        report_add(&b->report, 1, 1, "the list is too large: %u bytes is the limit of what it may expand to",
                   MANIFEST_BYTES_MAX);
        result = -EINVAL;
    }
    if (result == -EINVAL)
        report_render(&b->report, report, MANIFEST_REPORT_BYTES);
    else if (result < 0)
        (void)snprintf(report, MANIFEST_REPORT_BYTES, "%s: %s\n", name, strerror(-result));
    toml_tree_free(root);
    build_done(b);
    free(b);
    return result;
}
