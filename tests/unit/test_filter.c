/*
 * test_filter.c - the compiled filters do what the tables say.
 *
 * A small interpreter runs the BPF for every system call number, with arguments of our choice: nothing is really
 * called. Then a child installs each filter and tries a few calls in the kernel, so that the interpreter cannot be
 * wrong alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostd/filter.h"

#define CALLS_END 470 /* behind the last number of 6.18 */
#define X32_BIT 0x40000000u
#define DENIED (SECCOMP_RET_ERRNO | EPERM)
#define MISSING (SECCOMP_RET_ERRNO | ENOSYS)
#define PTHREAD_FLAGS 0x3d0f00ull

/* Runs a filter over one call.  Only the instructions that libseccomp makes. */
static uint32_t run(const struct filter *filter, const struct seccomp_data *data)
{
    uint32_t a = 0;
    for (uint32_t at = 0; at < filter->count; at++) {
        const struct sock_filter *i = &filter->instructions[at];
        bool is_true;
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(i->k % 4 == 0 && i->k < sizeof *data);
            memcpy(&a, (const char *)data + i->k, sizeof a);
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            continue;
        case BPF_JMP | BPF_JA:
            at += i->k;
            continue;
        case BPF_RET | BPF_K:
            return i->k;
        case BPF_JMP | BPF_JEQ | BPF_K:
            is_true = a == i->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            is_true = a >= i->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            is_true = a > i->k;
            break;
        default:
            fail_msg("instruction %u has the unknown code 0x%x", at, i->code);
            return 0;
        }
        at += is_true ? i->jt : i->jf;
    }
    fail_msg("the filter has no end");
    return 0;
}

static uint32_t call(const struct filter *filter, int number, const uint64_t args[6])
{
    static const uint64_t none[6];
    struct seccomp_data data = {
        .nr = number, .arch = seccomp_arch_native() == SCMP_ARCH_X86_64 ? AUDIT_ARCH_X86_64 : AUDIT_ARCH_AARCH64};
    memcpy(data.args, args ? args : none, sizeof data.args);
    return run(filter, &data);
}

#define ALLOWED(filter, name, ...)                                                                                     \
    assert_int_equal(call(filter, SCMP_SYS(name), (const uint64_t[6]){__VA_ARGS__}), SECCOMP_RET_ALLOW)
#define REFUSED(filter, name, ...)                                                                                     \
    assert_int_equal(call(filter, SCMP_SYS(name), (const uint64_t[6]){__VA_ARGS__}), DENIED)

static void compile(enum plan_profile profile, struct filter *filter)
{
    struct err e = {0};
    if (filter_service(profile, filter, &e) < 0)
        fail_msg("%s", e.text);
}

/* Arguments with which a call of the tables is allowed; calls that are not here need none. */
static const uint64_t *good_args(const char *name)
{
    static const struct {
        const char *name;
        uint64_t args[6];
    } table[] = {
        {"io_uring_register", {3, IORING_REGISTER_FILES_UPDATE}},
        {"execveat", {5, 0, 0, 0, AT_EMPTY_PATH}},
        {"fcntl", {3, F_SETLK}},
        {"clone", {PTHREAD_FLAGS}},
        {"socket", {AF_INET, SOCK_STREAM | SOCK_CLOEXEC}},
        {"prctl", {PR_SET_PDEATHSIG, 0}},
        {"kill", {2, SIGTERM}},
        {"ioctl", {3, FIONBIO}},
        {"socketpair", {AF_UNIX}},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].args;
    return NULL;
}

static const char *init_name(size_t i)
{
    return filter_init_name(KIND_SEALED, i);
}

/* Every number: allowed exactly when the table names it, with arguments that the table wants. */
static void compare_with_names(const struct filter *filter, const char *(*name_at)(size_t), size_t count_max)
{
    static const uint64_t set_flags[6] = {3, F_SETFL};
    size_t allowed = 0, named = 0;
    while (name_at(named))
        named++;
    assert_true(named <= count_max);
    for (int number = 0; number < CALLS_END; number++) {
        char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
        bool is_named = false;
        for (size_t i = 0; name && i < named; i++)
            is_named |= strcmp(name_at(i), name) == 0;
        const uint64_t *args = name ? good_args(name) : NULL;
        if (is_named && strcmp(name, "fcntl") == 0 && name_at == init_name)
            args = set_flags;
        uint32_t result = call(filter, number, args);
        uint32_t expected = is_named ? SECCOMP_RET_ALLOW : number == SCMP_SYS(clone3) ? MISSING : DENIED;
        if (result != expected)
            fail_msg("%d (%s): 0x%x instead of 0x%x", number, name ? name : "?", result, expected);
        allowed += result == SECCOMP_RET_ALLOW;
        free(name);
    }
    assert_int_equal(allowed, named);
}

static const char *bare_name(size_t i)
{
    return filter_service_name(PROFILE_BARE, i);
}
static const char *files_name(size_t i)
{
    return filter_service_name(PROFILE_FILES, i);
}
static const char *data_name(size_t i)
{
    return filter_service_name(PROFILE_DATA, i);
}
static const char *init_process_name(size_t i)
{
    return filter_init_name(KIND_PROCESS, i);
}
static const char *process_name(size_t i)
{
    return filter_service_name(PROFILE_PROCESS, i);
}

static void every_number_is_as_the_table_says(void **state)
{
    struct filter filter;
    struct err e;
    compile(PROFILE_BARE, &filter);
    compare_with_names(&filter, bare_name, 12);
    compile(PROFILE_FILES, &filter);
    compare_with_names(&filter, files_name, 20);
    compile(PROFILE_DATA, &filter);
    compare_with_names(&filter, data_name, 30);
    compile(PROFILE_PROCESS, &filter);
    compare_with_names(&filter, process_name, 215);
    assert_int_equal(filter_init(KIND_SEALED, &filter, &e), 0);
    compare_with_names(&filter, init_name, 29);
    assert_int_equal(filter_init(KIND_PROCESS, &filter, &e), 0);
    compare_with_names(&filter, init_process_name, 22);
}

static void tools_are_a_process_and_execve(void **state)
{
    struct filter tools, process;
    struct err e;
    compile(PROFILE_PROCESS, &process);
    assert_int_equal(filter_tools(&tools, &e), 0);
    static const uint64_t tried[][6] = {{0}, {1, 1, 1, 1, 1, 1}, {2, 1}, {UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    for (int number = 0; number < CALLS_END; number++)
        for (size_t i = 0; i < sizeof tried / sizeof tried[0]; i++)
            assert_int_equal(call(&tools, number, tried[i]),
                             number == SCMP_SYS(execve) ? SECCOMP_RET_ALLOW : call(&process, number, tried[i]));
}

static void bare_is_exactly_twelve_calls(void **state)
{
    static const char *const names[] = {
        "io_uring_enter", "io_uring_register", "read",       "write",      "close",    "brk",
        "mmap",           "mprotect",          "arch_prctl", "exit_group", "execveat", "getrandom"};
    for (size_t i = 0; i < 12; i++) {
        bool is_there = false;
        for (size_t k = 0; bare_name(k); k++)
            is_there |= strcmp(bare_name(k), names[i]) == 0;
        assert_true(is_there);
    }
    assert_null(bare_name(12));
}

static void no_memory_becomes_executable(void **state)
{
    struct filter filter;
    for (enum plan_profile profile = 0; profile < PROFILE_PROCESS; profile++) {
        compile(profile, &filter);
        ALLOWED(&filter, mmap, 0, 4096, PROT_READ | PROT_WRITE);
        ALLOWED(&filter, mprotect, 0, 4096, PROT_READ);
        REFUSED(&filter, mmap, 0, 4096, PROT_READ | PROT_EXEC);
        REFUSED(&filter, mprotect, 0, 4096, PROT_EXEC);
        REFUSED(&filter, mprotect, 0, 4096, PROT_READ | 1ull << 32); /* the kernel would ignore the high bits */
        REFUSED(&filter, memfd_create, 0);
        REFUSED(&filter, pkey_mprotect, 0, 4096, PROT_READ);
    }
}

static void no_ring_no_socket_no_program(void **state)
{
    struct filter filter;
    for (enum plan_profile profile = 0; profile < PROFILE_PROCESS; profile++) {
        compile(profile, &filter);
        for (uint64_t opcode = 0; opcode < 64; opcode++)
            if (opcode != IORING_REGISTER_FILES_UPDATE)
                REFUSED(&filter, io_uring_register, 3, opcode);
        REFUSED(&filter, io_uring_register, 3, IORING_REGISTER_FILES_UPDATE | 1ull << 31);
        REFUSED(&filter, io_uring_register, 3, IORING_REGISTER_FILES_UPDATE | 1ull << 32);
        REFUSED(&filter, io_uring_setup, 8);
        REFUSED(&filter, socket, AF_INET, SOCK_STREAM);
        REFUSED(&filter, socketpair, AF_UNIX, SOCK_STREAM);
        REFUSED(&filter, execve, 0);
        REFUSED(&filter, execveat, 5, 0, 0, 0, 0);
        REFUSED(&filter, execveat, 5, 0, 0, 0, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
        REFUSED(&filter, kill, 1, 9);
        REFUSED(&filter, ptrace, 0);
        REFUSED(&filter, fork, 0);
        REFUSED(&filter, vfork, 0);
    }
}

static void a_thread_is_the_only_child(void **state)
{
    struct filter filter;
    compile(PROFILE_DATA, &filter);
    ALLOWED(&filter, clone, PTHREAD_FLAGS);
    assert_int_equal(call(&filter, SCMP_SYS(clone3), NULL), MISSING);
    for (unsigned bit = 0; bit < 64; bit++)
        REFUSED(&filter, clone, PTHREAD_FLAGS ^ 1ull << bit);
    REFUSED(&filter, clone, CLONE_NEWUSER | 17);
    REFUSED(&filter, unshare, CLONE_NEWUSER);
    REFUSED(&filter, setns, 3);
    compile(PROFILE_FILES, &filter);
    REFUSED(&filter, clone, PTHREAD_FLAGS);
}

static void files_are_opened_for_reading_only(void **state)
{
    struct filter filter;
    compile(PROFILE_FILES, &filter);
    ALLOWED(&filter, openat, (uint64_t)AT_FDCWD, 0, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    REFUSED(&filter, openat, (uint64_t)AT_FDCWD, 0, O_WRONLY);
    REFUSED(&filter, openat, (uint64_t)AT_FDCWD, 0, O_RDWR);
    REFUSED(&filter, openat, (uint64_t)AT_FDCWD, 0, O_CREAT);
    REFUSED(&filter, openat, (uint64_t)AT_FDCWD, 0, O_TMPFILE);
    REFUSED(&filter, openat, (uint64_t)AT_FDCWD, 0, O_PATH);
    REFUSED(&filter, openat, (uint64_t)AT_FDCWD, 0, O_RDONLY | 1ull << 40);
    REFUSED(&filter, openat2, (uint64_t)AT_FDCWD, 0);
    REFUSED(&filter, open, 0);
    compile(PROFILE_DATA, &filter);
    ALLOWED(&filter, openat, (uint64_t)AT_FDCWD, 0, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC);
    REFUSED(&filter, openat, (uint64_t)AT_FDCWD, 0, O_RDWR | __O_TMPFILE);
    ALLOWED(&filter, fcntl, 3, F_SETLK);
    ALLOWED(&filter, fcntl, 3, F_GETLK);
    REFUSED(&filter, fcntl, 3, F_SETOWN);
    REFUSED(&filter, fcntl, 3, F_DUPFD);
}

static void init_makes_no_sockets_but_ipv4_streams(void **state)
{
    struct filter filter;
    struct err e;
    assert_int_equal(filter_init(KIND_SEALED, &filter, &e), 0);
    ALLOWED(&filter, socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 6);
    REFUSED(&filter, socket, AF_INET, SOCK_DGRAM);
    REFUSED(&filter, socket, AF_INET, SOCK_RAW);
    REFUSED(&filter, socket, AF_UNIX, SOCK_STREAM);
    REFUSED(&filter, socket, AF_INET6, SOCK_STREAM);
    REFUSED(&filter, socket, AF_NETLINK, SOCK_RAW);
    REFUSED(&filter, socket, AF_PACKET, SOCK_RAW);
    REFUSED(&filter, socket, AF_INET | 1ull << 32, SOCK_STREAM);
    ALLOWED(&filter, prctl, PR_SET_PDEATHSIG, 0);
    REFUSED(&filter, prctl, PR_SET_PDEATHSIG, 9);
    REFUSED(&filter, prctl, PR_SET_DUMPABLE, 1);
    REFUSED(&filter, execveat, 5, 0, 0, 0, AT_EMPTY_PATH);
    REFUSED(&filter, openat, 0);
    REFUSED(&filter, mount, 0);
    REFUSED(&filter, setns, 0);
    REFUSED(&filter, io_uring_setup, 0);
    REFUSED(&filter, kill, 2, SIGTERM);
}

/* A process makes its sockets itself; it is asked to end by SIGTERM, and by nothing else. */
static void init_of_a_process_makes_none(void **state)
{
    struct filter filter;
    struct err e;
    assert_int_equal(filter_init(KIND_PROCESS, &filter, &e), 0);
    REFUSED(&filter, socket, AF_INET, SOCK_STREAM, 0);
    REFUSED(&filter, connect, 3);
    REFUSED(&filter, bind, 3);
    REFUSED(&filter, io_uring_enter, 3);
    ALLOWED(&filter, kill, 2, SIGTERM);
    REFUSED(&filter, kill, 2, SIGKILL);
    REFUSED(&filter, openat, 0);
    REFUSED(&filter, execveat, 5, 0, 0, 0, AT_EMPTY_PATH);
}

/* Whatever a process service may do besides, none of this. */
static void a_process_is_no_more_than_a_process(void **state)
{
    static const int never[] = {SCMP_SYS(mount),
                                SCMP_SYS(umount2),
                                SCMP_SYS(pivot_root),
                                SCMP_SYS(chroot),
                                SCMP_SYS(open_tree),
                                SCMP_SYS(move_mount),
                                SCMP_SYS(fsopen),
                                SCMP_SYS(fsmount),
                                SCMP_SYS(fsconfig),
                                SCMP_SYS(fspick),
                                SCMP_SYS(mount_setattr),
                                SCMP_SYS(unshare),
                                SCMP_SYS(setns),
                                SCMP_SYS(ptrace),
                                SCMP_SYS(process_vm_readv),
                                SCMP_SYS(process_vm_writev),
                                SCMP_SYS(pidfd_getfd),
                                SCMP_SYS(kcmp),
                                SCMP_SYS(process_madvise),
                                SCMP_SYS(bpf),
                                SCMP_SYS(perf_event_open),
                                SCMP_SYS(keyctl),
                                SCMP_SYS(add_key),
                                SCMP_SYS(request_key),
                                SCMP_SYS(io_uring_setup),
                                SCMP_SYS(io_uring_enter),
                                SCMP_SYS(io_uring_register),
                                SCMP_SYS(init_module),
                                SCMP_SYS(finit_module),
                                SCMP_SYS(delete_module),
                                SCMP_SYS(kexec_load),
                                SCMP_SYS(kexec_file_load),
                                SCMP_SYS(userfaultfd),
                                SCMP_SYS(reboot),
                                SCMP_SYS(settimeofday),
                                SCMP_SYS(clock_settime),
                                SCMP_SYS(adjtimex),
                                SCMP_SYS(clock_adjtime),
                                SCMP_SYS(execve),
                                SCMP_SYS(personality),
                                SCMP_SYS(memfd_create),
                                SCMP_SYS(memfd_secret),
                                SCMP_SYS(name_to_handle_at),
                                SCMP_SYS(open_by_handle_at),
                                SCMP_SYS(fanotify_init),
                                SCMP_SYS(swapon),
                                SCMP_SYS(quotactl),
                                SCMP_SYS(syslog),
                                SCMP_SYS(acct),
                                SCMP_SYS(sethostname),
                                SCMP_SYS(setdomainname),
                                SCMP_SYS(iopl),
                                SCMP_SYS(ioperm),
                                SCMP_SYS(modify_ldt),
                                SCMP_SYS(seccomp),
                                SCMP_SYS(vhangup),
                                SCMP_SYS(mknod),
                                SCMP_SYS(mknodat),
                                SCMP_SYS(lookup_dcookie),
                                SCMP_SYS(pkey_mprotect),
                                SCMP_SYS(setuid),
                                SCMP_SYS(setgid),
                                SCMP_SYS(setgroups),
                                SCMP_SYS(capset)};
    struct filter filter;
    compile(PROFILE_PROCESS, &filter);
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (never[i] >= 0 && call(&filter, never[i], NULL) != DENIED)
            fail_msg("system call %d is allowed", never[i]);
    REFUSED(&filter, execveat, 5, 0, 0, 0, 0);
    ALLOWED(&filter, clone, SIGCHLD);
    ALLOWED(&filter, clone, PTHREAD_FLAGS);
    for (unsigned bit = 0; bit < 64; bit++)
        if (bit >= 32 || (1ull << bit & (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                         CLONE_NEWPID | CLONE_NEWNET | CLONE_PTRACE | CLONE_PARENT)))
            REFUSED(&filter, clone, SIGCHLD | 1ull << bit);
    ALLOWED(&filter, mmap, 0, 4096, PROT_READ | PROT_EXEC);
    REFUSED(&filter, mmap, 0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    REFUSED(&filter, mprotect, 0, 4096, PROT_WRITE | PROT_EXEC);
    ALLOWED(&filter, setpriority, PRIO_PROCESS, 0, 10);
    REFUSED(&filter, setpriority, PRIO_PROCESS, 1, 10); /* PID 1 */
    REFUSED(&filter, setpriority, PRIO_USER, 0, 10);
    REFUSED(&filter, sched_setaffinity, 1);
    REFUSED(&filter, prctl, PR_SET_SECCOMP);
    REFUSED(&filter, prctl, PR_SET_MM);
    REFUSED(&filter, prctl, PR_SET_SECUREBITS);
    REFUSED(&filter, ioctl, 0, TIOCSTI);
}

static void a_process_has_sockets_of_two_families(void **state)
{
    struct filter filter;
    compile(PROFILE_PROCESS, &filter);
    const uint64_t flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
    ALLOWED(&filter, socket, AF_INET, SOCK_STREAM | flags, 0);
    ALLOWED(&filter, socket, AF_INET, SOCK_STREAM, IPPROTO_TCP);
    ALLOWED(&filter, socket, AF_INET, SOCK_DGRAM, IPPROTO_UDP);
    ALLOWED(&filter, socket, AF_UNIX, SOCK_STREAM | flags, 0);
    ALLOWED(&filter, socketpair, AF_UNIX, SOCK_STREAM);
    REFUSED(&filter, socketpair, AF_INET, SOCK_STREAM);
    REFUSED(&filter, socket, AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
    REFUSED(&filter, socket, AF_INET, SOCK_STREAM, IPPROTO_SCTP);
    REFUSED(&filter, socket, AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    REFUSED(&filter, socket, AF_INET, SOCK_RAW, IPPROTO_ICMP);
    REFUSED(&filter, socket, AF_INET, SOCK_SEQPACKET, 0);
    for (uint64_t family = 0; family < 64; family++) {
        uint32_t expected = family == AF_INET || family == AF_UNIX ? SECCOMP_RET_ALLOW
                            : family == AF_INET6                   ? (SECCOMP_RET_ERRNO | (uint32_t)EAFNOSUPPORT)
                                                                   : DENIED;
        assert_int_equal(call(&filter, SCMP_SYS(socket), (const uint64_t[6]){family, SOCK_STREAM}), expected);
    }
    REFUSED(&filter, socket, AF_INET | 1ull << 32, SOCK_STREAM);
}

static void other_architectures_are_killed(void **state)
{
    struct filter filter;
    struct err e;
    for (int which = 0; which < PROFILE_COUNT + KIND_COUNT + 1; which++) {
        int r = which < PROFILE_COUNT ? filter_service((enum plan_profile)which, &filter, &e)
                : which < PROFILE_COUNT + KIND_COUNT
                    ? filter_init((enum manifest_kind)(which - PROFILE_COUNT), &filter, &e)
                    : filter_parser(&filter, &e);
        assert_int_equal(r, 0);
        struct seccomp_data data = {.nr = 3, .arch = AUDIT_ARCH_I386};
        assert_int_equal(run(&filter, &data), SECCOMP_RET_KILL_PROCESS);
#if defined(__x86_64__)
        data = (struct seccomp_data){.nr = (int)X32_BIT, .arch = AUDIT_ARCH_X86_64}; /* read, the x32 way */
        assert_int_equal(run(&filter, &data), SECCOMP_RET_KILL_PROCESS);
#endif
    }
}

static void a_filter_is_the_same_every_time(void **state)
{
    static struct filter first, second;
    compile(PROFILE_DATA, &first);
    compile(PROFILE_DATA, &second);
    assert_int_equal(first.count, second.count);
    assert_memory_equal(first.instructions, second.instructions, first.count * sizeof first.instructions[0]);
}

/* In a child, under the real filter: raw calls only, then exit_group with the number of the first surprise. */
static void try_in_kernel(const struct filter *filter, enum plan_profile profile)
{
    const struct sock_fprog program = {.len = (unsigned short)filter->count,
                                       .filter = (struct sock_filter *)(uintptr_t)filter->instructions};
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        static const int harmless[] = {SYS_getpid,       SYS_getuid, SYS_uname,       SYS_socket,  SYS_io_uring_setup,
                                       SYS_timer_create, SYS_ioctl,  SYS_bpf,         SYS_unshare, SYS_setns,
                                       SYS_execve,       SYS_ptrace, SYS_userfaultfd, SYS_keyctl,  SYS_memfd_create};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
            _exit(100);
        int surprise = 0;
        for (size_t i = 0; !surprise && i < sizeof harmless / sizeof harmless[0]; i++)
            if (syscall(harmless[i], -1, -1, -1, -1, -1) != -1 || errno != EPERM)
                surprise = (int)i + 1;
        if (!surprise && (syscall(SYS_clone3, 0, 0) != -1 || errno != ENOSYS))
            surprise = 101;
        if (!surprise &&
            (syscall(SYS_mmap, 0, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != -1 || errno != EPERM))
            surprise = 102;
        if (!surprise && syscall(SYS_write, 1, "", 0) != 0)
            surprise = 103;
        if (!surprise && profile == PROFILE_FILES && syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY) < 0)
            surprise = 104;
        syscall(SYS_exit_group, surprise);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_kernel_agrees(void **state)
{
    struct filter filter;
    for (enum plan_profile profile = 0; profile < PROFILE_PROCESS; profile++) {
        compile(profile, &filter);
        try_in_kernel(&filter, profile);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_is_as_the_table_says),
        cmocka_unit_test(bare_is_exactly_twelve_calls),
        cmocka_unit_test(tools_are_a_process_and_execve),
        cmocka_unit_test(no_memory_becomes_executable),
        cmocka_unit_test(no_ring_no_socket_no_program),
        cmocka_unit_test(a_thread_is_the_only_child),
        cmocka_unit_test(files_are_opened_for_reading_only),
        cmocka_unit_test(init_makes_no_sockets_but_ipv4_streams),
        cmocka_unit_test(init_of_a_process_makes_none),
        cmocka_unit_test(a_process_is_no_more_than_a_process),
        cmocka_unit_test(a_process_has_sockets_of_two_families),
        cmocka_unit_test(other_architectures_are_killed),
        cmocka_unit_test(a_filter_is_the_same_every_time),
        cmocka_unit_test(the_kernel_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
