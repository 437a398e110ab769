/*
 * scprobe.c - what a filter, a ring and a root really let through, found out by trying; one line for what passes.
 *
 * Inside a service, by `hostd exec`:
 *   scprobe calls               every system call number
 *   scprobe one WHAT            exit, exit_group (ends with 77 where it passes), i386, x32 (killed)
 *   scprobe ring LAST           every operation below LAST on the sealed ring, and every flag of a submission
 *   scprobe registrations LAST  as root, so without the filter of system calls: every registration of that ring
 *   scprobe paths PATH...       how each path can be opened
 *   scprobe wait                says so, and waits to be killed
 * Outside, as root:
 *   scprobe filter PID          takes the filter that a process is under (ptrace), walks it for the arguments that it
 *                               looks at, and tries every number under that very filter
 *   scprobe rings PID LAST LAST every ring that a process holds, taken from it while it runs: operations and flags,
 * then registrations.  A ring of its own is used up by it: what the process has of it in memory and the kernel no
 * longer agree scprobe seals FILE          what can no longer happen to a memfd scprobe last                "OPERATIONS
 * REGISTRATIONS" of this kernel's rings: what LAST may be
 *
 * A call is tried with arguments that can do no harm (mostly all ones: no descriptor, no memory, no flag).  Inside,
 * "refused" is EPERM, or ENOSYS of clone3.  A call that passes the filter may be refused by the kernel with the same
 * EPERM; `filter` tells them apart, because there the refusals of the filter are turned into an error of our own.  Both
 * print the same lines: where they agree, both are right.
 *
 * A line is NAME, or NAME [ARGUMENT] VALUE VALUE|BITS ... where an argument decides: these values pass, also with any
 * of these bits added.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <liburing.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc/base/contract.h"
#include "rpc/base/own.h"

#define CALLS_END 600     /* numbers tried; 6.18 ends below 470 */
#define VALUES_MAX 65536  /* of the last deciding argument */
#define CONSTANTS_MAX 256 /* that a filter compares an argument with */
#define FILTER_MAX 4096   /* instructions: BPF_MAXINSNS */
#define MARKED 4000       /* added to the errno of a filter's refusals */
#define BLOCKED_MS 3000   /* a call that does not come back has passed; a busy machine is no such call */
#define PASSED_EXIT_CODE 77

/* ---- one attempt ---- */

struct attempt {
    long number;
    long arguments[6];
    bool has_passed;
};

static long do_call(const struct attempt *attempt)
{
    const long *a = attempt->arguments;
#ifdef __x86_64__
    long result;
    register long r10 __asm__("r10") = a[3];
    register long r8 __asm__("r8") = a[4];
    register long r9 __asm__("r9") = a[5];
    /* A child of clone or fork leaves at once, without touching a stack that may be none: exit, else exit_group. */
    __asm__ volatile("syscall\n"
                     "cmpq $1, %[is_child]\n"
                     "jne 1f\n"
                     "testq %%rax, %%rax\n"
                     "jnz 1f\n"
                     "movl $60, %%eax\n"
                     "xorl %%edi, %%edi\n"
                     "syscall\n"
                     "movl $231, %%eax\n"
                     "syscall\n"
                     "1:\n"
                     : "=a"(result)
                     : "0"(attempt->number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9),
                       [is_child] "r"((long)(attempt->number == SYS_clone || attempt->number == SYS_fork ||
                                             attempt->number == SYS_vfork))
                     : "rcx", "r11", "memory");
    return result;
#else
    long result = syscall(attempt->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    return result < 0 ? -errno : result;
#endif
}

static struct attempt attempt_of(long number)
{
    struct attempt attempt = {.number = number, .arguments = {-1, -1, -1, -1, -1, -1}};
    if (number == SYS_clone)
        attempt.arguments[4] = 0; /* thread register: all ones would be the kernel's EPERM */
    return attempt;
}

/* uretprobe and uprobe: newer kernels of x86-64 let these through whatever a filter says (they end who calls them from
 * anywhere but the kernel's own trampoline). */
static bool is_passed_by_kernel(long number)
{
    return number == 335 || number == 336;
}

/* Calls of which no arguments are harmless to the caller: `scprobe one`. */
static bool is_deadly(long number)
{
    return number == SYS_exit || number == SYS_exit_group || number == SYS_rt_sigreturn || number == SYS_pause ||
           is_passed_by_kernel(number);
}

/* Inside: one after the other. */
static void try_inside(struct attempt *attempts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_deadly(attempts[i].number))
            continue;
        long result = do_call(&attempts[i]);
        attempts[i].has_passed = result != -EPERM && !(attempts[i].number == SYS_clone3 && result == -ENOSYS);
    }
}

/* Under a given filter: in children that are ended by what they try, until all is tried. */
static const struct sock_fprog *given_filter;

struct shared {
    volatile size_t next;
    volatile bool is_done;
    struct attempt attempts[];
};

static _Noreturn void try_in_child(struct shared *shared, size_t count)
{
    if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, given_filter) < 0)
        _exit(2);
    while (shared->next < count) {
        struct attempt *attempt = &shared->attempts[shared->next];
        attempt->has_passed = true; /* should it end us */
        long result = do_call(attempt);
        attempt->has_passed = result < -MARKED - 200 || result > -MARKED;
        shared->next++;
    }
    shared->is_done = true;
    (void)syscall(SYS_exit_group, 0);
    __builtin_trap(); /* the filter does not allow to end: this does */
}

static bool has_ended(pid_t pid, const struct shared *shared, int *ret_status)
{
    size_t seen = SIZE_MAX;
    for (unsigned waited_ms = 0; waited_ms < BLOCKED_MS; waited_ms++) {
        if (waitpid(pid, ret_status, WNOHANG) == pid)
            return true;
        if (shared->next != seen) {
            seen = shared->next;
            waited_ms = 0;
        }
        (void)usleep(1000);
    }
    return false;
}

static void try_under_filter(struct attempt *attempts, size_t count)
{
    size_t bytes = sizeof(struct shared) + count * sizeof *attempts;
    struct shared *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        abort(); /* the test must not go on */
    memcpy(shared->attempts, attempts, count * sizeof *attempts);
    while (!shared->is_done) {
        int status = 0;
        pid_t pid = fork();
        if (pid < 0)
            abort();
        if (pid == 0)
            try_in_child(shared, count);
        if (!has_ended(pid, shared, &status)) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
        } else if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
            (void)fprintf(stderr, "scprobe: cannot install the filter\n");
            exit(1);
        } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
            shared->attempts[shared->next].has_passed = false; /* refused by a kill */
        }
        if (!shared->is_done)
            shared->next++;
        if (shared->next >= count)
            break;
    }
    memcpy(attempts, shared->attempts, count * sizeof *attempts);
    (void)munmap(shared, bytes);
}

static void (*try_all)(struct attempt *attempts, size_t count) = try_inside;

/* ---- arguments that decide ---- */

struct decided {
    long number;
    unsigned argument_mask;               /* which arguments */
    uint64_t constants[6][CONSTANTS_MAX]; /* what each is compared with */
    size_t constant_count[6];
};

static void add_constant(struct decided *decided, unsigned argument, uint64_t value)
{
    size_t *count = &decided->constant_count[argument];
    for (size_t i = 0; i < *count; i++)
        if (decided->constants[argument][i] == value)
            return;
    if (*count < CONSTANTS_MAX)
        decided->constants[argument][(*count)++] = value;
    decided->argument_mask |= 1u << argument;
}

static const char *name_of(long number)
{
    static char text[32];
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)number);
    (void)snprintf(text, sizeof text, name ? "%s" : "number-%s", name ? name : "");
    if (!name)
        (void)snprintf(text, sizeof text, "number-%ld", number);
    free(name);
    return text;
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static bool has_value(const uint64_t *sorted, size_t count, uint64_t value)
{
    return count && bsearch(&value, sorted, count, sizeof value, by_value);
}

/* "VALUE|BITS ..." of the values that passed.  BITS: those that may be added to VALUE one by one, and did pass. */
static void format_values(char *text, size_t room, const uint64_t *passed, size_t count)
{
    uint64_t covered[64][2];
    size_t covered_count = 0;
    for (size_t i = 0; i < count && covered_count < 64; i++) {
        bool is_covered = false;
        for (size_t k = 0; k < covered_count; k++)
            is_covered = is_covered || (passed[i] & ~covered[k][1]) == covered[k][0];
        if (is_covered)
            continue;
        uint64_t bits = 0;
        for (unsigned bit = 0; bit < 64; bit++)
            if (!(passed[i] >> bit & 1) && has_value(passed, count, passed[i] | (uint64_t)1 << bit))
                bits |= (uint64_t)1 << bit;
        covered[covered_count][0] = passed[i];
        covered[covered_count++][1] = bits;
        size_t used = strlen(text);
        (void)snprintf(text + used, room - used, bits ? " %#llx|%#llx" : " %#llx", (unsigned long long)passed[i],
                       (unsigned long long)bits);
    }
}

/* Tries the values of the last deciding argument, the others as they stand in base; prints what passes. */
static void scan_last(const struct decided *decided, struct attempt base, unsigned argument, const char *prefix)
{
    static uint64_t values[VALUES_MAX];
    size_t count = 0;
    for (uint64_t value = 0; value < 2048; value++)
        values[count++] = value;
    for (size_t i = 0; i < decided->constant_count[argument]; i++)
        for (unsigned bit = 0; bit <= 64; bit++)
            values[count++] = decided->constants[argument][i] ^ (bit < 64 ? (uint64_t)1 << bit : 0);
    for (unsigned bit = 0; bit < 64; bit++)
        values[count++] = (uint64_t)1 << bit;
    values[count++] = UINT64_MAX;
    qsort(values, count, sizeof values[0], by_value);
    size_t unique = 1;
    for (size_t i = 1; i < count; i++)
        if (values[i] != values[unique - 1])
            values[unique++] = values[i];

    struct attempt *attempts = calloc(unique, sizeof *attempts);
    for (size_t i = 0; i < unique; i++) {
        attempts[i] = base;
        attempts[i].arguments[argument] = (long)values[i];
    }
    try_all(attempts, unique);
    size_t passed = 0;
    for (size_t i = 0; i < unique; i++)
        if (attempts[i].has_passed)
            values[passed++] = values[i];
    free(attempts);
    if (passed == 0)
        return;
    char text[4096] = "";
    format_values(text, sizeof text, values, passed);
    printf("%s%s [%u]%s\n", name_of(base.number), prefix, argument, text);
}

static void scan(const struct decided *decided, struct attempt base, unsigned from, const char *prefix)
{
    unsigned argument = from;
    while (!(decided->argument_mask >> argument & 1))
        argument++;
    if (decided->argument_mask >> (argument + 1) == 0) {
        scan_last(decided, base, argument, prefix);
        return;
    }
    for (size_t i = 0; i < decided->constant_count[argument]; i++) {
        char longer[256];
        base.arguments[argument] = (long)decided->constants[argument][i];
        (void)snprintf(longer, sizeof longer, "%s [%u] %#lx", prefix, argument,
                       (unsigned long)decided->constants[argument][i]);
        scan(decided, base, argument + 1, longer);
    }
}

/* All numbers; decided_of: what is known of the arguments that decide, may be NULL. */
static void try_numbers(const struct decided *(*decided_of)(long number))
{
    static struct attempt attempts[CALLS_END];
    for (long number = 0; number < CALLS_END; number++)
        attempts[number] = attempt_of(number);
    try_all(attempts, CALLS_END);
    for (long number = 0; number < CALLS_END; number++) {
        const struct decided *decided = decided_of(number);
        if (attempts[number].has_passed && is_passed_by_kernel(number))
            continue;
        if (attempts[number].has_passed)
            printf("%s\n", name_of(number));
        else if (decided && decided->argument_mask)
            scan(decided, attempts[number], 0, "");
    }
}

/* ---- inside ---- */

#define CLONE_THREAD_FLAGS                                                                                             \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |                 \
     CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

/* From inside a filter cannot be read: these are the calls whose arguments are tried one by one. */
static const struct decided *decided_inside(long number)
{
    static const struct {
        long number;
        unsigned argument;
        uint64_t constant;
    } known[] = {
        {SYS_mmap, 2, 0},
        {SYS_mprotect, 2, 0},
        {SYS_openat, 2, 0},
        {SYS_fcntl, 1, 0},
        {SYS_io_uring_register, 1, 0},
        {SYS_execveat, 4, AT_EMPTY_PATH},
        {SYS_prctl, 0, 0},
        {SYS_socket, 0, 0},
        {SYS_clone, 0, CLONE_THREAD_FLAGS},
        {SYS_ioctl, 1, 0},
    };
    static struct decided decided;
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        if (known[i].number != number)
            continue;
        decided = (struct decided){.number = number};
        add_constant(&decided, known[i].argument, known[i].constant);
        return &decided;
    }
    return NULL;
}

static int one(const char *what)
{
    if (strcmp(what, "exit") == 0)
        (void)syscall(SYS_exit, PASSED_EXIT_CODE);
    else if (strcmp(what, "exit_group") == 0)
        (void)syscall(SYS_exit_group, PASSED_EXIT_CODE);
#ifdef __x86_64__
    else if (strcmp(what, "x32") == 0)
        (void)syscall(0x40000000 | SYS_getpid);
    else if (strcmp(what, "i386") == 0)
        __asm__ volatile("int $0x80" : : "a"(20) : "memory");
#endif
    printf("%s does not end the caller\n", what);
    return 0;
}

static int paths(char **names)
{
    static const struct {
        const char *name;
        int flags;
    } ways[] = {
        {"read", O_RDONLY}, {"list", O_RDONLY | O_DIRECTORY}, {"write", O_RDWR}, {"create", O_RDWR | O_CREAT | O_EXCL}};
    for (; *names; names++) {
        printf("%s:", *names);
        for (size_t i = 0; i < ARRAY_COUNT(ways); i++) {
            const char *last = strrchr(*names, '/');
            if (ways[i].flags & O_EXCL && (last == NULL || strcmp(last, "/new") != 0))
                continue; /* it is there */
            int fd = openat(AT_FDCWD, *names, ways[i].flags | O_CLOEXEC, 0600);
            printf(" %s %s", ways[i].name, fd >= 0 ? "yes" : strerrorname_np(errno));
            if (fd >= 0)
                (void)close(fd);
            if (fd >= 0 && ways[i].flags & O_EXCL)
                (void)unlink(*names); /* made just now, by us */
        }
        puts("");
    }
    return 0;
}

/* ---- the ring ---- */

static struct io_uring ring;
static const struct contract *contract;

static int map_ring(void)
{
    contract = mmap(NULL, 4096, PROT_READ, MAP_SHARED, CONTRACT_FD, 0);
    if (contract == MAP_FAILED || contract->magic != CONTRACT_MAGIC)
        return -EINVAL;
    struct io_uring_params params = contract->ring;
    int result = io_uring_queue_mmap(CONTRACT_RING_FD, &params, &ring);
    if (result < 0)
        return result;
    ring.features = params.features;
    ring.flags = params.flags;
    for (unsigned i = 0; i < params.sq_entries; i++)
        ring.sq.array[i] = i; /* liburing's own set-up would have: else the kernel sees entry 0 for ever */
    return 0;
}

static long submit(unsigned op, unsigned flags, int fd)
{
    static uint64_t number;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    struct io_uring_cqe *cqe = NULL;
    io_uring_prep_rw((int)op, sqe, fd, NULL, 0, 0);
    sqe->flags = (uint8_t)flags;
    sqe->user_data = ++number;
    if (io_uring_submit_and_wait(&ring, 1) < 0)
        return -ETIME;
    while (io_uring_wait_cqe(&ring, &cqe) == 0) {
        bool is_this = cqe->user_data == number; /* an operation that was let through may have completed twice */
        long result = cqe->res;
        io_uring_cqe_seen(&ring, cqe);
        if (is_this)
            return result;
    }
    return -ETIME;
}

/* A slot that is empty: an operation that is allowed fails there with EBADF, before it does anything. */
static int empty_slot(void)
{
    return (int)contract->slot_count - 1;
}

/* Every operation on a descriptor that is none. */
static void try_operations(unsigned last, unsigned flags, int fd, const char *prefix)
{
    static const char *const names[] = {
        [IORING_OP_ACCEPT] = "ACCEPT",     [IORING_OP_RECV] = "RECV",           [IORING_OP_SEND] = "SEND",
        [IORING_OP_READ] = "READ",         [IORING_OP_ASYNC_CANCEL] = "CANCEL", [IORING_OP_CONNECT] = "CONNECT",
        [IORING_OP_MSG_RING] = "MSG_RING", [IORING_OP_SOCKET] = "SOCKET",
    };
    for (unsigned op = 0; op < last; op++) {
        long result = submit(op, flags, fd);
        if (result == -EACCES)
            continue;
        if (op < ARRAY_COUNT(names) && names[op])
            printf("%soperation %s\n", prefix, names[op]);
        else
            printf("%soperation %u (%s)\n", prefix, op, result < 0 ? strerrorname_np((int)-result) : "OK");
    }
}

static int try_ring(unsigned last)
{
    if (map_ring() < 0)
        return 1;
    printf("slots %u\n", contract->slot_count);
    try_operations(last, IOSQE_FIXED_FILE, empty_slot(), "");
    if (submit(IORING_OP_READ, 0, empty_slot()) != -EACCES)
        printf("flag: FIXED_FILE may be left out\n");
    for (unsigned bit = 0; bit < 8; bit++) {
        long result = submit(IORING_OP_READ, IOSQE_FIXED_FILE | 1u << bit, empty_slot());
        if (bit != IOSQE_FIXED_FILE_BIT && result != -EACCES && result != -EINVAL) /* the kernel has no such flag */
            printf("flag: bit %u may be set\n", bit);
    }
    return 0;
}

static int try_registrations(unsigned last, int ring_fd, const char *prefix)
{
    for (unsigned op = 0; op < last; op++) {
        long result = syscall(SYS_io_uring_register, ring_fd, op, NULL, 0);
        if (result >= 0 || errno != EACCES)
            printf("%sregistration %s%u\n", prefix, op == IORING_REGISTER_FILES_UPDATE ? "FILES_UPDATE " : "", op);
    }
    return 0;
}

/* ---- outside: the rings of a running process ---- */

/* Entries of both queues of a ring, less one, as the kernel says them. */
static int masks_of(pid_t pid, const char *number, unsigned *ret_sq, unsigned *ret_cq)
{
    char path[300], line[200];
    int found = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/fdinfo/%s", (int)pid, number);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        found += sscanf(line, "SqMask: %x", ret_sq) == 1 || sscanf(line, "CqMask: %x", ret_cq) == 1;
    if (file)
        (void)fclose(file);
    return found == 2 ? 0 : -EINVAL;
}

/* Maps a ring of another process, made by liburing as one of ours is made here: the places of its parts are the same.
 */
static int map_taken(int ring_fd, unsigned sq_mask, unsigned cq_mask)
{
    struct io_uring alike;
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE, .cq_entries = cq_mask + 1};
    int result = io_uring_queue_init_params(sq_mask + 1, &alike, &params);
    if (result < 0)
        return result;
    io_uring_queue_exit(&alike);
    result = io_uring_queue_mmap(ring_fd, &params, &ring);
    ring.features = params.features;
    ring.flags = params.flags;
    if (result == 0)
        ring.sq.sqe_head = ring.sq.sqe_tail = *ring.sq.ktail; /* its owner has used it */
    return result;
}

static int try_taken(pid_t pid, const char *number, int ring_fd, unsigned last_op, unsigned last_registration)
{
    static const char prefix[] = "its own: ";
    unsigned sq_mask, cq_mask;
    if (syscall(SYS_io_uring_register, ring_fd, IORING_REGISTER_PROBE, NULL, 0) < 0 && errno == EEXIST) {
        printf("another's: used by that one alone\n");
        return 0;
    }
    int result = masks_of(pid, number, &sq_mask, &cq_mask);
    if (result == 0)
        result = map_taken(ring_fd, sq_mask, cq_mask);
    if (result < 0)
        return result;
    (void)alarm(30); /* an operation that waits is one that is not expected here */
    try_operations(last_op, 0, -1, prefix);
    for (unsigned bit = 0; bit < 8; bit++) {
        long flagged = submit(IORING_OP_MSG_RING, 1u << bit, -1);
        if (flagged != -EACCES && flagged != -EINVAL && flagged != -EOPNOTSUPP) /* nobody's, or no flag of this one */
            printf("%sflag: bit %u may be set\n", prefix, bit);
    }
    return try_registrations(last_registration, ring_fd, prefix);
}

static int try_rings(pid_t pid, unsigned last_op, unsigned last_registration)
{
    char path[300], target[64];
    int result = 0, pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *list = opendir(path);
    if (pid_fd < 0 || !list)
        return 1;
    for (struct dirent *entry; result == 0 && (entry = readdir(list));) {
        ssize_t bytes = readlinkat(dirfd(list), entry->d_name, target, sizeof target - 1);
        target[bytes > 0 ? bytes : 0] = '\0';
        if (strcmp(target, "anon_inode:[io_uring]") != 0)
            continue;
        int ring_fd = (int)syscall(SYS_pidfd_getfd, pid_fd, atoi(entry->d_name), 0);
        result = ring_fd < 0 ? -errno : try_taken(pid, entry->d_name, ring_fd, last_op, last_registration);
    }
    if (result < 0)
        (void)fprintf(stderr, "scprobe: rings of process %d: %s\n", (int)pid, strerror(-result));
    return result != 0;
}

/* The first number that is EINVAL to a ring without restrictions, from the end. */
static int print_last(void)
{
    struct io_uring_probe *probe = io_uring_get_probe();
    int fd = (int)syscall(SYS_io_uring_setup, 1, &(struct io_uring_params){0});
    unsigned registrations = 0;
    if (!probe || fd < 0)
        return 1;
    /* Restricted to one registration, a ring answers EACCES to every other that exists. */
    struct io_uring_params params = {.flags = IORING_SETUP_R_DISABLED};
    int restricted_fd = (int)syscall(SYS_io_uring_setup, 1, &params);
    struct io_uring_restriction only = {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_PROBE};
    if (restricted_fd < 0 ||
        syscall(SYS_io_uring_register, restricted_fd, IORING_REGISTER_RESTRICTIONS, &only, 1) < 0 ||
        syscall(SYS_io_uring_register, restricted_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
        return 1;
    while (registrations < 200 && (syscall(SYS_io_uring_register, restricted_fd, registrations, NULL, 0) >= 0 ||
                                   errno == EACCES || registrations == IORING_REGISTER_PROBE))
        registrations++;
    printf("%u %u\n", probe->last_op + 1u, registrations);
    return 0;
}

/* ---- outside: the filter of a running process ---- */

static struct sock_filter instructions[FILTER_MAX];
static struct sock_fprog program = {.filter = instructions};
static int filter_count;

static int take_filter(pid_t pid)
{
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 ||
        waitpid(pid, NULL, __WALL) < 0)
        return -errno;
    long count = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, instructions);
    int result = count < 0 ? -errno : 0;
    while (count >= 0 && ptrace(PTRACE_SECCOMP_GET_FILTER, pid, filter_count, NULL) >= 0)
        filter_count++;
    (void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
    program.len = (unsigned short)(count < 0 ? 0 : count);
    return result;
}

/* So that a refusal of the filter is not taken for one of the kernel. */
static void mark_refusals(void)
{
    for (unsigned i = 0; i < program.len; i++) {
        struct sock_filter *instruction = &instructions[i];
        if (instruction->code == (BPF_RET | BPF_K) && (instruction->k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO)
            instruction->k = SECCOMP_RET_ERRNO | (MARKED + (instruction->k & SECCOMP_RET_DATA));
    }
}

struct walk {
    long number;
    struct decided decided;
    bool is_allowed;                  /* by some way */
    bool seen[FILTER_MAX][8 * 2 + 1]; /* instruction, what is in the accumulator */
};

/* Every way through the filter for one number; source: 0 = value is known, else 1 + 2 * argument + (high half). */
static void walk_from(struct walk *walk, unsigned pc, uint32_t value, unsigned source)
{
    while (pc < program.len) {
        const struct sock_filter *i = &instructions[pc];
        if (walk->seen[pc][source] && source)
            return;
        walk->seen[pc][source] = true;
        switch (BPF_CLASS(i->code)) {
        case BPF_LD:
            source = 0;
            if (i->k == offsetof(struct seccomp_data, nr))
                value = (uint32_t)walk->number;
            else if (i->k == offsetof(struct seccomp_data, arch))
                value = seccomp_arch_native() == SCMP_ARCH_X86_64 ? AUDIT_ARCH_X86_64 : AUDIT_ARCH_AARCH64;
            else
                source = 1 + (i->k - (unsigned)offsetof(struct seccomp_data, args)) / 4;
            pc++;
            break;
        case BPF_ALU: /* masks only, in what libseccomp writes */
            value &= i->k;
            pc++;
            break;
        case BPF_JMP: {
            if (BPF_OP(i->code) == BPF_JA) {
                pc += 1 + i->k;
                break;
            }
            if (source) {
                unsigned argument = (source - 1) / 2;
                add_constant(&walk->decided, argument, (source - 1) % 2 ? 0 : i->k);
                walk_from(walk, pc + 1 + i->jt, 0, source);
                pc += 1 + i->jf;
                break;
            }
            bool is_true = BPF_OP(i->code) == BPF_JEQ   ? value == i->k
                           : BPF_OP(i->code) == BPF_JGT ? value > i->k
                           : BPF_OP(i->code) == BPF_JGE ? value >= i->k
                                                        : (value & i->k) != 0;
            pc += 1 + (is_true ? i->jt : i->jf);
            break;
        }
        default: /* BPF_RET */
            walk->is_allowed = walk->is_allowed || i->k == SECCOMP_RET_ALLOW;
            return;
        }
    }
}

static const struct decided *decided_by_filter(long number)
{
    static struct walk walk;
    memset(&walk, 0, sizeof walk);
    walk.number = number;
    walk_from(&walk, 0, 0, 0);
    return walk.is_allowed ? &walk.decided : NULL;
}

static int filter(pid_t pid)
{
    int result = take_filter(pid);
    if (result < 0) {
        (void)fprintf(stderr, "scprobe: filter of process %d: %s\n", (int)pid, strerror(-result));
        return 1;
    }
    mark_refusals();
    given_filter = &program;
    try_all = try_under_filter;
    if (filter_count != 1)
        printf("%d filters\n", filter_count);
    try_numbers(decided_by_filter);
    return 0;
}

static int print_seals(const char *path)
{
    static const struct {
        int bit;
        const char *name;
    } seals[] = {{F_SEAL_SEAL, "seal"}, {F_SEAL_SHRINK, "shrink"}, {F_SEAL_GROW, "grow"}, {F_SEAL_WRITE, "write"}};
    int fd = open(path, O_RDONLY | O_CLOEXEC), set = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
    for (size_t i = 0; i < ARRAY_COUNT(seals); i++)
        if (set >= 0 && set & seals[i].bit)
            printf("%s%s", i ? " " : "", seals[i].name);
    puts("");
    return set < 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "wait") == 0) {
        uint64_t never;
        return puts("waiting") < 0 || fflush(stdout) != 0 || read(CONTRACT_EVENT_FD, &never, sizeof never) < 0;
    }
    if (strcmp(mode, "calls") == 0)
        try_numbers(decided_inside);
    else if (argc == 3 && strcmp(mode, "one") == 0)
        return one(argv[2]);
    else if (argc == 3 && strcmp(mode, "ring") == 0)
        return try_ring((unsigned)atoi(argv[2]));
    else if (argc == 3 && strcmp(mode, "registrations") == 0)
        return try_registrations((unsigned)atoi(argv[2]), CONTRACT_RING_FD, "");
    else if (argc == 5 && strcmp(mode, "rings") == 0)
        return try_rings((pid_t)atoi(argv[2]), (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]));
    else if (argc == 3 && strcmp(mode, "seals") == 0)
        return print_seals(argv[2]);
    else if (strcmp(mode, "paths") == 0)
        return paths(argv + 2);
    else if (argc == 3 && strcmp(mode, "filter") == 0)
        return filter((pid_t)atoi(argv[2]));
    else if (strcmp(mode, "last") == 0)
        return print_last();
    else {
        (void)fprintf(stderr, "scprobe: see the head of scprobe.c\n");
        return 2;
    }
    return 0;
}
