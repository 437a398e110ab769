/*
 * seal.c - the child of PID 1, from fork to the service's first instruction.
 *
 * Each step gives something up for good; the order matters:
 *   enable the ring   it can do only what was listed, from now on for everybody
 *   contract          sealed: nobody can change what the service is told about its wires
 *   limits            the hard ones, so they cannot be raised
 *   capabilities      ids, then all sets, no_new_privs; the bounding set went with PID 1's own, before the fork
 *   Landlock          what the mounts allow, once more by path
 *   seccomp           last: nothing above is on its list any more
 *   exec              of the one binary, by descriptor
 *
 * In plain mode (INIT_PLAIN) nothing is given up: ring, contract, descriptors and exec are all there is.
 *
 * A command beside a running service (INIT_EXEC) goes the same way.  As root (INIT_EXEC_ROOT) it leaves out what would
 * take its capabilities and calls away; ring and contract are sealed all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "initsvc/init.h"
#include "rpc/base/compat.h"
#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

#define SCRATCH_FD 100 /* descriptors are parked from here on while 0 to 5 are laid out; also below RLIMIT_NOFILE */

/* ---- contract ---- */

/* Plain mode: where each data directory and file lies, as the kernel names what hostd has opened. */
static int write_paths(const struct init *init, struct contract_path *paths, struct err *e)
{
    const struct init_mount *mounts = (const void *)((const char *)init->setup + init->setup->mounts_at);
    for (uint32_t i = 1; i < init->setup->mount_count; i++, paths++) {
        char link[64];
        memcpy(paths->to, mounts[i].to, INIT_PATH_BYTES);
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", init->fds[mounts[i].fd_index]);
        ssize_t bytes = readlink(link, paths->from, sizeof paths->from);
        if (bytes < 0)
            return err_sys(e, -errno, "find where %s lies", mounts[i].to);
        if ((size_t)bytes == sizeof paths->from)
            return err_set(e, -ENAMETOOLONG, "the path of %s is over %zu bytes", mounts[i].to, sizeof paths->from - 1);
    }
    return 0;
}

static int write_contract(const struct init *init, int *ret_fd, struct err *e)
{
    uint32_t paths_at = (init->setup->contract_bytes + 7) & ~7u;
    uint32_t path_count = init_is_plain(init) ? init->setup->mount_count - 1 : 0; /* without the binary */
    uint32_t bytes = paths_at + path_count * (uint32_t)sizeof(struct contract_path);
    FD_AUTO int fd = memfd_create("contract", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, bytes) < 0)
        return err_sys(e, -errno, "make the contract");
    struct contract *contract = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (contract == MAP_FAILED)
        return err_sys(e, -errno, "map the contract");
    memcpy(contract, init->contract, init->setup->contract_bytes);
    contract->total_bytes = bytes;
    contract->paths_at = paths_at;
    contract->path_count = path_count;
    contract->ring = init->ring_params;
    contract->flags |= CONTRACT_ALARM;
    contract->ring_entries = init->ring_params.sq_entries;
    struct contract_link *links = (void *)((char *)contract + contract->links_at);
    for (size_t i = 0; i < init->link_count; i++) {
        links[i].is_wired = init->links[i].fd >= 0;
        links[i].peer_generation = init->links[i].wire.generation;
    }
    int result = path_count ? write_paths(init, (void *)((char *)contract + paths_at), e) : 0;
    if (result < 0)
        return result;
    (void)munmap(contract, bytes); /* F_SEAL_WRITE is refused while a writable mapping stands, so this did work */
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return err_sys(e, -errno, "seal the contract");
    *ret_fd = fd_take(&fd);
    return 0;
}

/* ---- descriptors ---- */

static int lay_out(const int *sources, int count, int *status_fd, int *exe_fd, int *ruleset_fd, struct err *e)
{
    int parked[CONTRACT_FD_COUNT];
    for (int i = 0; i < count; i++) {
        parked[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, SCRATCH_FD);
        if (parked[i] < 0)
            return err_sys(e, -errno, "park descriptor %d", i);
    }
    int *others[] = {status_fd, exe_fd, ruleset_fd};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        if (*others[i] < 0)
            continue;
        *others[i] = fcntl(*others[i], F_DUPFD_CLOEXEC, SCRATCH_FD);
        if (*others[i] < 0)
            return err_sys(e, -errno, "park a descriptor");
    }
    for (int i = 0; i < count; i++)
        if (dup2(parked[i], i) < 0)
            return err_sys(e, -errno, "place descriptor %d", i);
    /* Everything else ends at exec, whoever opened it and however. */
    if ((weakened("inherit") ? weaken_inherit(count)
                             : syscall(SYS_close_range, (unsigned)count, ~0u, CLOSE_RANGE_CLOEXEC)) < 0)
        return err_sys(e, -errno, "close_range");
    return 0;
}

/* ---- limits ---- */

static int set_limit(int resource, const char *name, uint64_t value, struct err *e)
{
    struct rlimit limit = {value, value};
    if (setrlimit(resource, &limit) < 0)
        return err_sys(e, -errno, "limit %s=%llu", name, (unsigned long long)value);
    return 0;
}

static int set_limits(const struct init *init, struct err *e)
{
    (void)signal(SIGXFSZ, SIG_IGN); /* it hears EFBIG, and need not die of it */
    int result = weakened("core-limit") ? 0 : set_limit(RLIMIT_CORE, "core", 0, e);
    if (result == 0)
        result = set_limit(RLIMIT_NPROC, "nproc", init->setup->processes_max, e);
    if (result == 0 && !weakened("file-size"))
        result = set_limit(RLIMIT_FSIZE, "fsize", init->setup->file_bytes_max, e);
    if (result == 0 && !weakened("memlock-limit"))
        result = set_limit(RLIMIT_MEMLOCK, "memlock", 0, e);
    if (result == 0)
        result = set_limit(RLIMIT_MSGQUEUE, "msgqueue", 0, e);
    if (result == 0 && !weakened("nofile"))
        result = set_limit(RLIMIT_NOFILE, "nofile", init->setup->files_max, e);
    return result;
}

/* ---- capabilities ---- */

int seal_bounding_set(struct err *e)
{
    if (weakened("caps"))
        return 0;
    for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0 || cap <= CAP_LAST_CAP || errno != EINVAL; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0) /* in the set still, or unknown: both are a failure of ours */
            return err_sys(e, -errno, "drop capability %d from the bounding set", cap);
    return 0;
}

int seal_drop_all(uint32_t real_uid, uint32_t uid, uint32_t gid, struct err *e)
{
    if (weakened("caps"))
        return 0;
    /* From here no exec and no change of ids gives or keeps a capability. */
    unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
                         SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0)
        return err_sys(e, -errno, "lock the secure bits");
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(real_uid, uid, uid) < 0)
        return err_sys(e, -errno, "take user id %u, group id %u", uid, gid);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    if (syscall(SYS_capset, &header, none) < 0)
        return err_sys(e, -errno, "drop all capabilities");
    if (!weakened("no-new-privs") && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(e, -errno, "no_new_privs");
    return 0;
}

/* ---- Landlock ---- */

#define LANDLOCK_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define LANDLOCK_WRITE                                                                                                 \
    (LANDLOCK_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |  \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG)
#define LANDLOCK_FS_ALL_ABI2 ((LANDLOCK_ACCESS_FS_REFER << 1) - 1)

#define LANDLOCK_RUN (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE)

static int allow_fd(int ruleset_fd, int fd, const char *name, uint64_t access, struct err *e)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return err_sys(e, -errno, "Landlock rule for %s", name);
    return 0;
}

int seal_allow_below(int ruleset_fd, const char *path, uint64_t access, bool is_directory, struct err *e)
{
    FD_AUTO int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, -errno, "open %s", path);
    if (!is_directory)
        access &= ~(uint64_t)(LANDLOCK_ACCESS_FS_READ_DIR);
    return allow_fd(ruleset_fd, fd, path, access, e);
}

/* ret_fd: -1 when the kernel has no Landlock and the TOML accepts that. */
static int make_ruleset(const struct init *init, int *ret_fd, struct err *e)
{
    if (init_is_plain(init))
        return 0;
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 2) {
        if (init->setup->flags & INIT_ACCEPT_NO_LANDLOCK)
            return 0;
        (void)err_set(e, -EOPNOTSUPP, "this kernel has no Landlock of ABI 2 or newer");
        return err_hint(e, "enable it (lsm=landlock,...), or write accept_missing = [\"landlock\"] in the TOML");
    }
    struct compat_landlock_ruleset attr = {.handled_access_fs = LANDLOCK_FS_ALL_ABI2};
    if (abi >= 3)
        attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
    if (abi >= 5)
        attr.handled_access_fs |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
    if (abi >= 4)
        attr.handled_access_net = LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP;
    if (abi >= 6)
        attr.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
    size_t bytes = abi >= 6 ? sizeof attr : abi >= 4 ? 2 * sizeof(__u64) : sizeof(__u64);
    FD_AUTO int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, bytes, 0);
    if (fd < 0)
        return err_sys(e, -errno, "make a Landlock ruleset");

    const struct init_mount *mounts = (const void *)((const char *)init->setup + init->setup->mounts_at);
    const bool is_process_like = init_is_process(init) || exec_is_on(init, INIT_EXEC_TOOLS);
    int result = is_process_like ? process_rules(init, fd, attr.handled_access_fs, attr.handled_access_net, e) : 0;
    for (uint32_t i = 0; result == 0 && !is_process_like && i < init->setup->mount_count; i++) {
        uint64_t access = LANDLOCK_READ;
        if (i == 0)
            access = LANDLOCK_RUN;
        else if (mounts[i].is_writable)
            access = LANDLOCK_WRITE | LANDLOCK_ACCESS_FS_TRUNCATE;
        result = seal_allow_below(fd, mounts[i].to, access & attr.handled_access_fs, mounts[i].is_directory, e);
    }
    /* The program of a command is none of the root's. */
    if (result == 0 && exec_is_on(init, INIT_EXEC))
        result = allow_fd(fd, init->exe_fd, "the command", LANDLOCK_RUN, e);
    if (result == 0)
        *ret_fd = fd_take(&fd);
    return result;
}

/* ---- seccomp ---- */

int seal_filter(const void *instructions, uint32_t bytes, struct err *e)
{
    struct sock_fprog program = {
        .len = (unsigned short)(bytes / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(uintptr_t)instructions,
    };
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        return err_sys(e, -errno, "install the system call filter");
    return 0;
}

/* ---- the child ---- */

static _Noreturn void give_up(int status_fd, enum init_stage stage, const struct err *e)
{
    struct init_message message = {.kind = INIT_STAGE, .stage = stage, .error = *e};
    (void)!write(status_fd, &message, sizeof message); /* below PIPE_BUF; PID 1 reads it, or is gone */
    _exit(1);
}

/* The strings of a block of the setup, as execve takes them.  Not written to: the setup is mapped read-only. */
static void list_strings(const struct init_setup *setup, uint32_t at, uint32_t bytes, char *list[], size_t count_max)
{
    char *text = (char *)(uintptr_t)setup + at, *end = text + bytes;
    size_t count = 0;
    for (char *next; text < end && count < count_max && (next = memchr(text, '\0', (size_t)(end - text)));
         text = next + 1)
        list[count++] = text;
    list[count] = NULL;
}

/* Plain mode, or a command: no pid namespace ends it with us; a death signal does, which a change of ids clears. */
static void follow_parent(const struct init *init, int status_fd)
{
    struct err e = {0};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) {
        (void)err_sys(&e, -errno, "set the death signal");
        give_up(status_fd, STAGE_PARENT, &e);
    }
    if (getppid() != init->own_pid)
        _exit(1); /* it died before that line */
}

/* From here the process can do nothing that its service was not given. */
static void confine(const struct init *init, int ruleset_fd, int status_fd)
{
    const struct init_setup *setup = init->setup;
    struct err e = {0};
    if (set_limits(init, &e) < 0)
        give_up(status_fd, STAGE_LIMITS, &e);
    if (seal_drop_all(setup->uid, setup->uid, setup->gid, &e) < 0)
        give_up(status_fd, STAGE_CAPS, &e);
    if (exec_is_on(init, INIT_EXEC))
        follow_parent(init, status_fd);
    if (ruleset_fd >= 0 && !weakened("landlock") && syscall(SYS_landlock_restrict_self, ruleset_fd, 0) < 0) {
        (void)err_sys(&e, -errno, "landlock_restrict_self");
        give_up(status_fd, STAGE_LANDLOCK, &e);
    }
    if (!weakened("seccomp") &&
        seal_filter((const char *)setup + setup->service_filter_at, setup->service_filter_bytes, &e) < 0)
        give_up(status_fd, STAGE_SECCOMP, &e);
}

_Noreturn void seal_and_exec(struct init *init, const struct child_fds *fds)
{
    const struct init_setup *setup = init->setup;
    const bool is_root = exec_is_on(init, INIT_EXEC_ROOT),
               has_ring = !exec_is_on(init, INIT_EXEC_NO_RING | INIT_PROCESS);
    struct err e = {0};
    int status_fd = fds->status_fd;
    int exe_fd = init->exe_fd;
    int ruleset_fd = -1;
    int contract_fd = -1;

    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none,
                      NULL); /* PID 1 blocks signals for its signalfd; the service must not inherit that */

    if (has_ring && ring_enable(init->ring_fd, &e) < 0)
        give_up(status_fd, STAGE_RING, &e);
    if (has_ring && write_contract(init, &contract_fd, &e) < 0)
        give_up(status_fd, STAGE_CONTRACT, &e);
    if (!is_root && make_ruleset(init, &ruleset_fd, &e) < 0)
        give_up(status_fd, STAGE_LANDLOCK, &e);
    /* Ours is the host's /dev/null; a process gets that of its own root, and cannot write to it. */
    int input_fd = init_is_process(init) && !exec_is_on(init, INIT_EXEC) && !weakened("terminal")
                       ? open("/dev/null", O_RDONLY | O_CLOEXEC)
                       : STDIN_FILENO;
    if (input_fd < 0) {
        (void)err_sys(&e, -errno, "open /dev/null");
        give_up(status_fd, STAGE_LIMITS, &e);
    }
    const int sources[CONTRACT_FD_COUNT] = {
        [CONTRACT_FD] = has_ring ? contract_fd : input_fd,
        [CONTRACT_STDOUT_FD] = fds->stdout_fd,
        [CONTRACT_STDERR_FD] = fds->stderr_fd,
        [CONTRACT_RING_FD] = init->ring_fd,
        [CONTRACT_EVENT_FD] = fds->event_fd,
        [CONTRACT_NOTE_FD] = fds->note_write_fd,
    };
    if (lay_out(sources, has_ring ? CONTRACT_FD_COUNT : CONTRACT_RING_FD, &status_fd, &exe_fd, &ruleset_fd, &e) < 0)
        give_up(status_fd, STAGE_LIMITS, &e);
    if (init_is_plain(init) || is_root)
        follow_parent(init, status_fd);
    else
        confine(init, ruleset_fd, status_fd);

    char name[NAME_BYTES];
    memcpy(name, init->contract->service, sizeof name);
    char *argv[INIT_EXEC_ARGS_MAX + 1] = {name, NULL}, *envp[INIT_EXEC_ARGS_MAX + 1] = {NULL};
    if (setup->args_bytes)
        list_strings(setup, setup->args_at, setup->args_bytes, argv, INIT_EXEC_ARGS_MAX);
    list_strings(setup, setup->environment_at, setup->environment_bytes, envp, INIT_EXEC_ARGS_MAX);
    weaken_pass_on(envp, INIT_EXEC_ARGS_MAX);
    (void)syscall(SYS_execveat, exe_fd, "", argv, envp, AT_EMPTY_PATH);
    (void)err_sys(&e, -errno, "exec %s", argv[0]);
    give_up(status_fd, STAGE_EXEC, &e);
}
