/*
 * contract.c - reads the contract (rpc/base/contract.h): wires, allow lists, the service's own configuration.
 *
 * Trusted, but checked once for being whole: a service that reads beside it would fail in stranger ways later.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rpc/base/weaken.h"
#include "rpc/runtime.h"

/* ---- opening ---- */

static bool holds(const struct contract *contract, uint32_t at, uint64_t count, size_t bytes_each)
{
    return at <= contract->total_bytes && count * bytes_each <= contract->total_bytes - at;
}

static bool is_quota_inside(const struct contract *contract, uint32_t first, uint32_t count)
{
    return first >= CONTRACT_SLOT_FIRST && first <= contract->slot_count && count <= contract->slot_count - first;
}

static bool is_whole(const struct contract *contract)
{
    if (contract->slot_count < CONTRACT_SLOT_FIRST || contract->slot_count > 1u << 24 || contract->fibres_max == 0)
        return false;
    if (!holds(contract, contract->links_at, contract->link_count, sizeof(struct contract_link)) ||
        !holds(contract, contract->methods_at, contract->method_count, sizeof(struct contract_method)) ||
        !holds(contract, contract->ingresses_at, contract->ingress_count, sizeof(struct contract_ingress)) ||
        !holds(contract, contract->config_at, contract->config_count, sizeof(struct contract_config)) ||
        !holds(contract, contract->strings_at, contract->strings_bytes, 1) ||
        !holds(contract, contract->paths_at, contract->path_count, sizeof(struct contract_path)))
        return false;
    const char *base = (const char *)contract;
    if (contract->config_count &&
        (!contract->strings_bytes || base[contract->strings_at + contract->strings_bytes - 1]))
        return false; /* every string ends */
    const struct contract_config *config = (const void *)(base + contract->config_at);
    for (uint32_t i = 0; i < contract->config_count; i++)
        if (config[i].key_at >= contract->strings_bytes || config[i].value_at >= contract->strings_bytes)
            return false;
    const struct contract_link *links = (const void *)(base + contract->links_at);
    for (uint32_t i = 0; i < contract->link_count; i++)
        if (wire_link(wire_user_data(i, 0, 0)) != i || /* a wire that comes could not be told from another's */
            wire_slot(wire_user_data(0, links[i].slot_first + 1, 0)) != links[i].slot_first + 1 ||
            !is_quota_inside(contract, links[i].slot_first, links[i].slot_count) || links[i].slot_count < 2 ||
            links[i].method_first > contract->method_count ||
            links[i].method_count > contract->method_count - links[i].method_first)
            return false;
    if (contract->operator_slot_count > OPERATOR_SLOTS_MAX || contract->operator_first > contract->method_count ||
        contract->operator_count > contract->method_count - contract->operator_first ||
        (contract->operator_slot_count &&
         !is_quota_inside(contract, contract->operator_slot_first, contract->operator_slot_count)) ||
        contract->link_count > OPERATOR_LINK)
        return false;
    const struct contract_ingress *ingresses = (const void *)(base + contract->ingresses_at);
    for (uint32_t i = 0; i < contract->ingress_count; i++)
        if (!is_quota_inside(contract, ingresses[i].slot_first, ingresses[i].slot_count) || ingresses[i].slot_count < 2)
            return false;
    return true;
}

int contract_open(int fd, const struct contract **ret_contract, struct err *e)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    /* One page tells how long it is: fstat is a system call that a sealed service has no other use for. */
    const struct contract *head = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
    if (head == MAP_FAILED) {
        (void)err_sys(e, -errno, "map the contract on descriptor %d", fd);
        return err_hint(e, "services are started by hostd, not by hand");
    }
    if (head->magic != CONTRACT_MAGIC || head->version != CONTRACT_VERSION || head->total_bytes < sizeof *head)
        return err_set(e, -EPROTO, "descriptor %d holds no contract of version %u", fd, CONTRACT_VERSION);
    const struct contract *contract = mmap(NULL, head->total_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (contract == MAP_FAILED)
        return err_sys(e, -errno, "map %u bytes of contract", head->total_bytes);
    if (!is_whole(contract))
        return err_set(e, -EPROTO, "the contract contradicts itself");
    *ret_contract = contract;
    return 0;
}

/* ---- its arrays ---- */

const struct contract_link *contract_links(void)
{
    return (const void *)((const char *)rt.contract + rt.contract->links_at);
}

const struct contract_method *contract_methods(const struct contract_link *link)
{
    const struct contract_method *methods = (const void *)((const char *)rt.contract + rt.contract->methods_at);
    return methods + link->method_first;
}

const struct contract_ingress *contract_ingresses(void)
{
    return (const void *)((const char *)rt.contract + rt.contract->ingresses_at);
}

bool contract_allows(const struct contract_link *link, uint32_t method)
{
    const struct contract_method *methods = contract_methods(link);
    uint32_t low = 0, high = link->method_count;
    if (weakened("allow-list"))
        return true;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (methods[middle].id == method)
            return true;
        if (methods[middle].id < method)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* ---- paths of the service's root ---- */

const char *rpc_path(const char *path)
{
    const struct contract_path *paths = (const void *)((const char *)rt.contract + rt.contract->paths_at);
    for (uint32_t i = 0; i < rt.contract->path_count; i++) {
        size_t bytes = strnlen(paths[i].to, CONTRACT_PATH_BYTES);
        if (strncmp(path, paths[i].to, bytes) == 0 && (path[bytes] == '/' || path[bytes] == '\0'))
            return rpc_printf("%.*s%s", CONTRACT_PATH_BYTES, paths[i].from, path + bytes);
    }
    return path;
}

/* ---- configuration of the service ---- */

static const char *string_at(uint32_t at)
{
    return (const char *)rt.contract + rt.contract->strings_at + at;
}

static const struct contract_config *config_entries(void)
{
    return (const void *)((const char *)rt.contract + rt.contract->config_at);
}

static const char *find(const char *key)
{
    const struct contract_config *config = config_entries();
    for (uint32_t i = 0; i < rt.contract->config_count; i++)
        if (strcmp(string_at(config[i].key_at), key) == 0)
            return string_at(config[i].value_at);
    return NULL;
}

const char *rpc_config_string(const char *key, const char *fallback)
{
    const char *value = find(key);
    return value ? value : fallback;
}

int64_t rpc_config_int(const char *key, int64_t fallback)
{
    const char *value = find(key);
    if (!value)
        return fallback;
    char *end = NULL;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    return errno || end == value || *end ? fallback : number;
}

bool rpc_config_bool(const char *key, bool fallback)
{
    const char *value = find(key);
    return value ? strcmp(value, "true") == 0 : fallback;
}

/* Is there a key "key.NUMBER" or one that begins with "key.NUMBER."? */
static bool has_element(const char *key, size_t number)
{
    const struct contract_config *config = config_entries();
    size_t length = strlen(key);
    for (uint32_t i = 0; i < rt.contract->config_count; i++) {
        const char *at = string_at(config[i].key_at);
        if (strncmp(at, key, length) != 0 || at[length] != '.' || at[length + 1] < '0' || at[length + 1] > '9')
            continue;
        char *end = NULL;
        if (strtoull(at + length + 1, &end, 10) == number && (*end == '.' || *end == '\0'))
            return true;
    }
    return false;
}

size_t rpc_config_count(const char *key)
{
    size_t count = 0;
    while (has_element(key, count))
        count++;
    return count;
}
