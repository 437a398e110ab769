/*
 * manifest.c - manifest_verify(): a block from an untrusted child, checked as if nothing in it were true.  Pure.
 *
 * Order matters: first the shape (every array and range inside the block, every text ended), then the meaning, which
 * may follow any offset that the shape has vouched for.
 */
#include "hostd/manifest.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hostd/rules.h"
#include "hostd/schema.h"
#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

static int bad(struct err *e, const char *what)
{
    return err_set(e, -EINVAL, "the parsed list is malformed: %s", what);
}

/* ---- shape ---- */

static bool array_fits(const struct manifest *m, uint32_t at, uint32_t count, size_t item_bytes, size_t alignment)
{
    return at >= sizeof *m && at % alignment == 0 && (uint64_t)at + (uint64_t)count * item_bytes <= m->total_bytes;
}

static bool range_fits(uint32_t first, uint32_t count, uint32_t total, uint32_t max)
{
    return count <= max && first <= total && count <= total - first;
}

static bool is_ended(const char *name, size_t bytes)
{
    return memchr(name, '\0', bytes) != NULL;
}

static bool text_fits(const struct manifest *m, text_at at)
{
    return at < m->text_bytes; /* the block of text ends with a NUL */
}

static int verify_arrays(const struct manifest *m, struct err *e)
{
    if (!array_fits(m, m->services_at, m->service_count, sizeof(struct manifest_service), 8) ||
        !array_fits(m, m->links_at, m->link_count, sizeof(struct manifest_link), 4) ||
        !array_fits(m, m->ingresses_at, m->ingress_count, sizeof(struct manifest_ingress), 4) ||
        !array_fits(m, m->data_at, m->data_count, NAME_BYTES, 1) ||
        !array_fits(m, m->files_at, m->file_count, sizeof(struct manifest_file), 4) ||
        !array_fits(m, m->methods_at, m->method_count, sizeof(struct manifest_method), 1) ||
        !array_fits(m, m->config_at, m->config_count, sizeof(struct manifest_config), 4) ||
        !array_fits(m, m->words_at, m->word_count, sizeof(struct manifest_word), 4) ||
        !array_fits(m, m->mounts_at, m->mount_count, sizeof(struct manifest_mount), 4) ||
        !array_fits(m, m->text_at_, m->text_bytes, 1, 1))
        return bad(e, "an array lies outside");
    if (m->service_count == 0 || m->service_count > MANIFEST_SERVICES_MAX || m->link_count > MANIFEST_LINKS_MAX)
        return bad(e, "number of services or links");
    if (m->text_bytes == 0 || *manifest_text(m, 0) != '\0' || *manifest_text(m, m->text_bytes - 1) != '\0')
        return bad(e, "text without an end");
    return 0;
}

static bool service_shape_fits(const struct manifest *m, const struct manifest_service *s)
{
    return is_ended(s->name, sizeof s->name) && text_fits(m, s->exec) &&
           range_fits(s->ingress_first, s->ingress_count, m->ingress_count, MANIFEST_INGRESSES_PER_SERVICE_MAX) &&
           range_fits(s->data_first, s->data_count, m->data_count, MANIFEST_DATA_PER_SERVICE_MAX) &&
           range_fits(s->files_first, s->files_count, m->file_count, MANIFEST_FILES_PER_SERVICE_MAX) &&
           range_fits(s->operator_first, s->operator_count, m->method_count, MANIFEST_METHODS_MAX) &&
           range_fits(s->methods_first, s->methods_count, m->method_count, MANIFEST_METHODS_MAX) &&
           range_fits(s->config_first, s->config_count, m->config_count, MANIFEST_CONFIG_PER_SERVICE_MAX) &&
           s->args_count <= MANIFEST_WORDS_PER_SERVICE_MAX && s->env_count <= MANIFEST_WORDS_PER_SERVICE_MAX &&
           range_fits(s->words_first, s->args_count + s->env_count, m->word_count,
                      2 * MANIFEST_WORDS_PER_SERVICE_MAX) &&
           range_fits(s->mounts_first, s->mounts_count, m->mount_count, MANIFEST_MOUNTS_PER_SERVICE_MAX);
}

static int verify_shape(const struct manifest *m, struct err *e)
{
    int r = verify_arrays(m, e);
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < m->service_count; i++)
        if (!service_shape_fits(m, &manifest_services(m)[i]))
            return bad(e, "a service points outside");
    for (uint32_t i = 0; i < m->link_count; i++) {
        const struct manifest_link *link = &manifest_links(m)[i];
        if (link->from >= m->service_count || link->to >= m->service_count ||
            !range_fits(link->allow_first, link->allow_count, m->method_count, MANIFEST_METHODS_MAX))
            return bad(e, "a link points outside");
    }
    for (uint32_t i = 0; i < m->ingress_count; i++)
        if (!is_ended(manifest_ingresses(m)[i].name, NAME_BYTES))
            return bad(e, "name of an ingress");
    for (uint32_t i = 0; i < m->data_count; i++)
        if (!is_ended(manifest_data(m)[i], NAME_BYTES))
            return bad(e, "name of a data directory");
    for (uint32_t i = 0; i < m->method_count; i++)
        if (!is_ended(manifest_methods(m)[i].name, METHOD_NAME_BYTES))
            return bad(e, "name of a method");
    for (uint32_t i = 0; i < m->file_count; i++)
        if (!text_fits(m, manifest_files(m)[i].from) || !text_fits(m, manifest_files(m)[i].to))
            return bad(e, "path of a file");
    for (uint32_t i = 0; i < m->config_count; i++)
        if (!text_fits(m, manifest_configs(m)[i].key) || !text_fits(m, manifest_configs(m)[i].value))
            return bad(e, "text of a configuration");
    for (uint32_t i = 0; i < m->word_count; i++)
        if (!text_fits(m, manifest_words(m)[i].text))
            return bad(e, "text of an argument");
    for (uint32_t i = 0; i < m->mount_count; i++)
        if (!text_fits(m, manifest_mounts(m)[i].path))
            return bad(e, "path of a process");
    return 0;
}

/* ---- meaning ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* names: count names, stride bytes apart. */
static int verify_unique(const char *names, uint32_t count, size_t stride, const char *what, struct err *e)
{
    FREE_AUTO const char **sorted = calloc((size_t)count + 1, sizeof *sorted);
    if (!sorted)
        return err_sys(e, -ENOMEM, "check of a list");
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = names + i * stride;
    qsort(sorted, count, sizeof *sorted, compare_names);
    for (uint32_t i = 1; i < count; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            return bad(e, what);
    return 0;
}

static int verify_names(const struct manifest *m, struct err *e)
{
    if (!is_ended(m->app, sizeof m->app) || !rule_name(m->app))
        return bad(e, "name of the application");
    for (uint32_t i = 0; i < m->service_count; i++) {
        const char *name = manifest_services(m)[i].name;
        if (!rule_name(name) || rule_service_reserved(name))
            return bad(e, "name of a service");
    }
    for (uint32_t i = 0; i < m->ingress_count; i++)
        if (!rule_name(manifest_ingresses(m)[i].name) || manifest_ingresses(m)[i].port == 0)
            return bad(e, "name or port of an ingress");
    for (uint32_t i = 0; i < m->data_count; i++)
        if (!rule_name(manifest_data(m)[i]) || rule_data_reserved(manifest_data(m)[i]))
            return bad(e, "name of a data directory");
    for (uint32_t i = 0; i < m->method_count; i++)
        if (!schema_method_is_valid(manifest_methods(m)[i].name, strlen(manifest_methods(m)[i].name)))
            return bad(e, "name of a method");
    int r = verify_unique(manifest_services(m)[0].name, m->service_count, sizeof(struct manifest_service),
                          "a service twice", e);
    if (r == 0 && m->ingress_count)
        r = verify_unique(manifest_ingresses(m)[0].name, m->ingress_count, sizeof(struct manifest_ingress),
                          "an ingress twice", e);
    if (r == 0 && m->data_count && !weakened("data-exclusive"))
        r = verify_unique(manifest_data(m)[0], m->data_count, NAME_BYTES, "a data directory twice", e);
    return r;
}

static bool methods_are_of(const struct manifest *m, uint32_t first, uint32_t count,
                           const struct manifest_service *callee)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *name = manifest_methods(m)[first + i].name;
        uint32_t k = 0;
        while (k < callee->methods_count && strcmp(manifest_methods(m)[callee->methods_first + k].name, name) != 0)
            k++;
        if (k == callee->methods_count)
            return false;
        for (k = 0; k < i; k++)
            if (strcmp(manifest_methods(m)[first + k].name, name) == 0)
                return false;
    }
    return true;
}

static int verify_files(const struct manifest *m, const struct manifest_service *s, struct err *e)
{
    const struct manifest_file *files = manifest_files(m) + s->files_first;
    for (uint32_t i = 0; i < s->files_count; i++) {
        const char *from = manifest_text(m, files[i].from), *to = manifest_text(m, files[i].to);
        if (from[0] != '/' || strlen(from) >= MANIFEST_PATH_BYTES_MAX || !rule_printable(from))
            return bad(e, "source of a file");
        if (!rule_path_inside(to) || rule_target_reserved(to))
            return bad(e, "target of a file");
        for (uint32_t k = 0; k < i; k++)
            if (rule_paths_clash(to, manifest_text(m, files[k].to)))
                return bad(e, "targets of files that hide each other");
        for (uint32_t k = 0; k < s->data_count; k++) {
            char data[NAME_BYTES + 1] = "/";
            memcpy(data + 1, manifest_data(m)[s->data_first + k], NAME_BYTES);
            if (rule_paths_clash(to, data))
                return bad(e, "target of a file below a data directory");
        }
    }
    return 0;
}

static int verify_config(const struct manifest *m, const struct manifest_service *s, struct err *e)
{
    uint64_t bytes = 0; /* texts may overlap in a forged block: what they expand to is bounded too */
    for (uint32_t i = 0; i < s->config_count; i++) {
        const struct manifest_config *config = &manifest_configs(m)[s->config_first + i];
        const char *key = manifest_text(m, config->key);
        if (!rule_config_key(key) || config->type > CONFIG_FLOAT)
            return bad(e, "key or type of a configuration");
        bytes += strlen(key) + strlen(manifest_text(m, config->value)) + 2;
        if (bytes > MANIFEST_BYTES_MAX)
            return bad(e, "size of a configuration");
    }
    return 0;
}

static bool hides_nothing(const struct manifest *m, const struct manifest_service *s, const char *path)
{
    for (uint32_t i = 0; i < s->files_count; i++)
        if (rule_paths_clash(path, manifest_text(m, manifest_files(m)[s->files_first + i].to)))
            return false;
    for (uint32_t i = 0; i < s->data_count; i++) {
        char data[NAME_BYTES + 1] = "/";
        memcpy(data + 1, manifest_data(m)[s->data_first + i], NAME_BYTES);
        if (rule_paths_clash(path, data))
            return false;
    }
    return true;
}

static int verify_mounts(const struct manifest *m, const struct manifest_service *s, struct err *e)
{
    const struct manifest_mount *mounts = manifest_mounts(m) + s->mounts_first;
    const char *exec = manifest_text(m, s->exec);
    if (!rule_path_inside(exec) || rule_process_target_reserved(exec) || !hides_nothing(m, s, exec))
        return bad(e, "program of a process");
    for (uint32_t i = 0; i < s->files_count; i++)
        if (rule_process_target_reserved(manifest_text(m, manifest_files(m)[s->files_first + i].to)))
            return bad(e, "target of a file of a process");
    for (uint32_t i = 0; i < s->mounts_count; i++) {
        const char *path = manifest_text(m, mounts[i].path);
        if (mounts[i].kind >= MOUNT_KIND_COUNT || !rule_path_inside(path) || rule_process_target_reserved(path) ||
            !hides_nothing(m, s, path))
            return bad(e, "path of a process");
        if (mounts[i].kind == MOUNT_PATH) /* what lies below one is not mounted: see spawn */
            for (uint32_t k = 0; k < i; k++)
                if (mounts[k].kind == MOUNT_PATH && rule_paths_clash(path, manifest_text(m, mounts[k].path)))
                    return bad(e, "paths of a process that hide each other");
    }
    return 0;
}

/* What a process service has, and what only a sealed one has. */
static int verify_kind(const struct manifest *m, const struct manifest_service *s, struct err *e)
{
    if (s->kind >= KIND_COUNT || s->ready >= READY_COUNT || s->has_proc > 1)
        return bad(e, "kind of a service");
    if (s->kind == KIND_SEALED) {
        if (s->args_count || s->env_count || s->mounts_count || s->ready || s->has_proc)
            return bad(e, "a sealed service with what is for processes");
        return 0;
    }
    if (s->ingress_count || s->operator_count || s->methods_count || s->config_count)
        return bad(e, "a process with what is for sealed services");
    size_t bytes = 0;
    for (uint32_t i = 0; i < s->args_count + s->env_count; i++) {
        const char *word = manifest_text(m, manifest_words(m)[s->words_first + i].text);
        if (i >= s->args_count && !rule_environment(word))
            return bad(e, "environment of a process");
        bytes += strlen(word) + 1;
        if (bytes > 2 * MANIFEST_WORDS_BYTES_MAX)
            return bad(e, "size of the arguments of a process");
    }
    return verify_mounts(m, s, e);
}

/* 0: the default. */
static bool is_time(uint32_t ms, uint32_t min)
{
    return ms == 0 || (ms >= min && ms <= MANIFEST_TIMEOUT_MS_MAX);
}

static int verify_service(const struct manifest *m, const struct manifest_service *s, struct err *e)
{
    const char *exec = manifest_text(m, s->exec);
    if (exec[0] != '/' || strlen(exec) >= MANIFEST_PATH_BYTES_MAX || !rule_printable(exec))
        return bad(e, "path of a program");
    if (s->memory_bytes && (s->memory_bytes < MANIFEST_MEMORY_BYTES_MIN || s->memory_bytes > MANIFEST_MEMORY_BYTES_MAX))
        return bad(e, "memory of a service");
    if (s->file_bytes && (s->file_bytes < MANIFEST_FILE_BYTES_MIN || s->file_bytes > MANIFEST_FILE_BYTES_MAX))
        return bad(e, "file size of a service");
    if (s->pids && (s->pids < MANIFEST_PIDS_MIN || s->pids > MANIFEST_PIDS_MAX))
        return bad(e, "pids of a service");
    if (s->cpu_percent > MANIFEST_CPU_PERCENT_MAX || s->accept_missing & ~(uint32_t)MISSING_ALL ||
        s->restart >= RESTART_COUNT)
        return bad(e, "limits of a service");
    bool has_watchdog = s->watchdog_ms != 0 && s->watchdog_ms != MANIFEST_WATCHDOG_OFF;
    if (!is_time(s->ready_ms, MANIFEST_TIMEOUT_MS_MIN) || !is_time(s->stop_ms, MANIFEST_TIMEOUT_MS_MIN) ||
        (has_watchdog && (!is_time(s->watchdog_ms, MANIFEST_WATCHDOG_MS_MIN) || s->kind == KIND_PROCESS)))
        return bad(e, "times of a service");
    if (!methods_are_of(m, s->operator_first, s->operator_count, s))
        return bad(e, "a method of the operator that the service does not have");
    int r = verify_files(m, s, e);
    if (r == 0)
        r = verify_kind(m, s, e);
    return r < 0 ? r : verify_config(m, s, e);
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

static int verify_links(const struct manifest *m, struct err *e)
{
    FREE_AUTO uint64_t *pairs = calloc((size_t)m->link_count + 1, sizeof *pairs);
    FREE_AUTO uint32_t *ends = calloc(m->service_count, sizeof *ends);
    if (!pairs || !ends)
        return err_sys(e, -ENOMEM, "check of a list");
    for (uint32_t i = 0; i < m->link_count; i++) {
        const struct manifest_link *link = &manifest_links(m)[i];
        if (link->from == link->to)
            return bad(e, "a link from a service to itself");
        if (++ends[link->from] > MANIFEST_LINKS_PER_SERVICE_MAX || ++ends[link->to] > MANIFEST_LINKS_PER_SERVICE_MAX)
            return bad(e, "too many links of one service");
        if (!methods_are_of(m, link->allow_first, link->allow_count, &manifest_services(m)[link->to]))
            return bad(e, "an allowed method that the callee does not have");
        bool is_to_process = manifest_services(m)[link->to].kind == KIND_PROCESS;
        if (is_to_process ? link->port < 1 || link->port > UINT16_MAX || link->allow_count != 0 ||
                                manifest_services(m)[link->from].kind != KIND_PROCESS
                          : link->port != 0)
            return bad(e, "port of a link");
        pairs[i] = (uint64_t)link->from << 32 | link->to;
    }
    qsort(pairs, m->link_count, sizeof *pairs, compare_numbers);
    for (uint32_t i = 1; i < m->link_count; i++)
        if (pairs[i - 1] == pairs[i])
            return bad(e, "a link twice");
    return 0;
}

/* Ranges of ingresses and data directories belong to one service each: what one owns, no other service gets. */
static int verify_owners(const struct manifest *m, struct err *e)
{
    uint64_t ingresses = 0, data = 0;
    for (uint32_t i = 0; i < m->service_count; i++) {
        const struct manifest_service *s = &manifest_services(m)[i];
        if ((s->ingress_count && s->ingress_first != ingresses) || (s->data_count && s->data_first != data))
            return bad(e, "an ingress or a data directory of two services");
        ingresses += s->ingress_count;
        data += s->data_count;
    }
    return ingresses == m->ingress_count && data == m->data_count ? 0
                                                                  : bad(e, "an ingress or data directory of nobody");
}

int manifest_verify(const struct manifest *manifest, size_t bytes, struct err *e)
{
    if (bytes < sizeof *manifest || bytes > MANIFEST_BYTES_MAX || manifest->total_bytes != bytes ||
        manifest->magic != MANIFEST_MAGIC)
        return bad(e, "size or kind of the block");
    int r = verify_shape(manifest, e);
    if (r == 0)
        r = verify_names(manifest, e);
    if (r == 0)
        r = verify_owners(manifest, e);
    for (uint32_t i = 0; r == 0 && i < manifest->service_count; i++)
        r = verify_service(manifest, &manifest_services(manifest)[i], e);
    if (r == 0)
        r = verify_links(manifest, e);
    return r;
}
