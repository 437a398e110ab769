/* rules.c - see rules.h. */
#include "hostd/rules.h"

#include <string.h>

#include "hostd/plan.h"
#include "rpc/base/own.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

bool rule_name(const char *name)
{
    size_t bytes = strlen(name);
    return bytes > 0 && bytes < NAME_BYTES && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, LOWER DIGITS "_-") == bytes;
}

bool rule_service_reserved(const char *name)
{
    static const char *const names[] = {"hostd", "operator"};
    return is_one_of(name, names, ARRAY_COUNT(names));
}

bool rule_data_reserved(const char *name)
{
    static const char *const names[] = {"bin", "dev",  "etc", "lib", "lib64", "proc",
                                        "run", "sbin", "sys", "tmp", "usr"};
    return is_one_of(name, names, ARRAY_COUNT(names));
}

bool rule_printable(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7F)
            return false;
    return true;
}

bool rule_path_inside(const char *path)
{
    size_t bytes = strlen(path);
    if (bytes < 2 || bytes >= MANIFEST_TO_BYTES_MAX || path[0] != '/' || !rule_printable(path))
        return false;
    for (const char *part = path; *part;) { /* at each slash */
        part++;
        size_t part_bytes = strcspn(part, "/");
        if (part_bytes == 0 || (part_bytes == 1 && part[0] == '.') || (part_bytes == 2 && memcmp(part, "..", 2) == 0))
            return false;
        part += part_bytes;
    }
    return true;
}

bool rule_paths_clash(const char *a, const char *b)
{
    size_t a_bytes = strlen(a), b_bytes = strlen(b), common = a_bytes < b_bytes ? a_bytes : b_bytes;
    if (memcmp(a, b, common) != 0)
        return false;
    return a_bytes == b_bytes || (a_bytes < b_bytes ? b[common] : a[common]) == '/';
}

bool rule_target_reserved(const char *path)
{
    static const char *const paths[] = {PLAN_BINARY_DIR, "/dev", "/proc", "/sys"};
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        if (rule_paths_clash(path, paths[i]))
            return true;
    return false;
}

bool rule_process_target_reserved(const char *path)
{
    static const char *const paths[] = {
        "/dev", "/proc", "/sys", "/tmp", "/run/hostd", "/etc/hosts", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf"};
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        if (rule_paths_clash(path, paths[i]))
            return true;
    return false;
}

bool rule_path_below(const char *path, const char *directory)
{
    size_t bytes = strlen(directory);
    return strncmp(path, directory, bytes) == 0 && (path[bytes] == '\0' || path[bytes] == '/');
}

bool rule_environment(const char *word)
{
    size_t bytes = strspn(word, LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "_");
    if (bytes == 0 || word[bytes] != '=' || strchr(DIGITS, word[0]))
        return false;
    return strncmp(word, "NOTIFY_SOCKET=", bytes + 1) != 0;
}

bool rule_config_key(const char *key)
{
    size_t bytes = strspn(key, LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "_-.");
    if (key[bytes] != '\0' || bytes == 0 || key[0] == '.' || key[bytes - 1] == '.')
        return false;
    return strstr(key, "..") == NULL;
}
