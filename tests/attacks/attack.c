/*
 * attack.c - tries what a service must not be able to do, row by row, and says for each what came of it.
 *
 *     ROW refused: EPERM ENOENT          the errors that stopped it, or what else did
 *     ROW SUCCEEDED: unshare NEWUSER     what could be done
 *
 * Four ways to run it:
 *   as a service            hostd starts it with a contract; it tries the rows that its configuration lists, says READY
 *                           and waits for its stop.  This is what a service that was taken over can do.
 *   attack ROW ...          by `hostd exec`, with what that gives
 *   attack --enter PID ROW ...   as root with every capability of the user namespace of PID, in all of its namespaces,
 *                           without any system call filter
 *   attack --wire PID ROW ...    as the host's root in the network namespace of PID: more than anything inside can be
 * each with NAME=VALUE behind the rows, for what they need to know.  And for the tests: --list (the rows),
 * --with-key COMMAND ... (runs it in a session keyring that holds a key), --listen PORT NAME (what a service should
 * not reach), --swap ONE TWO (two names change places, until it is killed).
 *
 * Exit code 0: every row was refused; 10: one succeeded; 1, 2: it could not be tried.
 */
#include "tests/attacks/attack.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "rpc/base/own.h"
#include "tests/attacks/witness.rpc.h"

#define EXIT_SUCCEEDED 10
#define CONTRACT_BYTES_MAX 65536

/* What the binary serves: nothing, but a link to it may name these. */
WITNESS_SCHEMA_NOTE;

const struct contract *contract;
struct io_uring ring;

static bool is_ring_ours = true;
static char **arguments; /* NAME=VALUE, of the command line */
static const struct row *const groups[] = {rows_identity, rows_calls,  rows_escape, rows_files,
                                           rows_net,      rows_frames, rows_kernel};

/* ---- what a try came to ---- */

static void add_word(char *text, size_t room, const char *word)
{
    size_t used = strlen(text), bytes = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += bytes)
        if ((at == text || at[-1] == ' ') && (at[bytes] == ' ' || at[bytes] == '\0'))
            return; /* there already */
    (void)snprintf(text + used, room - used, "%s%s", used ? " " : "", word);
}

void tried(struct attempt *a, const char *what, long result)
{
    if (result >= 0)
        won(a, "%s", what);
    else
        add_word(a->refused, sizeof a->refused, strerrorname_np((int)-result) ? strerrorname_np((int)-result) : "?");
}

void refused(struct attempt *a, const char *format, ...)
{
    va_list list;
    size_t used = strlen(a->refused);
    va_start(list, format);
    if (used > 0 && used + 2 < sizeof a->refused)
        a->refused[used++] = ' ';
    (void)vsnprintf(a->refused + used, sizeof a->refused - used, format, list);
    va_end(list);
}

void won(struct attempt *a, const char *format, ...)
{
    va_list list;
    size_t used = strlen(a->won);
    va_start(list, format);
    if (used > 0 && used + 3 < sizeof a->won) {
        memcpy(a->won + used, ", ", 3);
        used += 2;
    }
    (void)vsnprintf(a->won + used, sizeof a->won - used, format, list);
    va_end(list);
}

void report(const char *id, const struct attempt *a)
{
    char line[700];
    bool is_won = a->won[0] != '\0';
    int bytes =
        snprintf(line, sizeof line, "%s %s: %s\n", id, is_won ? "SUCCEEDED" : "refused", is_won ? a->won : a->refused);
    (void)!write(STDOUT_FILENO, line, (size_t)bytes); /* one write: a line stays whole */
}

/* ---- arguments ---- */

static const char *text_at(uint32_t at)
{
    return (const char *)contract + contract->strings_at + at;
}

static const char *configured(const char *key)
{
    const struct contract_config *config = (const void *)((const char *)contract + contract->config_at);
    for (uint32_t i = 0; i < contract->config_count; i++)
        if (strcmp(text_at(config[i].key_at), key) == 0)
            return text_at(config[i].value_at);
    return "";
}

const char *argument(const char *name)
{
    char key[64];
    size_t length = strlen(name);
    for (char **at = arguments; at && *at; at++)
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
            return *at + length + 1;
    (void)snprintf(key, sizeof key, "args.%s", name);
    return contract ? configured(key) : "";
}

struct sockaddr_in address_of(const char *argument_name, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    (void)inet_pton(AF_INET, argument(argument_name), &address.sin_addr);
    return address;
}

static int open_contract(void);

/* ---- rows ---- */

static const struct row *find_row(const char *id)
{
    for (size_t i = 0; i < ARRAY_COUNT(groups); i++)
        for (const struct row *row = groups[i]; row->id; row++)
            if (strcmp(row->id, id) == 0)
                return row;
    return NULL;
}

static bool run_here(const struct row *row)
{
    struct attempt a = {.refused = ""};
    row->run(&a);
    report(row->id, &a);
    return a.won[0] != '\0';
}

/* In a child where there can be one: what a row changes of its process stays its own.  A sealed service cannot fork. */
static bool run_row(const struct row *row)
{
    pid_t pid = row->is_inline ? -1 : fork();
    int status = 0;
    if (pid < 0)
        return run_here(row);
    if (pid == 0) {
        is_ring_ours = false; /* it belongs to the task that was there first */
        _exit(run_here(row) ? EXIT_SUCCEEDED : 0);
    }
    if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
        (void)dprintf(STDOUT_FILENO, "%s refused: killed by signal %d\n", row->id, WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCEEDED;
}

static int run_rows(char **words)
{
    bool is_won = false;
    if (open_contract() < 0)
        contract = NULL; /* only `hostd exec --wires` gives one; without it no row uses a ring */
    for (; *words && strchr(*words, '=') == NULL; words++) {
        const struct row *row = find_row(*words);
        if (!row) {
            (void)fprintf(stderr, "attack: no row '%s'\n", *words);
            return 2;
        }
        is_won |= run_row(row);
    }
    return is_won ? EXIT_SUCCEEDED : 0;
}

/* ---- as a service ---- */

bool has_ring(void)
{
    return contract && is_ring_ours;
}

struct io_uring_sqe *ring_prepare(int op, int fd, const void *address, unsigned length, uint64_t offset, unsigned flags)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_rw(op, sqe, fd, address, length, offset);
    io_uring_sqe_set_flags(sqe, flags);
    return sqe;
}

long ring_run(struct io_uring_sqe *sqe)
{
    struct io_uring_cqe *cqe = NULL;
    sqe->user_data = 1;
    int submitted = io_uring_submit_and_wait(&ring, 1);
    if (submitted < 0)
        return submitted;
    for (;;) {
        if (io_uring_wait_cqe(&ring, &cqe) < 0)
            return -EIO;
        long result = cqe->res;
        bool is_mine = cqe->user_data == 1;
        io_uring_cqe_seen(&ring, cqe);
        if (is_mine)
            return result;
    }
}

const struct contract_link *ring_link(uint32_t direction, const char *peer)
{
    if (!has_ring())
        return NULL;
    const struct contract_link *links = (const void *)((const char *)contract + contract->links_at);
    for (uint32_t i = 0; i < contract->link_count; i++)
        if (links[i].direction == direction && (!peer || strcmp(links[i].peer, peer) == 0))
            return &links[i];
    return NULL;
}

static int open_contract(void)
{
    void *map = mmap(NULL, CONTRACT_BYTES_MAX, PROT_READ, MAP_SHARED, CONTRACT_FD, 0);
    if (map == MAP_FAILED || ((const struct contract *)map)->magic != CONTRACT_MAGIC)
        return -EINVAL;
    contract = map;
    struct io_uring_params params = contract->ring;
    int result = io_uring_queue_mmap(CONTRACT_RING_FD, &params, &ring);
    if (result < 0)
        return result;
    ring.features = params.features; /* liburing leaves it out, and then waits by means that the seal forbids */
    ring.flags = params.flags;
    ring.sq.sqe_head = ring.sq.sqe_tail = *ring.sq.ktail; /* a program that was here before us has used it */
    for (unsigned i = 0; i < params.sq_entries; i++)
        ring.sq.array[i] = i;
    return 0;
}

/* READY, and then nothing until PID 1 says stop. */
static _Noreturn void serve(void)
{
    struct note_up ready = {.kind = NOTE_READY};
    struct note_down note = {.kind = 0};
    (void)!write(CONTRACT_NOTE_FD, &ready, sizeof ready);
    do
        (void)ring_run(
            ring_prepare(IORING_OP_READ, CONTRACT_NOTE_SLOT, &note, sizeof note, (uint64_t)-1, IOSQE_FIXED_FILE));
    while (note.kind != NOTE_STOP);
    _exit(0);
}

/* The rows of the configuration, from that behind `after` on (NULL: all), and then nothing. */
static _Noreturn void try_as_configured(const char *after)
{
    bool is_behind = after == NULL;
    for (unsigned i = 0;; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "rows.%u", i);
        const char *id = configured(key);
        const struct row *row = find_row(id);
        if (*id == '\0')
            break;
        if (!is_behind)
            is_behind = strcmp(id, after) == 0;
        else if (row)
            (void)run_row(row);
        else
            (void)dprintf(STDERR_FILENO, "attack: no row '%s'\n", id);
    }
    serve();
}

static int as_service(void)
{
    if (open_contract() == 0)
        try_as_configured(NULL);
    (void)dprintf(STDERR_FILENO, "attack: started by hostd, or with the names of rows\n");
    return 2;
}

long execute_fd(int fd, const char *path, const char *id)
{
    static char flag[] = "--payload";
    char *argv[] = {flag, flag, (char *)(uintptr_t)id, NULL}, *envp[] = {NULL};
    return CALL(execveat, fd, path, argv, envp, AT_EMPTY_PATH);
}

/* What a row executes: that it runs at all is a success, where the row has nothing more to try.  In the place of a
 * service it has to go on as one. */
static int as_payload(const char *id)
{
    struct attempt a = {.refused = ""};
    bool has_contract = open_contract() == 0;
    const struct row *row = find_row(id);
    if (!has_contract)
        contract = NULL;
    if (row && row->as_payload)
        row->as_payload(&a);
    else
        won(&a, "ran");
    report(id, &a);
    if (has_contract && row && row->is_inline && *configured("rows.0"))
        try_as_configured(id);
    return a.won[0] ? EXIT_SUCCEEDED : 0;
}

/* ---- inside namespaces of others ---- */

static int join(pid_t pid, int wanted)
{
    static const struct {
        const char *name;
        int flag;
    } kinds[] = {{"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS},  {"pid", CLONE_NEWPID},      {"net", CLONE_NEWNET},
                 {"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}};
    int flags = 0;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        char own[64], others[64], own_name[64] = "", others_name[64] = "";
        (void)snprintf(own, sizeof own, "/proc/self/ns/%s", kinds[i].name);
        (void)snprintf(others, sizeof others, "/proc/%d/ns/%s", (int)pid, kinds[i].name);
        if (readlink(own, own_name, sizeof own_name - 1) < 0 ||
            readlink(others, others_name, sizeof others_name - 1) < 0)
            return -errno;
        if (kinds[i].flag & wanted && strcmp(own_name, others_name) != 0)
            flags |= kinds[i].flag; /* the user namespace that one is in already cannot be entered */
    }
    FD_AUTO int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0 || (flags && setns(pidfd, flags) < 0))
        return -errno;
    if (flags & CLONE_NEWUSER && (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        return -errno;
    return 0;
}

static int inside(const char *pid, int wanted, char **words)
{
    int result = join(atoi(pid), wanted), status = 0;
    if (result < 0) {
        (void)fprintf(stderr, "attack: enter the namespaces of %s: %s\n", pid, strerror(-result));
        return 1;
    }
    pid_t child = fork(); /* the first one to be in the pid namespace */
    if (child == 0)
        _exit(run_rows(words));
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* It goes by itself: the user's keyring is there for longer than we are. */
#define KEY_SECONDS 600

static int add_a_key(int keyring)
{
    long key = syscall(SYS_add_key, "user", "hostd-attack", "secret", 6, keyring);
    return key < 0 || syscall(SYS_keyctl, KEYCTL_SET_TIMEOUT, key, KEY_SECONDS) < 0 ? -1 : 0;
}

/* A file that gives whoever executes it every capability of the user namespace whose root has the user id base. */
static int give_capabilities(const char *path, const char *base)
{
    struct vfs_ns_cap_data all = {.magic_etc = VFS_CAP_REVISION_3 | VFS_CAP_FLAGS_EFFECTIVE,
                                  .data = {{.permitted = ~0u}, {.permitted = ~0u >> 23}},
                                  .rootid = (uint32_t)strtoul(base, NULL, 10)};
    if (setxattr(path, "security.capability", &all, sizeof all, 0) == 0)
        return 0;
    perror(path);
    return 1;
}

static int with_key(char **command)
{
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ||
        syscall(SYS_keyctl, KEYCTL_LINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING) < 0 ||
        add_a_key(KEY_SPEC_SESSION_KEYRING) < 0 || add_a_key(KEY_SPEC_USER_KEYRING) < 0) {
        perror("attack: a session keyring with a key");
        return 1;
    }
    (void)execv(command[0], command);
    perror(command[0]);
    return 1;
}

/* Objects of the ipc namespace that anybody may read; shmget gives back what is there already. */
static int share(int key, const char *name)
{
    return shmget(key, 4096, IPC_CREAT | 0666) < 0 || semget(key, 1, IPC_CREAT | 0666) < 0 ||
                   msgget(key, IPC_CREAT | 0666) < 0 || CALL(mq_open, name, O_RDWR | O_CREAT, 0666, NULL) < 0
               ? -errno
               : 0;
}

static void unshare_all(int key, const char *name)
{
    (void)shmctl(shmget(key, 0, 0), IPC_RMID, NULL);
    (void)semctl(semget(key, 0, 0), 0, IPC_RMID);
    (void)msgctl(msgget(key, 0), IPC_RMID, NULL);
    (void)CALL(mq_unlink, name);
}

/* What a service should not reach: a port of 127.0.0.1, an abstract socket, ipc objects with the port's number as their
 * key, a keyring.  Until SIGTERM. */
static int listen_on(const char *port, const char *name)
{
    struct sockaddr_in tcp = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    long keyring = CALL(keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL); /* a keyring that is not its reader's */
    int one = 1, got, fds[] = {socket(AF_INET, SOCK_STREAM, 0), socket(AF_UNIX, SOCK_STREAM, 0)};
    sigset_t term;
    (void)sigemptyset(&term);
    (void)sigaddset(&term, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &term, NULL);
    (void)umask(0);
    (void)snprintf(local.sun_path + 1, sizeof local.sun_path - 1, "%s", name);
    if (setsockopt(fds[0], SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        setsockopt(fds[0], IPPROTO_IP, IP_FREEBIND, &one, sizeof one) < 0 || /* a service's loopback is down */
        bind(fds[0], (struct sockaddr *)&tcp, sizeof tcp) < 0 || listen(fds[0], 8) < 0 ||
        bind(fds[1], (struct sockaddr *)&local, (socklen_t)(sizeof local.sun_family + 1 + strlen(name))) < 0 ||
        listen(fds[1], 8) < 0 || share(atoi(port), name) < 0) {
        perror("attack: listen");
        return 1;
    }
    (void)printf("listening %lx\n", (unsigned long)keyring);
    (void)sigwait(&term, &got); /* the kernel takes connections up to the backlog: that is enough */
    unshare_all(atoi(port), name);
    return 0;
}

/* Two names of a folder change places, over and over, until SIGTERM; then how often they did. */
static volatile sig_atomic_t is_ended;
static void on_term(int signal_number)
{
    is_ended = signal_number;
}

static int swap(const char *one, const char *two)
{
    unsigned long count = 0;
    (void)signal(SIGTERM, on_term);
    for (; !is_ended; count++)
        if (renameat2(AT_FDCWD, one, AT_FDCWD, two, RENAME_EXCHANGE) < 0) {
            perror("attack: swap");
            return 1;
        }
    (void)printf("%lu\n", count);
    return 0;
}

static int list(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(groups); i++)
        for (const struct row *row = groups[i]; row->id; row++)
            puts(row->id);
    return 0;
}

int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IONBF, 0); /* children that a row forks must not print it again; cannot fail here */
    if (argc == 1)
        return as_service();
    if (strcmp(argv[1], "--list") == 0)
        return list();
    if (strcmp(argv[1], "--payload") == 0 && argc == 3)
        return as_payload(argv[2]);
    if (strcmp(argv[1], "--with-key") == 0 && argc > 2)
        return with_key(argv + 2);
    if (strcmp(argv[1], "--give-capabilities") == 0 && argc == 4)
        return give_capabilities(argv[2], argv[3]);
    if (strcmp(argv[1], "--swap") == 0 && argc == 4)
        return swap(argv[2], argv[3]);
    if (strcmp(argv[1], "--listen") == 0 && argc == 4)
        return listen_on(argv[2], argv[3]);
    arguments = argv + 1;
    if (strcmp(argv[1], "--enter") == 0 && argc > 3)
        return inside(argv[2], ~0, argv + 3);
    if (strcmp(argv[1], "--wire") == 0 && argc > 3)
        return inside(argv[2], CLONE_NEWNET, argv + 3);
    return run_rows(argv + 1);
}
