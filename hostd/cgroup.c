/* cgroup.c - see cgroup.h.  Doing: files below the mount points of the trees. */
#include "hostd/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "hostd/manifest.h"
#include "rpc/base/own.h"

#define PATH_BYTES 256
#define CPU_PERIOD_US 100000u

static const struct controller {
    const char *name; /* as in mount options and cgroup.controllers */
    uint32_t missing_bit;
} controllers[] = {
    [CGROUP_MEMORY] = {"memory", MISSING_MEMORY},
    [CGROUP_PIDS] = {"pids", MISSING_PIDS},
    [CGROUP_CPU] = {"cpu", MISSING_CPU},
};
_Static_assert(ARRAY_COUNT(controllers) == CGROUP_CONTROLLER_COUNT, "a row per controller");

/* ---- detection ---- */

/* A word of its own: "cpu" is not in "cpuset". */
static bool has_word(const char *text, const char *word)
{
    size_t bytes = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += bytes)
        if ((at == text || at[-1] == ' ') && strchr(" \n", at[bytes])) /* its end counts, too */
            return true;
    return false;
}

/* A version 2 mount beside version 1 trees often holds no controller at all. */
static void detect_v2(const char *mount_point, struct cgroup_trees *trees)
{
    char path[PATH_BYTES], text[256] = "";
    (void)snprintf(path, sizeof path, "%s/cgroup.controllers", mount_point);
    FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
        return;
    (void)snprintf(trees->unified, sizeof trees->unified, "%s", mount_point);
    for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
        trees->v2[i] = has_word(text, controllers[i].name);
}

static bool is_any_v1(const struct cgroup_trees *trees)
{
    return trees->v1[CGROUP_MEMORY][0] || trees->v1[CGROUP_PIDS][0] || trees->v1[CGROUP_CPU][0];
}

void cgroup_detect(struct cgroup_trees *ret_trees)
{
    struct sysinfo machine;
    *ret_trees = (struct cgroup_trees){.has_swap = sysinfo(&machine) < 0 || machine.totalswap > 0};
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    if (!mounts)
        return;
    struct mntent entry;
    char text[4096];
    while (getmntent_r(mounts, &entry, text, sizeof text)) {
        if (strlen(entry.mnt_dir) >= sizeof ret_trees->unified)
            continue;
        if (strcmp(entry.mnt_type, "cgroup2") == 0)
            detect_v2(entry.mnt_dir, ret_trees);
        if (strcmp(entry.mnt_type, "cgroup") != 0)
            continue;
        for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
            if (hasmntopt(&entry, controllers[i].name))
                (void)snprintf(ret_trees->v1[i], sizeof ret_trees->v1[i], "%s", entry.mnt_dir);
    }
    (void)endmntent(mounts); /* always 1 */
    const bool *v2 = ret_trees->v2;
    ret_trees->is_v2 = (v2[CGROUP_MEMORY] && v2[CGROUP_PIDS]) ||
                       ((v2[CGROUP_MEMORY] || v2[CGROUP_PIDS] || v2[CGROUP_CPU]) && !is_any_v1(ret_trees));
}

/* ---- files ---- */

static int write_value(const char *directory, const char *file, const char *value, struct err *e)
{
    char path[PATH_BYTES * 2];
    (void)snprintf(path, sizeof path, "%s/%s", directory, file);
    FD_AUTO int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t written = -1;
    do /* a limit of memory is not written while a signal waits: a child's end, where hostd is traced */
        written = fd < 0 ? -1 : write(fd, value, strlen(value));
    while (fd >= 0 && written < 0 && errno == EINTR);
    return written < 0 ? err_sys(e, -errno, "write %s to %s", value, path) : 0;
}

/* Is there such a file?  Some the kernel shows only where it counts what they limit. */
static bool has_file(const char *directory, const char *file)
{
    char path[PATH_BYTES * 2];
    (void)snprintf(path, sizeof path, "%s/%s", directory, file);
    return access(path, F_OK) == 0 || errno != ENOENT;
}

static int make_directory(const char *path, struct err *e)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return err_sys(e, -errno, "mkdir %s", path);
    return 0;
}

static void group_path(char path[PATH_BYTES], const char *tree, const char *app, const char *service)
{
    (void)snprintf(path, PATH_BYTES, "%s/hostd%s%s%s%s", tree, app ? "/" : "", app ? app : "", service ? "/" : "",
                   service ? service : "");
}

/* Those above it are there after the first service. */
static int make_path(const char *tree, const char *app, const char *service, char path[PATH_BYTES], struct err *e)
{
    const char *const names[][2] = {{NULL, NULL}, {app, NULL}};
    group_path(path, tree, app, service);
    int result = make_directory(path, e);
    if (result != -ENOENT)
        return result;
    result = 0;
    for (size_t i = 0; result == 0 && i < ARRAY_COUNT(names); i++) {
        group_path(path, tree, names[i][0], names[i][1]);
        result = make_directory(path, e);
    }
    group_path(path, tree, app, service);
    return result == 0 ? make_directory(path, e) : result;
}

/* ---- limits ---- */

/* Swap is no way around: version 1 limits the sum, version 2 the swap itself.  Kernel memory counts in both. */
static int set_memory(const char *path, const struct cgroup_trees *trees, const struct cgroup_limits *limits,
                      struct err *e)
{
    char value[32];
    (void)snprintf(value, sizeof value, "%llu", (unsigned long long)limits->memory_bytes);
    if (trees->is_v2) {
        int result = write_value(path, "memory.max", value, e);
        if (result < 0 || has_file(path, "memory.swap.max"))
            return result < 0 ? result : write_value(path, "memory.swap.max", "0", e);
        if (!trees->has_swap || limits->accept_missing & MISSING_MEMORY)
            return 0;
        (void)err_set(e, -EOPNOTSUPP, "this machine has swap that its kernel does not count (swapaccount=0)");
        return err_hint(e, "count it, switch it off, or write accept_missing = [\"memory\"] in the TOML");
    }
    static const char sum[] = "memory.memsw.limit_in_bytes";
    bool is_counted = has_file(path, sum);
    /* The sum may not be below the memory, not even for a moment: of a group that is taken over it goes first.  Where
     * swap is not counted, a group at its limit gets none (kernel: admin-guide/cgroup-v1/memory, 5.3 swappiness). */
    int result = is_counted ? write_value(path, sum, "-1", e) : write_value(path, "memory.swappiness", "0", e);
    if (result == 0)
        result = write_value(path, "memory.limit_in_bytes", value, e);
    return result < 0 || !is_counted ? result : write_value(path, sum, value, e);
}

static int set_pids(const char *path, uint32_t pids, struct err *e)
{
    char value[16];
    (void)snprintf(value, sizeof value, "%u", pids);
    return write_value(path, "pids.max", value, e);
}

static int set_cpu(const char *path, bool is_v2, uint32_t percent, struct err *e)
{
    char value[48];
    if (percent == 0)
        return 0;
    uint64_t quota_us = (uint64_t)CPU_PERIOD_US * percent / 100;
    if (is_v2) {
        (void)snprintf(value, sizeof value, "%llu %u", (unsigned long long)quota_us, CPU_PERIOD_US);
        return write_value(path, "cpu.max", value, e);
    }
    (void)snprintf(value, sizeof value, "%llu", (unsigned long long)quota_us);
    return write_value(path, "cpu.cfs_quota_us", value, e);
}

static int set_limit(const char *path, const struct cgroup_trees *trees, enum cgroup_controller controller,
                     const struct cgroup_limits *limits, struct err *e)
{
    switch (controller) {
    case CGROUP_MEMORY:
        return set_memory(path, trees, limits, e);
    case CGROUP_PIDS:
        return set_pids(path, limits->pids, e);
    default:
        return set_cpu(path, trees->is_v2, limits->cpu_percent, e);
    }
}

static int missing(enum cgroup_controller controller, struct err *e)
{
    const char *name = controllers[controller].name;
    (void)err_set(e, -EOPNOTSUPP, "this machine has no %s controller (neither cgroup v2 nor v1)", name);
    return err_hint(e, "enable it, or write accept_missing = [\"%s\"] in the TOML", name);
}

/* A group's files are there only when each group above it passes the controllers on. */
static int pass_on(const struct cgroup_trees *trees, const char *app, const char *enable, struct err *e)
{
    char path[PATH_BYTES];
    int result = write_value(trees->unified, "cgroup.subtree_control", enable, e);
    for (int depth = 0; result == 0 && depth < 2; depth++) {
        group_path(path, trees->unified, depth ? app : NULL, NULL);
        result = write_value(path, "cgroup.subtree_control", enable, e);
    }
    if (result == -EBUSY)
        (void)err_hint(e, "processes live in that group itself: a container's must be moved into one below it first");
    return result;
}

static int make_v2(const struct cgroup_trees *trees, const char *app, const char *service,
                   const struct cgroup_limits *limits, struct err *e)
{
    char path[PATH_BYTES], enable[CGROUP_CONTROLLER_COUNT * 16] = "";
    bool is_set[CGROUP_CONTROLLER_COUNT] = {false};
    for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
        if (i == CGROUP_CPU && limits->cpu_percent == 0)
            continue;
        if (!trees->v2[i] && !(limits->accept_missing & controllers[i].missing_bit))
            return missing(i, e);
        is_set[i] = trees->v2[i];
        size_t used = strlen(enable);
        if (is_set[i])
            (void)snprintf(enable + used, sizeof enable - used, "%s+%s", used ? " " : "", controllers[i].name);
    }
    int result = make_path(trees->unified, app, service, path, e);
    if (result == 0 && enable[0])
        result = pass_on(trees, app, enable, e);
    for (int i = 0; result == 0 && i < CGROUP_CONTROLLER_COUNT; i++)
        if (is_set[i])
            result = set_limit(path, trees, i, limits, e);
    return result;
}

int cgroup_make(const struct cgroup_trees *trees, const char *app, const char *service,
                const struct cgroup_limits *limits, struct err *e)
{
    if (trees->is_v2)
        return make_v2(trees, app, service, limits, e);
    for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
        char path[PATH_BYTES];
        if (i == CGROUP_CPU && limits->cpu_percent == 0)
            continue;
        if (!trees->v1[i][0]) {
            if (limits->accept_missing & controllers[i].missing_bit)
                continue;
            return missing(i, e);
        }
        int result = make_path(trees->v1[i], app, service, path, e);
        if (result == 0)
            result = set_limit(path, trees, i, limits, e);
        if (result < 0)
            return result;
    }
    return 0;
}

int cgroup_open(const struct cgroup_trees *trees, const char *app, const char *service, int *ret_fd, struct err *e)
{
    *ret_fd = -1;
    if (!trees->is_v2)
        return 0;
    char path[PATH_BYTES];
    group_path(path, trees->unified, app, service);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, -errno, "open %s", path);
    *ret_fd = fd;
    return 0;
}

int cgroup_open_tasks(const struct cgroup_trees *trees, const char *app, const char *service, bool needs_cpu,
                      int ret_fds[CGROUP_CONTROLLER_COUNT], struct err *e)
{
    for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
        char path[PATH_BYTES], file[PATH_BYTES + 8];
        ret_fds[i] = -1;
        if (trees->is_v2 || !trees->v1[i][0])
            continue;
        group_path(path, trees->v1[i], app, service);
        (void)snprintf(file, sizeof file, "%s/tasks", path);
        ret_fds[i] = open(file, O_WRONLY | O_CLOEXEC);
        if (ret_fds[i] >= 0 || (i == CGROUP_CPU && errno == ENOENT && !needs_cpu))
            continue;
        int code = err_sys(e, -errno, "open %s", file);
        while (i > 0)
            fd_close(&ret_fds[--i]);
        return code;
    }
    return 0;
}

int cgroup_enter(const int fds[CGROUP_CONTROLLER_COUNT], struct err *e)
{
    for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
        if (fds[i] >= 0 && write(fds[i], "0", 1) != 1) /* 0: whoever writes */
            return err_sys(e, -errno, "enter the %s group", controllers[i].name);
    return 0;
}

/* ---- what is used ---- */

int cgroup_read(const struct cgroup_trees *trees, enum cgroup_controller controller, const char *app,
                const char *service, const char *file, char *text, size_t room)
{
    char path[PATH_BYTES], name[PATH_BYTES * 2];
    const char *tree = trees->is_v2 ? trees->unified : trees->v1[controller];
    if (!tree[0])
        return -ENOENT;
    group_path(path, tree, app, service);
    (void)snprintf(name, sizeof name, "%s/%s", path, file);
    FD_AUTO int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t got = read(fd, text, room - 1);
    if (got < 0)
        return -errno;
    text[got] = '\0';
    return 0;
}

uint64_t cgroup_oom_kills(const struct cgroup_trees *trees, const char *app, const char *service)
{
    char text[1024] = "\n";
    const char *file = trees->is_v2 ? "memory.events" : "memory.oom_control";
    if (cgroup_read(trees, CGROUP_MEMORY, app, service, file, text + 1, sizeof text - 1) < 0)
        return 0;
    const char *line = strstr(text, "\noom_kill "); /* the same word in both versions */
    return line ? strtoull(line + strlen("\noom_kill "), NULL, 10) : 0;
}

static uint64_t read_number(const struct cgroup_trees *trees, enum cgroup_controller controller, const char *app,
                            const char *service, const char *v2_file, const char *v1_file)
{
    char text[64];
    const char *file = trees->is_v2 ? v2_file : v1_file;
    if (cgroup_read(trees, controller, app, service, file, text, sizeof text) < 0 || text[0] < '0' || text[0] > '9')
        return CGROUP_UNKNOWN; /* "max" too: no limit */
    return strtoull(text, NULL, 10);
}

void cgroup_usage(const struct cgroup_trees *trees, const char *app, const char *service,
                  struct cgroup_usage *ret_usage)
{
    *ret_usage = (struct cgroup_usage){
        .memory_bytes = read_number(trees, CGROUP_MEMORY, app, service, "memory.current", "memory.usage_in_bytes"),
        .memory_limit_bytes = read_number(trees, CGROUP_MEMORY, app, service, "memory.max", "memory.limit_in_bytes"),
        .pids = read_number(trees, CGROUP_PIDS, app, service, "pids.current", "pids.current"),
        .pids_limit = read_number(trees, CGROUP_PIDS, app, service, "pids.max", "pids.max"),
    };
    if (ret_usage->memory_limit_bytes > MANIFEST_MEMORY_BYTES_MAX)
        ret_usage->memory_limit_bytes = CGROUP_UNKNOWN; /* version 1 writes a number for "no limit" */
}

/* ---- removal ---- */

static int remove_from(const char *tree, const char *app, const char *service)
{
    char path[PATH_BYTES];
    if (!tree[0])
        return 0;
    group_path(path, tree, app, service);
    int result = rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
    group_path(path, tree, app, NULL);
    if (rmdir(path) == 0) { /* others may still live in it: then it stays */
        group_path(path, tree, NULL, NULL);
        (void)rmdir(path); /* likewise, of another application */
    }
    return result;
}

int cgroup_remove(const struct cgroup_trees *trees, const char *app, const char *service)
{
    if (trees->is_v2)
        return remove_from(trees->unified, app, service);
    int result = 0;
    for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
        int one = remove_from(trees->v1[i], app, service);
        if (one < 0)
            result = one;
    }
    return result;
}

static void sweep(const char *tree, const char *app)
{
    char path[PATH_BYTES];
    group_path(path, tree, app, NULL);
    DIR *directory = tree[0] ? opendir(path) : NULL;
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            (void)remove_from(tree, app, entry->d_name); /* one in use stays */
    (void)closedir(directory);
}

void cgroup_sweep(const struct cgroup_trees *trees, const char *app)
{
    if (trees->is_v2)
        sweep(trees->unified, app);
    for (int i = 0; !trees->is_v2 && i < CGROUP_CONTROLLER_COUNT; i++)
        sweep(trees->v1[i], app);
}
