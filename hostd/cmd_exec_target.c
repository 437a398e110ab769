/*
 * cmd_exec_target.c - which service, which program: everything that `hostd exec` finds out before it starts anything.
 *
 * The confinement is read from PID 1's own mapping of its setup (a memfd that nobody can write any more, found in
 * /proc/PID/maps and opened through /proc/PID/map_files): whatever hostd's plan or program has become since, the
 * command is under what the service is under.
 */
#include <arpa/inet.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "hostd/app.h"
#include "hostd/client.h"
#include "hostd/cmd_exec.h"
#include "rootfs/rootfs.h"
#include "rpc/base/own.h"

#define SETUP_BYTES_MAX (8u << 20) /* a manifest is at most 4 MiB */
#define ARGS_BYTES_MAX (128u << 10)
#define ADDED_BYTES_MAX (ARGS_BYTES_MAX + (64u << 10)) /* to a setup: arguments; mounts, a filter, an environment */
#define PROGRAM_HEADERS_MAX 64

/* ---- what hostd says ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static const json_t *find_service(const json_t *services, const char *name)
{
    size_t i;
    json_t *service;
    json_array_foreach(services, i, service) if (strcmp(text_of(service, "name"), name) == 0) return service;
    return NULL;
}

/* ---- PID 1 ---- */

/* The namespaces that hostd names are those of the process whose pidfd we hold: then it is that PID 1. */
static int check_namespaces(const struct exec_target *target, const json_t *service, struct err *e)
{
    static const char *const kinds[] = {"user", "mnt", "net", "pid", "ipc", "uts", "cgroup"};
    const json_t *named = json_object_get(service, "namespaces");
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        char path[64];
        struct stat own, status;
        (void)snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
        if (stat(path, &own) < 0)
            return err_sys(e, -errno, "stat %s", path);
        (void)snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)target->init_pid, kinds[i]);
        if (stat(path, &status) < 0 ||
            (json_int_t)status.st_ino != json_integer_value(json_object_get(named, kinds[i])))
            return err_set(e, -ESRCH, "service '%s' was just restarted: try again", target->service);
        if (status.st_ino == own.st_ino)
            return err_set(e, -EOPNOTSUPP,
                           "service '%s' runs in the host's %s namespace (plain mode?): nothing confines it",
                           target->service, kinds[i]);
    }
    struct pollfd ended = {.fd = target->pidfd, .events = POLLIN};
    if (poll(&ended, 1, 0) != 0)
        return err_set(e, -ESRCH, "service '%s' has just ended", target->service);
    return 0;
}

/* Our initsvc, and it is what PID 1 is: the setup has one meaning for both. */
static int open_initsvc(struct exec_target *target, struct err *e)
{
    char path[PATH_MAX];
    struct stat ours, theirs;
    int result = manifest_bin_dir(path);
    if (result < 0)
        return err_sys(e, result, "find the folder of hostd's programs");
    FD_AUTO int bin_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    target->initsvc_fd = bin_fd < 0 ? -1 : openat(bin_fd, "initsvc", O_PATH | O_CLOEXEC);
    if (target->initsvc_fd < 0 || fstat(target->initsvc_fd, &ours) < 0)
        return err_sys(e, -errno, "open %s/initsvc", path);
    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)target->init_pid);
    if (stat(path, &theirs) < 0)
        return err_sys(e, -errno, "stat %s", path);
    if (ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino) {
        (void)err_set(e, -ESTALE, "service '%s' was started by another build of hostd than this", target->service);
        return err_hint(e, "use that one, or restart the application");
    }
    return 0;
}

static int open_setup(const struct exec_target *target, int *ret_fd, struct err *e)
{
    char path[96], line[512];
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)target->init_pid);
    FILE *maps = fopen(path, "re");
    if (!maps)
        return err_sys(e, -errno, "open %s", path);
    path[0] = '\0';
    while (!path[0] && fgets(line, sizeof line, maps)) {
        unsigned long long from, to;
        if (strstr(line, " /memfd:setup (deleted)") && sscanf(line, "%llx-%llx ", &from, &to) == 2)
            (void)snprintf(path, sizeof path, "/proc/%d/map_files/%llx-%llx", (int)target->init_pid, from, to);
    }
    (void)fclose(maps);
    if (!path[0])
        return err_set(e, -ENOENT, "PID 1 of service '%s' has no setup mapped", target->service);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, -errno, "open %s", path);
    *ret_fd = fd;
    return 0;
}

static int read_setup(struct exec_target *target, struct err *e)
{
    FD_AUTO int fd = -1;
    struct stat status;
    int result = open_setup(target, &fd, e);
    if (result < 0)
        return result;
    if (fstat(fd, &status) < 0)
        return err_sys(e, -errno, "setup of service '%s'", target->service);
    size_t bytes = (size_t)status.st_size;
    if (bytes < sizeof *target->setup || bytes > SETUP_BYTES_MAX)
        return err_set(e, -EPROTO, "setup of service '%s' has %zu bytes", target->service, bytes);
    target->setup_room = bytes + ADDED_BYTES_MAX;
    target->setup = calloc(1, target->setup_room);
    if (!target->setup)
        return err_set(e, -ENOMEM, "no memory for the setup");
    if (pread(fd, target->setup, bytes, 0) != (ssize_t)bytes)
        return err_sys(e, -errno, "read the setup of service '%s'", target->service);
    const struct init_setup *setup = target->setup;
    uint64_t wires_end = setup->wires_at + (uint64_t)setup->wire_count * sizeof(struct init_wire);
    uint64_t mounts_end = setup->mounts_at + (uint64_t)setup->mount_count * sizeof(struct init_mount);
    uint64_t contract_end = (uint64_t)setup->contract_at + setup->contract_bytes;
    if (setup->magic != INIT_MAGIC || setup->total_bytes != bytes || wires_end > bytes || mounts_end > bytes ||
        contract_end > bytes || setup->contract_bytes < sizeof(struct contract))
        return err_set(e, -EPROTO, "setup of service '%s' cannot be read", target->service);
    return 0;
}

/* ---- wires ---- */

/* The outgoing wires as they are now: peers may have restarted since the setup.  All others stay down. */
static int set_wires(struct exec_target *target, const json_t *services, const json_t *service, struct err *e)
{
    char *block = (char *)target->setup;
    struct init_wire *wires = (void *)(block + target->setup->wires_at);
    const struct contract *contract = (const void *)(block + target->setup->contract_at);
    const struct contract_link *links = (const void *)((const char *)contract + contract->links_at);
    const json_t *named = json_object_get(service, "links");
    size_t i;
    json_t *link;
    if (contract->links_at + (uint64_t)contract->link_count * sizeof *links > target->setup->contract_bytes ||
        contract->link_count != target->setup->wire_count || json_array_size(named) != contract->link_count)
        return err_set(e, -EPROTO, "setup of service '%s' has other links than hostd", target->service);
    json_array_foreach(named, i, link)
    {
        struct in_addr address;
        const char *peer = text_of(link, "peer"), *ifname = text_of(link, "interface");
        if (links[i].direction != LINK_OUT)
            continue;
        if (strncmp(peer, links[i].peer, NAME_BYTES) != 0)
            return err_set(e, -EPROTO, "link %zu of service '%s' goes to '%s' now", i, target->service, peer);
        if (!json_is_true(json_object_get(link, "up")) || strlen(ifname) >= INIT_IFNAME_BYTES ||
            inet_pton(AF_INET, text_of(link, "address"), &address) != 1)
            continue;
        wires[i] = (struct init_wire){
            .own_address = ntohl(address.s_addr),
            .peer_address = ntohl(address.s_addr) ^ 1, /* the two ends of a /31 */
            .generation = (uint32_t)json_integer_value(json_object_get(find_service(services, peer), "generation")),
            .port = wires[i].port,
            .is_up = 1,
        };
        memcpy(wires[i].ifname, ifname, strlen(ifname));
    }
    return 0;
}

static int prepare_setup(struct exec_target *target, const struct exec_options *options, const json_t *services,
                         const json_t *service, struct err *e)
{
    struct init_setup *setup = target->setup;
    struct init_wire *wires = (void *)((char *)setup + setup->wires_at);
    for (uint32_t i = 0; i < setup->wire_count; i++)
        wires[i].is_up = 0;
    setup->flags = (setup->flags & (INIT_ACCEPT_NO_LANDLOCK | INIT_PROCESS)) | INIT_EXEC;
    setup->ingress_count = 0;
    if (options->as_root)
        setup->flags |= INIT_EXEC_ROOT;
    if (options->with_tools && !options->with_wires)
        setup->flags |= INIT_EXEC_NO_RING;
    /* A process service has no ring to dial into, but names of callees in /etc/hosts. */
    return options->with_wires || setup->flags & INIT_PROCESS ? set_wires(target, services, service, e) : 0;
}

/* ---- all of it ---- */

static int find_in(struct exec_target *target, const struct exec_options *options, const json_t *services,
                   struct err *e)
{
    const json_t *service = find_service(services, options->service);
    if (!service)
        return err_set(e, -EINVAL, "application '%s' has no service '%s'", target->app, options->service);
    (void)snprintf(target->service, NAME_BYTES, "%s", options->service);
    target->init_pid = (pid_t)json_integer_value(json_object_get(service, "init_pid"));
    /* Before it is ready its root may still be the host's. */
    if (strcmp(text_of(service, "state"), "ready") != 0 || target->init_pid <= 0) {
        const char *state = text_of(service, "state");
        bool is_down = strcmp(state, "ended") == 0 || strcmp(state, "failed") == 0;
        (void)err_set(e, -EAGAIN, "service '%s' is not ready: its state is '%s'", target->service, state);
        return err_hint(e, is_down ? "to start it: hostd restart %s" : "see hostd ps", target->service);
    }
    target->pidfd = (int)syscall(SYS_pidfd_open, target->init_pid, 0);
    if (target->pidfd < 0)
        return err_sys(e, -errno, "open PID 1 of service '%s'", target->service);
    int result = check_namespaces(target, service, e);
    if (result == 0)
        result = open_initsvc(target, e);
    if (result == 0)
        result = read_setup(target, e);
    return result < 0 ? result : prepare_setup(target, options, services, service, e);
}

int exec_target_find(const struct exec_options *options, struct exec_target *target, struct err *e)
{
    FREE_AUTO char *answer = NULL;
    int result = client_choose(options->app, target->app, e);
    if (result == 0)
        result = client_check_service(target->app, options->service, e);
    if (result == 0)
        result = client_ask(target->app, "ps", &answer, e);
    if (result < 0)
        return result;
    json_error_t error;
    json_t *root = json_loads(answer, JSON_REJECT_DUPLICATES, &error);
    const json_t *services = json_object_get(root, "services");
    result = json_is_array(services)
                 ? find_in(target, options, services, e)
                 : err_set(e, -EPROTO, "answer of application '%s' cannot be read: %s", target->app, error.text);
    json_decref(root);
    return result;
}

/* ---- the program ---- */

static int check_program(int fd, const char *path, bool with_tools, struct err *e)
{
    Elf64_Ehdr header = {0};
    Elf64_Phdr segments[PROGRAM_HEADERS_MAX];
    ssize_t got = pread(fd, &header, sizeof header, 0);
    if (got >= 2 && memcmp(&header, "#!", 2) == 0) {
        (void)err_set(e, -ENOEXEC, "%s is a script", path);
        return err_hint(e, "run its interpreter: hostd exec --tools SERVICE -- sh -c '...'");
    }
    if (got != (ssize_t)sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || (header.e_type != ET_EXEC && header.e_type != ET_DYN) ||
        header.e_phentsize != sizeof segments[0] || header.e_phnum > PROGRAM_HEADERS_MAX)
        return err_set(e, -ENOEXEC, "%s is not a program of this machine", path);
    size_t bytes = header.e_phnum * sizeof segments[0];
    if (pread(fd, segments, bytes, (off_t)header.e_phoff) != (ssize_t)bytes)
        return err_set(e, -ENOEXEC, "%s is not a whole program", path);
    for (unsigned i = 0; i < header.e_phnum && !with_tools; i++) {
        if (segments[i].p_type != PT_INTERP)
            continue;
        (void)err_set(e, -ENOEXEC, "%s needs shared libraries, and the service's root has none", path);
        return err_hint(e, "link it with -static, or use --tools, which adds the host's /usr");
    }
    return 0;
}

int exec_target_append(struct exec_target *target, const void *bytes, size_t count, uint32_t *ret_at, struct err *e)
{
    struct init_setup *setup = target->setup;
    size_t at = (setup->total_bytes + 7u) & ~(size_t)7;
    if (count > target->setup_room || at + count > target->setup_room)
        return err_set(e, -E2BIG, "the arguments are too long");
    memcpy((char *)setup + at, bytes, count);
    setup->total_bytes = (uint32_t)(at + count);
    *ret_at = (uint32_t)at;
    return 0;
}

static int add_args(struct exec_target *target, char **words, struct err *e)
{
    FREE_AUTO char *block = malloc(ARGS_BYTES_MAX);
    size_t used = 0;
    for (; block && *words; words++) {
        size_t bytes = strlen(*words) + 1;
        if (used + bytes > ARGS_BYTES_MAX)
            return err_set(e, -E2BIG, "the arguments have more than %u bytes", ARGS_BYTES_MAX);
        memcpy(block + used, *words, bytes);
        used += bytes;
    }
    target->setup->args_bytes = (uint32_t)used;
    return block ? exec_target_append(target, block, used, &target->setup->args_at, e)
                 : err_set(e, -ENOMEM, "no memory for the arguments");
}

/* As a shell inside would look it up, where the host's /usr is at hand. */
static int open_program(const char *name, bool with_tools, char path[PATH_MAX], int *ret_fd, struct err *e)
{
    static const char *const directories[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                              "/usr/bin",        "/sbin",          "/bin"};
    bool is_path = strchr(name, '/');
    if (is_path || !with_tools) {
        (void)snprintf(path, PATH_MAX, "%s", name);
        *ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (*ret_fd >= 0)
            return 0;
        int code = err_sys(e, -errno, "open %s", name);
        return is_path ? code : err_hint(e, "programs of the host's /usr come with --tools");
    }
    for (size_t i = 0; i < ARRAY_COUNT(directories); i++) {
        (void)snprintf(path, PATH_MAX, "%s/%s", directories[i], name);
        *ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (*ret_fd >= 0)
            return 0;
        if (errno != ENOENT && errno != ENOTDIR)
            return err_sys(e, -errno, "open %s", path);
    }
    return err_set(e, -ENOENT, "no program '%s' in /usr/local/sbin, /usr/local/bin, /usr/sbin, /usr/bin, /sbin or /bin",
                   name);
}

int exec_target_program(struct exec_target *target, const struct exec_options *options, struct err *e)
{
    char path[PATH_MAX];
    struct stat status;
    FD_AUTO int fd = -1;
    if (options->with_wires && target->setup->flags & INIT_PROCESS) {
        (void)err_set(e, -EINVAL, "service '%s' is a process: it has no ring that --wires could fill", target->service);
        return err_hint(e, "with --tools a command connects by itself, to the names in /etc/hosts");
    }
    target->fds[INIT_FD_FIRST] = -1;
    target->fd_count = INIT_FD_FIRST + 1;
    int result = open_program(options->words[0], options->with_tools, path, &fd, e);
    if (result < 0)
        return result;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return err_set(e, -EACCES, "%s is not a regular file", path);
    if (!(status.st_mode & S_IXOTH)) {
        (void)err_set(e, -EACCES, "%s may not be executed by others than its owner", path);
        return err_hint(e, "inside, nobody is its owner: chmod o+rx");
    }
    result = check_program(fd, path, options->with_tools, e);
    if (result == 0)
        result = rootfs_file_mount(fd, true, &target->fds[INIT_FD_FIRST], e);
    return result < 0 ? result : add_args(target, options->words, e);
}

void exec_target_done(struct exec_target *target)
{
    for (size_t i = INIT_FD_FIRST; i < target->fd_count; i++)
        fd_close(&target->fds[i]);
    fd_close(&target->pidfd);
    fd_close(&target->initsvc_fd);
    free(target->setup);
    target->setup = NULL;
}
