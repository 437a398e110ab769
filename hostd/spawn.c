/*
 * spawn.c - from the plan to a running PID 1: namespaces, wires, maps, mounts, setup.  Doing; decides nothing.
 *
 * Order, and why (design: start handshake):
 *   network namespace first, owned by the host's user namespace: nobody inside can change wires or filters;
 *   then the other namespaces around a child that becomes PID 1 when its ids are mapped, and waits for its setup;
 *   wires complete with their filters before that is sent: until then nothing runs there but our own code, idle;
 *   detached mounts last, because the data's idmap names the service's ids; then everything in one message.
 *
 * Plain mode (app->is_plain) leaves out what isolates: the namespace is hostd's own, a wire is a port of 127.0.0.1, the
 * child is an ordinary one, files and directories go over as they are.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "hostd/adopt.h"
#include "hostd/app.h"
#include "hostd/rules.h"
#include "rootfs/rootfs.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

#define LOG_BYTES_MAX (1u << 20) /* of each of a service's two log files */
#define END_MS_MAX 2000          /* for a killed process to be gone */
#define INGRESS_WAIT_MS 500      /* for a port to become free */
#define INGRESS_BACKLOG 512
#define INGRESS_SEND_BYTES (256 << 10) /* what the kernel holds for a client that does not read */

void instance_init(struct instance *instance)
{
    *instance = (struct instance){.pidfd = -1, .stage_fd = -1, .netns_fd = -1, .log_fd = {-1, -1}, .status_fd = -1};
}

int spawn_namespace(struct app *app, uint32_t service, struct err *e)
{
    if (app->is_plain || weakened("net-namespace")) {
        app->instances[service].netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        return app->instances[service].netns_fd < 0 ? err_sys(e, -errno, "open /proc/self/ns/net") : 0;
    }
    int result = net_namespace_new(&app->instances[service].netns_fd, e);
    if (result == 0 && app->plan->services[service].profile == PROFILE_PROCESS)
        result = net_namespace_let_bind(app->instances[service].netns_fd, e);
    return result;
}

/* ---- wires ---- */

static void wire_end(const struct app *app, uint32_t service, uint32_t direction, uint32_t number,
                     struct net_end *ret_end)
{
    ret_end->netns_fd = app->instances[service].netns_fd;
    plan_ifname(ret_end->ifname, direction, number);
    ret_end->address = plan_address(direction, number);
}

/* What an earlier wire of this link left at the end that survived.  Mostly nothing: it goes with the other namespace.
 */
static int forget_old(struct app *app, uint32_t link, struct err *e)
{
    const struct plan_link *l = &app->plan->links[link];
    const uint32_t services[] = {[LINK_IN] = l->to, [LINK_OUT] = l->from};
    for (uint32_t direction = LINK_IN; direction <= LINK_OUT; direction++) {
        char ifname[NET_IFNAME_BYTES];
        plan_ifname(ifname, direction, app->wires[link].number);
        int result = net_link_forget(app->instances[services[direction]].netns_fd, ifname, e);
        if (result < 0)
            return result;
    }
    return 0;
}

/* Plain mode: a port of 127.0.0.1 for the link.  Bound and never listening, it takes no connection, and the callee's
 * listener may still bind there: SO_REUSEADDR on both. */
static int reserve_port(struct wire *wire, struct err *e)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof address;
    int one = 1;
    fd_close(&wire->port_fd);
    FD_AUTO int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, (struct sockaddr *)&address, bytes) < 0 || getsockname(fd, (struct sockaddr *)&address, &bytes) < 0)
        return err_sys(e, -errno, "take a port of 127.0.0.1");
    wire->port_fd = fd_take(&fd);
    wire->port = ntohs(address.sin_port);
    wire->is_made = true;
    return 0;
}

/* netconf knows interfaces; people know services.  The text begins with the end that failed. */
static void name_services(const struct app *app, const struct net_link *link, uint32_t index, uint32_t *ret_service,
                          struct err *e)
{
    const struct plan_link *l = &app->plan->links[index];
    const char *const ends[] = {link->caller.ifname, link->callee.ifname};
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
        size_t bytes = strlen(ends[i]);
        if (strncmp(e->text, "link ", 5) != 0 || strncmp(e->text + 5, ends[i], bytes) != 0 || e->text[5 + bytes] != ' ')
            continue;
        *ret_service = l->from;
        (void)err_prefix(e, "link from '%s' to '%s'", SERVICE_NAME(app, l->from), SERVICE_NAME(app, l->to));
        return;
    }
}

int spawn_wires(struct app *app, uint32_t *ret_service, struct err *e)
{
    FREE_AUTO struct net_link *links = calloc(app->plan->link_count + 1, sizeof *links);
    FREE_AUTO uint32_t *indices = calloc(app->plan->link_count + 1, sizeof *indices);
    if (!links || !indices)
        return err_set(e, -ENOMEM, "no memory for %zu links", app->plan->link_count);
    size_t count = 0;
    for (uint32_t i = 0; i < app->plan->link_count; i++) {
        const struct plan_link *l = &app->plan->links[i];
        if (app->wires[i].is_made || app->instances[l->from].netns_fd < 0 || app->instances[l->to].netns_fd < 0)
            continue;
        int result = app->is_plain                        ? reserve_port(&app->wires[i], e)
                     : app->wires[i].number != UINT32_MAX ? forget_old(app, i, e)
                                                          : 0;
        if (result < 0)
            return result;
        if (app->is_plain)
            continue;
        uint32_t number = app->next_wire++ % PLAN_NETWORK_PAIRS_MAX;
        app->wires[i].number = number;
        wire_end(app, l->from, LINK_OUT, number, &links[count].caller);
        wire_end(app, l->to, LINK_IN, number, &links[count].callee);
        links[count].port = l->port;
        indices[count++] = i;
    }
    int result = count ? net_links_make(links, count, e) : 0;
    for (size_t k = 0; result < 0 && k < count; k++)
        name_services(app, &links[k], indices[k], ret_service, e);
    if (result < 0)
        return result;
    for (size_t k = 0; k < count; k++)
        app->wires[indices[k]].is_made = true;
    return 0;
}

void spawn_wire(const struct app *app, uint32_t link, uint32_t direction, struct init_wire *ret_wire)
{
    const struct plan_link *l = &app->plan->links[link];
    const struct wire *wire = &app->wires[link];
    *ret_wire = (struct init_wire){
        .own_address = plan_address(direction, wire->number),
        .peer_address = plan_address(direction == LINK_IN ? LINK_OUT : LINK_IN, wire->number),
        .generation = app->instances[direction == LINK_IN ? l->from : l->to].generation,
        .port = l->port,
        .is_up = wire->is_made,
    };
    plan_ifname(ret_wire->ifname, direction, wire->number);
    if (!app->is_plain)
        return;
    ret_wire->own_address = ret_wire->peer_address = INADDR_LOOPBACK;
    ret_wire->port = wire->port;
    (void)snprintf(ret_wire->ifname, sizeof ret_wire->ifname, "lo");
}

/* ---- ingress ---- */

static int listen_on(const struct sockaddr_in *address, int *ret_fd)
{
    int one = 1, send_bytes = INGRESS_SEND_BYTES;
    FD_AUTO int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes) < 0 ||
        bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 || listen(fd, INGRESS_BACKLOG) < 0)
        return -errno;
    *ret_fd = fd_take(&fd);
    return 0;
}

int spawn_ingresses(struct app *app, struct err *e)
{
    const struct manifest *manifest = app->plan->manifest;
    for (uint32_t i = 0; i < manifest->ingress_count; i++) {
        const struct manifest_ingress *ingress = &manifest_ingresses(manifest)[i];
        if (app->ingress_fds[i] >= 0)
            continue; /* adopted */
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons(ingress->port), .sin_addr = {.s_addr = htonl(ingress->address)}};
        char text[INET_ADDRSTRLEN];
        (void)inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
        FD_AUTO int fd = -1;
        int code = listen_on(&address, &fd);
        /* The kernel closes what the ring of a service held a moment after its end: of the run before this one. */
        for (uint64_t until_ms = clock_ms() + INGRESS_WAIT_MS; code == -EADDRINUSE && clock_ms() < until_ms;
             code = listen_on(&address, &fd))
            (void)usleep(5000);
        if (code < 0) {
            (void)err_sys(e, code, "ingress '%s': listen on %s:%u", ingress->name, text, ingress->port);
            if (code == -EADDRINUSE)
                (void)err_hint(e, "another program uses that port; choose one with --listen %s=%s:PORT", ingress->name,
                               text);
            else if (code == -EADDRNOTAVAIL)
                (void)err_hint(e, "no interface here has that address; choose one with --listen %s=ADDRESS:%u",
                               ingress->name, ingress->port);
            return code;
        }
        app->ingress_fds[i] = fd_take(&fd);
    }
    return 0;
}

/* ---- the child ---- */

/* Somebody may have put a file, or a link to one, in its place. */
static bool is_null_device(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

/* Between clone3 and exec.  We are nobody yet: ids come with the maps, which hostd writes before it sends a byte. */
static _Noreturn void child_main(int stage_fd, int hostd_pidfd, int initsvc_fd, const int *task_fds, bool is_plain)
{
    struct init_message message = {.kind = INIT_STAGE, .stage = STAGE_CGROUP};
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* Ctrl-C is for hostd, which stops services in order; a terminal would signal each of its own session. */
    if (!weakened("terminal"))
        (void)setsid(); /* cannot fail in a fresh child */
    if (cgroup_enter(task_fds, &message.error) < 0)
        goto failed;

    message.stage = STAGE_IDS;
    /* hostd's own end of the socket is a descriptor of ours as well, and would keep it open: its death shows by its
     * pidfd only.  Without that we would wait for ever, and hold its lock. */
    char go;
    struct pollfd waits[] = {{.fd = stage_fd, .events = POLLIN}, {.fd = hostd_pidfd, .events = POLLIN}};
    if (poll(waits, 2, -1) < 0 || !(waits[0].revents & POLLIN) || recv(stage_fd, &go, 1, 0) != 1)
        _exit(1); /* hostd is gone, or gave up */
    if (is_plain) {
        ; /* the ids of hostd's user */
    } else if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) {
        (void)err_sys(&message.error, -errno, "take user id 0 of the new user namespace");
        goto failed;
    }
    /* Nothing of hostd's terminal or files goes on. */
    message.stage = STAGE_EXEC;
    int null_fd = open(weakened("terminal") ? "/dev/tty" : "/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd >= 0 && !is_null_device(null_fd) && !weakened("null-check")) {
        (void)err_set(&message.error, -ENODEV, "/dev/null is not the null device here");
        goto failed;
    }
    int stage_high = fcntl(stage_fd, F_DUPFD_CLOEXEC, 10);
    int binary_high = fcntl(initsvc_fd, F_DUPFD_CLOEXEC, 10);
    if (null_fd < 0 || stage_high < 0 || binary_high < 0 || dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 ||
        dup2(null_fd, 2) < 0 || dup2(stage_high, INIT_STAGE_FD) < 0 ||
        close_range(INIT_STAGE_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0) {
        (void)err_sys(&message.error, -errno, "lay out the descriptors of initsvc");
        goto failed;
    }
    stage_fd = INIT_STAGE_FD;
    char *argv[] = {(char[]){"initsvc"}, NULL};
    char *envp[] = {WEAKEN_ENVIRONMENT NULL};
    (void)syscall(SYS_execveat, binary_high, "", argv, envp, AT_EMPTY_PATH);
    (void)err_sys(&message.error, -errno, "exec initsvc");
failed:
    (void)send(stage_fd, &message, sizeof message, MSG_NOSIGNAL);
    _exit(1);
}

/* Enters the service's network namespace, clones, and comes back; the child stays there. */
static int clone_in(struct app *app, struct instance *instance, int cgroup_fd, const int *task_fds, int child_stage_fd,
                    struct err *e)
{
    FD_AUTO int own_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (own_netns < 0)
        return err_sys(e, -errno, "open /proc/self/ns/net");
    if (!app->is_plain && setns(instance->netns_fd, CLONE_NEWNET) < 0)
        return err_sys(e, -errno, "enter the network namespace");

    int pidfd = -1;
    struct clone_args args = {
        .flags = CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    if (!app->is_plain)
        args.flags |= weaken_namespaces(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS);
    if (cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP | CLONE_NEWCGROUP;
        args.cgroup = (uint64_t)cgroup_fd;
    }
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    int clone_errno = errno;
    if (pid == 0 && weakened("netns-owner"))
        weak_owner_join(instance->netns_fd);
    if (pid == 0)
        child_main(child_stage_fd, app->hostd_pidfd, app->initsvc_fd, task_fds, app->is_plain);
    if (!app->is_plain)
        net_namespace_return(own_netns);
    if (pid < 0) {
        (void)err_sys(e, -clone_errno, "clone3 with new user, mount, pid, ipc and uts namespaces");
        if (clone_errno == EPERM)
            (void)err_hint(
                e,
                "user namespaces must be allowed (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone), "
                "and hostd must not run in a chroot");
        return -clone_errno;
    }
    instance->init_pid = pid;
    instance->pidfd = pidfd;
    return 0;
}

static int write_id_map(pid_t pid, const char *file, uint32_t base, struct err *e)
{
    char path[64], line[64];
    if (weakened("user-namespace") || weakened("netns-owner"))
        return 0; /* there is none to map, or it has its map already */
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    int bytes = snprintf(line, sizeof line, "0 %u %u\n", base, PLAN_IDS_PER_SERVICE);
    FD_AUTO int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, line, (size_t)bytes) != bytes)
        return err_sys(e, -errno, "write %s", path);
    return 0;
}

/* ---- mounts ---- */

struct spawn_mounts {
    struct init_mount mounts[INIT_FDS_MAX];
    int fds[INIT_FDS_MAX];
    uint32_t count;
};

static void mounts_close(struct spawn_mounts *mounts)
{
    for (uint32_t i = 0; i < mounts->count; i++)
        fd_close(&mounts->fds[i]);
}

/* Room for one more; its descriptor is filled by the caller. */
static int *mounts_add(struct spawn_mounts *mounts, const char *to, bool is_directory, bool is_writable, struct err *e)
{
    if (mounts->count >= INIT_FDS_MAX - INIT_FD_FIRST - 8 || strlen(to) >= INIT_PATH_BYTES) {
        (void)err_set(e, -E2BIG, "too many files, or the path '%s' is too long", to);
        return NULL;
    }
    struct init_mount *mount = &mounts->mounts[mounts->count];
    *mount = (struct init_mount){
        .fd_index = INIT_FD_FIRST + mounts->count, .is_directory = is_directory, .is_writable = is_writable};
    memcpy(mount->to, to, strlen(to));
    mounts->fds[mounts->count] = -1;
    return &mounts->fds[mounts->count++];
}

/* A file or directory of the host, for a service to see.  What another service may write it must not: it could find
 * sockets there. */
static int open_source(const struct app *app, const char *path, int *ret_fd, struct stat *ret_status, struct err *e)
{
    FD_AUTO int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, ret_status) < 0)
        return err_sys(e, -errno, "open %s", path);
    if (!S_ISREG(ret_status->st_mode) && !S_ISDIR(ret_status->st_mode))
        return err_set(e, -EACCES, "%s is neither a file nor a directory", path);
    if (place_overlaps(fd, app->state_fd) && !weakened("sources")) {
        (void)err_set(e, -EPERM, "%s lies in the state directory %s, or holds it", path, app->state_dir);
        return err_hint(e, "a data directory is one service's: keep elsewhere what others read");
    }
    *ret_fd = fd_take(&fd);
    return 0;
}

/* may_exec: its code may be executed (mapped). */
static int add_file(const struct app *app, struct spawn_mounts *mounts, const char *from, const char *to, bool may_exec,
                    struct err *e)
{
    FD_AUTO int fd = -1;
    struct stat status;
    int result = open_source(app, from, &fd, &status, e);
    if (result < 0)
        return result;
    int *mount_fd = mounts_add(mounts, to, S_ISDIR(status.st_mode), false, e);
    if (!mount_fd)
        return -E2BIG;
    if (app->is_plain) {
        *mount_fd = fd_take(&fd);
        return 0;
    }
    result = rootfs_file_mount(fd, may_exec, mount_fd, e);
    return result < 0 ? err_prefix(e, "mount of %s", from) : 0;
}

static int add_data(const struct app *app, struct spawn_mounts *mounts, const char *name, uint32_t host_id,
                    struct err *e)
{
    char to[NAME_BYTES + 1];
    (void)snprintf(to, sizeof to, "/%s", name);
    if (mkdirat(app->state_fd, name, 0700) < 0 && errno != EEXIST)
        return err_sys(e, -errno, "mkdir %s/%s", app->state_dir, name);
    FD_AUTO int fd =
        openat(app->state_fd, name, O_RDONLY | O_DIRECTORY | (weakened("nofollow") ? 0 : O_NOFOLLOW) | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return err_sys(e, -errno, "open %s/%s", app->state_dir, name);
    if (status.st_uid != geteuid() || (status.st_mode & 077)) {
        const char *owner = app->is_plain ? "who starts it" : "root";
        (void)err_set(e, -EPERM, "%s/%s must belong to %s with mode 0700", app->state_dir, name, owner);
        return err_hint(e, "it holds data of one service only: chown %s, chmod 0700", app->is_plain ? "it" : owner);
    }
    int *mount_fd = mounts_add(mounts, to, true, true, e);
    if (!mount_fd)
        return -E2BIG;
    if (app->is_plain) {
        *mount_fd = fd_take(&fd);
        return 0;
    }
    int result = rootfs_data_mount(fd, host_id, mount_fd, e);
    return result < 0 ? err_prefix(e, "mount of %s/%s", app->state_dir, name) : 0;
}

static int add_device(struct spawn_mounts *mounts, const char *path, struct err *e)
{
    FD_AUTO int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int *mount_fd = mounts_add(mounts, path, false, false, e);
    if (fd < 0)
        return err_sys(e, -errno, "open %s", path);
    if (!mount_fd)
        return -E2BIG;
    mounts->mounts[mounts->count - 1].is_device = 1;
    int result = rootfs_device_mount(fd, mount_fd, e);
    return result < 0 ? err_prefix(e, "mount of %s", path) : 0;
}

/* Lies below a path that is mounted itself. */
static bool is_covered(const struct manifest *manifest, const struct manifest_service *named, const char *path)
{
    const struct manifest_mount *list = manifest_mounts(manifest) + named->mounts_first;
    for (uint32_t i = 0; i < named->mounts_count; i++)
        if (list[i].kind == MOUNT_PATH && rule_path_below(path, manifest_text(manifest, list[i].path)))
            return true;
    return false;
}

/* Program, paths and libraries of a process, each at its own path, and a few devices. */
static int add_process(const struct app *app, const struct manifest_service *named, struct spawn_mounts *mounts,
                       struct err *e)
{
    static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
    const struct manifest *manifest = app->plan->manifest;
    const struct manifest_mount *list = manifest_mounts(manifest) + named->mounts_first;
    const char *exec = manifest_text(manifest, named->exec);
    int result = is_covered(manifest, named, exec) ? 0 : add_file(app, mounts, exec, exec, true, e);
    for (uint32_t i = 0; result == 0 && i < named->mounts_count; i++) {
        const char *path = manifest_text(manifest, list[i].path);
        if (list[i].kind == MOUNT_PATH || !is_covered(manifest, named, path))
            result = add_file(app, mounts, path, path, true, e);
    }
    for (size_t i = 0; result == 0 && i < ARRAY_COUNT(devices); i++)
        result = add_device(mounts, devices[i], e);
    return result;
}

static int make_mounts(const struct app *app, const struct plan_service *service, struct spawn_mounts *mounts,
                       struct err *e)
{
    const struct manifest *manifest = app->plan->manifest;
    const struct manifest_service *named = service->manifest;
    char binary[sizeof PLAN_BINARY_DIR + NAME_BYTES];
    (void)snprintf(binary, sizeof binary, "%s/%s", PLAN_BINARY_DIR, named->name);
    int result = named->kind == KIND_PROCESS
                     ? add_process(app, named, mounts, e)
                     : add_file(app, mounts, manifest_text(manifest, named->exec), binary, true, e);
    for (uint32_t i = 0; result == 0 && i < named->files_count; i++) {
        const struct manifest_file *file = &manifest_files(manifest)[named->files_first + i];
        result =
            add_file(app, mounts, manifest_text(manifest, file->from), manifest_text(manifest, file->to), false, e);
    }
    for (uint32_t i = 0; result == 0 && i < named->data_count; i++)
        result = add_data(app, mounts, manifest_data(manifest)[named->data_first + i],
                          service->uid_base + PLAN_SERVICE_UID, e);
    return result;
}

/* ---- setup ---- */

/* Appends bytes to the block, 8-aligned; returns the offset. */
static uint32_t append(char *block, uint32_t *used, const void *bytes, size_t count)
{
    uint32_t at = *used;
    if (count > 0)
        memcpy(block + at, bytes, count);
    *used = (uint32_t)((at + count + 7) & ~(size_t)7);
    return at;
}

/* The words of a process, each with its NUL: its path and arguments, or its environment.  block NULL: only measures. */
static uint32_t process_words(const struct manifest *manifest, const struct manifest_service *named, bool is_env,
                              char *block)
{
    static const char notify[] = "NOTIFY_SOCKET=" ROOTFS_NOTIFY_PATH;
    const struct manifest_word *list = manifest_words(manifest) + named->words_first + (is_env ? named->args_count : 0);
    uint32_t used = 0, count = is_env ? named->env_count : named->args_count;
    const char *first = !is_env ? manifest_text(manifest, named->exec) : named->ready == READY_NOTIFY ? notify : NULL;
    for (uint32_t i = first ? 0 : 1; i <= count; i++) {
        const char *word = i == 0 ? first : manifest_text(manifest, list[i - 1].text);
        uint32_t bytes = (uint32_t)strlen(word) + 1;
        if (block)
            memcpy(block + used, word, bytes);
        used += bytes;
    }
    return used;
}

/* What a setup says of a process beyond what it says of every service.  Its block has room for the words. */
static void put_process(const struct manifest *manifest, const struct manifest_service *named, struct init_setup *setup,
                        uint32_t *used)
{
    setup->flags |= INIT_PROCESS | (named->has_proc ? INIT_PROCESS_PROC : 0) |
                    (named->ready == READY_NOTIFY ? INIT_PROCESS_NOTIFY : 0);
    setup->args_at = *used;
    setup->args_bytes = process_words(manifest, named, false, (char *)setup + *used);
    setup->environment_at = *used + setup->args_bytes;
    setup->environment_bytes = process_words(manifest, named, true, (char *)setup + setup->environment_at);
    *used = (setup->environment_at + setup->environment_bytes + 7) & ~7u;
    const struct manifest_mount *list = manifest_mounts(manifest) + named->mounts_first;
    for (uint32_t i = 0; i < named->mounts_count; i++)
        if (list[i].kind == MOUNT_INTERPRETER)
            (void)snprintf(setup->interpreter, sizeof setup->interpreter, "%s", manifest_text(manifest, list[i].path));
}

static int make_setup(struct app *app, const struct plan_service *service, const struct spawn_mounts *mounts,
                      int *ret_fd, struct err *e)
{
    const struct instance *instance = &app->instances[service->index];
    struct filter *filter = &app->service_filters[service->profile];
    struct filter *init_filter = &app->init_filters[service->manifest->kind];
    FREE_AUTO struct contract *contract = NULL;
    int result = plan_contract(app->plan, service->index, instance->generation, &contract, e);
    /* Compiled when the first service needs them: most lists need two of the six. */
    if (result == 0 && !app->is_plain && filter->count == 0)
        result = filter_service(service->profile, filter, e);
    if (result == 0 && !app->is_plain && init_filter->count == 0)
        result = filter_init(service->manifest->kind, init_filter, e);
    if (result < 0)
        return result;
    if (app->is_plain)
        contract->flags &= ~(uint32_t)CONTRACT_SEALED;
    size_t filter_bytes = filter->count * sizeof filter->instructions[0];
    size_t init_filter_bytes = init_filter->count * sizeof filter->instructions[0];
    const struct manifest *manifest = app->plan->manifest;
    bool is_process = service->manifest->kind == KIND_PROCESS;
    uint32_t words_bytes = 0;
    for (int is_env = 0; is_process && is_env < 2; is_env++)
        words_bytes += process_words(manifest, service->manifest, is_env, NULL);
    size_t room = words_bytes + sizeof(struct init_setup) + service->link_count * sizeof(struct init_wire) +
                  mounts->count * sizeof(struct init_mount) + filter_bytes + init_filter_bytes + contract->total_bytes +
                  64;
    FREE_AUTO char *block = calloc(1, room);
    FREE_AUTO struct init_wire *wires = calloc(service->link_count + 1, sizeof *wires);
    if (!block || !wires)
        return err_set(e, -ENOMEM, "no memory for the setup");
    for (uint32_t i = 0; i < service->link_count; i++) {
        const struct plan_end *end = &app->plan->service_links[service->link_first + i];
        spawn_wire(app, end->link, end->direction, &wires[i]);
    }
    struct init_setup *setup = (void *)block;
    uint32_t used = (sizeof *setup + 7) & ~7u;
    *setup = (struct init_setup){
        .magic = INIT_MAGIC,
        .flags = (service->manifest->accept_missing & MISSING_LANDLOCK ? INIT_ACCEPT_NO_LANDLOCK : 0) | INIT_HAS_ADOPT |
                 (app->is_plain ? INIT_PLAIN : 0) | (app->cgroups.is_v2 ? 0 : INIT_UNSHARE_CGROUP),
        .uid = PLAN_SERVICE_UID,
        .gid = PLAN_SERVICE_UID,
        .files_max = service->files_max,
        .processes_max = service->pids,
        .file_bytes_max = service->file_bytes,
        .log_bytes_max = LOG_BYTES_MAX,
        .ring_entries = service->ring_entries,
        .watchdog_ms = service->watchdog_ms,
        .wire_count = service->link_count,
        .mount_count = mounts->count,
        .ingress_count = service->manifest->ingress_count,
        .service_filter_bytes = (uint32_t)filter_bytes,
        .init_filter_bytes = (uint32_t)init_filter_bytes,
        .contract_bytes = contract->total_bytes,
    };
    memcpy(setup->hostname, service->manifest->name, NAME_BYTES);
    setup->wires_at = append(block, &used, wires, service->link_count * sizeof *wires);
    setup->mounts_at = append(block, &used, mounts->mounts, mounts->count * sizeof mounts->mounts[0]);
    setup->service_filter_at = append(block, &used, filter->instructions, filter_bytes);
    setup->init_filter_at = append(block, &used, init_filter->instructions, init_filter_bytes);
    if (is_process)
        put_process(manifest, service->manifest, setup, &used);
    setup->contract_at = append(block, &used, contract, contract->total_bytes);
    setup->total_bytes = used;

    FD_AUTO int fd = memfd_create("setup", MFD_CLOEXEC);
    if (fd < 0 || write(fd, block, used) != (ssize_t)used)
        return err_sys(e, -errno, "write the setup");
    *ret_fd = fd_take(&fd);
    return 0;
}

static int send_setup(const struct app *app, const struct plan_service *service, const struct spawn_mounts *mounts,
                      int setup_fd, struct err *e)
{
    const struct instance *instance = &app->instances[service->index];
    FD_AUTO int adopt_fd = -1;
    int result = adopt_listen(app, service->manifest->name, &adopt_fd, e);
    if (result < 0)
        return result;
    int fds[INIT_FDS_MAX] = {
        [INIT_FD_SETUP] = setup_fd,
        [INIT_FD_HOSTD] = app->hostd_pidfd,
        [INIT_FD_LOG_A] = instance->log_fd[0],
        [INIT_FD_LOG_B] = instance->log_fd[1],
        [INIT_FD_STATUS] = instance->status_fd,
    };
    size_t count = INIT_FD_FIRST;
    for (uint32_t i = 0; i < mounts->count; i++)
        fds[count++] = mounts->fds[i];
    for (uint32_t i = 0; i < service->manifest->ingress_count; i++)
        fds[count++] = app->ingress_fds[service->manifest->ingress_first + i];
    fds[count++] = adopt_fd;

    struct init_message message = {.kind = INIT_SETUP};
    struct iovec data = {.iov_base = &message, .iov_len = sizeof message};
    union {
        char bytes[CMSG_SPACE(sizeof fds)];
        struct cmsghdr align;
    } control = {0};
    struct msghdr header = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
    if (sendmsg(instance->stage_fd, &header, MSG_NOSIGNAL) != (ssize_t)sizeof message)
        return err_sys(e, -errno, "send the setup");
    return 0;
}

/* ---- all of it ---- */

static int start_process(struct app *app, uint32_t index, enum init_stage *stage, struct err *e)
{
    const struct plan_service *service = &app->plan->services[index];
    struct instance *instance = &app->instances[index];
    const char *name = service->manifest->name;
    const struct cgroup_limits limits = {.memory_bytes = service->memory_bytes,
                                         .pids = service->pids,
                                         .cpu_percent = service->cpu_percent,
                                         .accept_missing = app->is_plain ? ~0u : service->manifest->accept_missing};
    FD_AUTO int cgroup_fd = -1;
    int task_fds[CGROUP_CONTROLLER_COUNT];
    *stage = STAGE_CGROUP;
    int result = cgroup_make(&app->cgroups, app->name, name, &limits, e);
    if (result == 0)
        result = cgroup_open(&app->cgroups, app->name, name, &cgroup_fd, e);
    if (result < 0)
        return result;
    instance->oom_kills = cgroup_oom_kills(&app->cgroups, app->name, name); /* of earlier runs in the same group */

    *stage = STAGE_CLONE;
    result = rundir_open_logs(app, index, e);
    if (result < 0)
        return result;
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return err_sys(e, -errno, "socketpair");
    instance->stage_fd = sockets[0];
    FD_AUTO int child_stage_fd = sockets[1];
    *stage = STAGE_CGROUP;
    result = cgroup_open_tasks(&app->cgroups, app->name, name, limits.cpu_percent > 0, task_fds, e);
    if (result < 0)
        return result;
    *stage = STAGE_CLONE;
    result = clone_in(app, instance, cgroup_fd, task_fds, child_stage_fd, e);
    for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
        fd_close(&task_fds[i]);
    if (result < 0)
        return result;

    *stage = STAGE_IDMAP;
    result = app->is_plain ? 0 : write_id_map(instance->init_pid, "uid_map", service->uid_base, e);
    if (result == 0 && !app->is_plain)
        result = write_id_map(instance->init_pid, "gid_map", service->uid_base, e);
    if (result == 0 && write(instance->stage_fd, "", 1) != 1)
        result = err_sys(e, -errno, "tell the child that its ids are mapped");
    return result;
}

/* A child that could not go on has said why, and is the reason that we could not. */
static int spawn_failed(struct app *app, uint32_t index, enum init_stage *ret_stage, struct err *e)
{
    struct instance *instance = &app->instances[index];
    struct init_message message;
    if (instance->stage_fd >= 0 &&
        recv(instance->stage_fd, &message, sizeof message, MSG_DONTWAIT) == (ssize_t)sizeof message &&
        message.kind == INIT_STAGE && message.error.code) {
        *ret_stage = message.stage;
        *e = message.error;
    }
    instance_done(app, index);
    return e->code;
}

int spawn_process(struct app *app, uint32_t index, enum init_stage *ret_stage, struct err *e)
{
    struct instance *instance = &app->instances[index];
    instance->has_status = false;
    instance->is_listening = false;
    instance->service_pid = 0;
    instance->error = (struct err){0};
    instance->failed_stage = STAGE_NONE;
    return start_process(app, index, ret_stage, e) < 0 ? spawn_failed(app, index, ret_stage, e) : 0;
}

int spawn_setup(struct app *app, uint32_t index, enum init_stage *ret_stage, struct err *e)
{
    const struct plan_service *service = &app->plan->services[index];
    struct instance *instance = &app->instances[index];
    struct spawn_mounts mounts = {.count = 0};
    FD_AUTO int setup_fd = -1;
    *ret_stage = STAGE_MOUNTS;
    int result = make_mounts(app, service, &mounts, e);
    if (result == 0) {
        *ret_stage = STAGE_SETUP;
        result = make_setup(app, service, &mounts, &setup_fd, e);
    }
    if (result == 0)
        result = send_setup(app, service, &mounts, setup_fd, e);
    mounts_close(&mounts);
    if (result < 0)
        return spawn_failed(app, index, ret_stage, e);
    /* PID 1 has duplicates. */
    fd_close(&instance->log_fd[0]);
    fd_close(&instance->log_fd[1]);
    fd_close(&instance->status_fd);
    instance->started_at_ms = clock_ms();
    return 0;
}

void instance_done(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    if (instance->pidfd >= 0) {
        siginfo_t info;
        (void)syscall(SYS_pidfd_send_signal, instance->pidfd, SIGKILL, NULL, 0); /* gone already: ESRCH, as wanted */
        while (waitid(P_PIDFD, (id_t)instance->pidfd, &info, WEXITED) < 0 && errno == EINTR)
            ;
        (void)process_wait(instance->pidfd, END_MS_MAX); /* of one that was adopted: nobody's child here (ECHILD) */
    }
    /* Plain mode: no pid namespace went with its PID 1; killed by its death signal, the service is our child now. */
    if (app->is_plain && instance->service_pid > 0)
        (void)waitpid(instance->service_pid, NULL, 0); /* ECHILD: its parent has reaped it */
    for (uint32_t i = 0; i < app->plan->link_count; i++)
        if (app->plan->links[i].from == index || app->plan->links[i].to == index)
            app->wires[i].is_made = false;
    fd_close(&instance->pidfd);
    fd_close(&instance->stage_fd);
    fd_close(&instance->netns_fd);
    fd_close(&instance->log_fd[0]);
    fd_close(&instance->log_fd[1]);
    fd_close(&instance->status_fd);
    instance->init_pid = 0;
    instance->service_pid = 0;
    instance->mark = (struct process_mark){0};
    instance->is_adopted = false;
}
