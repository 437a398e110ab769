/* rpc_harness.c - see rpc_harness.h. */
#include "tests/unit/rpc_harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc/base/clock.h"
#include "rpc/base/hash.h"
#include "rpc/base/own.h"
#include "rpc/base/sealed.h"

#define SLOTS_MAX 1024u
#define RING_ENTRIES 256u

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "harness: %s: %s\n", what, strerror(errno));
    exit(99);
}

void harness_enter(void)
{
    if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) < 0)
        die("unshare");
    FD_AUTO int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        die("loopback up");
    (void)signal(SIGPIPE, SIG_IGN);
}

/* ---- contract ---- */

struct block {
    uint8_t bytes[65536];
    uint32_t used;
};

static uint32_t put(struct block *block, const void *bytes, size_t length)
{
    uint32_t at = block->used;
    if (at + length > sizeof block->bytes)
        abort();
    memcpy(block->bytes + at, bytes, length);
    block->used += (uint32_t)length;
    return at;
}

static int by_id(const void *a, const void *b)
{
    uint32_t x = ((const struct contract_method *)a)->id, y = ((const struct contract_method *)b)->id;
    return x < y ? -1 : x > y;
}

static void build_contract(const struct sim_spec *spec, struct sim *sim, struct block *block, int table[SLOTS_MAX])
{
    struct contract contract = {
        .magic = CONTRACT_MAGIC,
        .version = CONTRACT_VERSION,
        .flags = (spec->is_plain ? 0 : CONTRACT_SEALED) | (spec->has_alarm ? CONTRACT_ALARM : 0),
        .app = "test",
        .generation = 1,
        .fibres_max = spec->fibres_max ? spec->fibres_max : 64,
        .message_bytes_max = spec->message_bytes_max ? spec->message_bytes_max : 1u << 20,
        .ring_entries = RING_ENTRIES,
    };
    (void)snprintf(contract.service, sizeof contract.service, "%s", spec->name);
    memset(block, 0, sizeof *block);
    block->used = sizeof contract;

    struct contract_method methods[64] = {{0}};
    uint32_t method_count = 0, slot = CONTRACT_SLOT_FIRST;
    for (size_t i = 0; i < spec->link_count; i++) {
        const struct sim_link *from = &spec->links[i];
        struct contract_link *link = &sim->links[i];
        *link = (struct contract_link){
            .direction = from->direction,
            .peer_generation = from->generation,
            .slot_first = slot,
            .slot_count = from->direction == LINK_IN ? 2 + HARNESS_CONNECTIONS : 2,
            .method_first = method_count,
            .toml_line = 100 + (uint32_t)i,
            .is_wired = from->fd >= 0,
        };
        (void)snprintf(link->peer, sizeof link->peer, "%s", from->peer);
        table[slot] = from->fd;
        slot += link->slot_count;
        for (size_t j = 0; j < ARRAY_COUNT(from->allow) && from->allow[j]; j++) {
            methods[method_count].id = method_id(from->allow[j]);
            (void)snprintf(methods[method_count++].name, METHOD_NAME_BYTES, "%s", from->allow[j]);
        }
        link->method_count = method_count - link->method_first;
        qsort(methods + link->method_first, link->method_count, sizeof methods[0], by_id);
    }
    contract.operator_first = method_count;
    for (size_t j = 0; j < ARRAY_COUNT(spec->operator_methods) && spec->operator_methods[j]; j++) {
        methods[method_count].id = method_id(spec->operator_methods[j]);
        (void)snprintf(methods[method_count++].name, METHOD_NAME_BYTES, "%s", spec->operator_methods[j]);
    }
    contract.operator_count = method_count - contract.operator_first;
    qsort(methods + contract.operator_first, contract.operator_count, sizeof methods[0], by_id);
    contract.operator_slot_first = sim->operator_slot_first = slot;
    contract.operator_slot_count = spec->operator_connections;
    contract.operator_line = 50;
    slot += spec->operator_connections;
    contract.links_at = put(block, sim->links, spec->link_count * sizeof sim->links[0]);
    contract.link_count = (uint32_t)spec->link_count;
    contract.methods_at = put(block, methods, method_count * sizeof methods[0]);
    contract.method_count = method_count;
    if (spec->ingress_fd > 0) {
        struct contract_ingress ingress = {
            .name = "raw", .slot_first = slot, .slot_count = 1 + spec->ingress_connections};
        contract.ingresses_at = put(block, &ingress, sizeof ingress);
        contract.ingress_count = 1;
        table[slot] = spec->ingress_fd;
        slot += ingress.slot_count;
    }
    contract.slot_count = slot;

    struct contract_config config[4] = {{0}};
    char strings[512];
    uint32_t used = 0;
    for (size_t i = 0; i + 1 < ARRAY_COUNT(spec->config) && spec->config[i]; i += 2) {
        struct contract_config *entry = &config[contract.config_count++];
        entry->key_at = used;
        used += (uint32_t)snprintf(strings + used, sizeof strings - used, "%s", spec->config[i]) + 1;
        entry->value_at = used;
        used += (uint32_t)snprintf(strings + used, sizeof strings - used, "%s", spec->config[i + 1]) + 1;
    }
    contract.config_at = put(block, config, contract.config_count * sizeof config[0]);
    contract.strings_at = put(block, strings, used);
    contract.strings_bytes = used;
    contract.total_bytes = block->used;
    memcpy(block->bytes, &contract, sizeof contract);
}

static int seal_contract(struct block *block, const struct io_uring_params *params)
{
    struct contract *contract = (struct contract *)(void *)block->bytes;
    contract->ring = *params;
    int fd = memfd_create("contract", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write(fd, block->bytes, block->used) != (ssize_t)block->used)
        die("contract");
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        die("seal the contract");
    return fd;
}

/* ---- ring ---- */

static void restrict_ring(int ring_fd)
{
    struct io_uring_restriction list[SEALED_RESTRICTIONS];
    sealed_restrictions(list);
    if (io_uring_register((unsigned)ring_fd, IORING_REGISTER_RESTRICTIONS, list, ARRAY_COUNT(list)) < 0)
        die("restrict the ring");
}

static int make_ring(const int *table, uint32_t slot_count, struct io_uring_params *ret_params)
{
    *ret_params =
        (struct io_uring_params){.flags = SEALED_RING_FLAGS | IORING_SETUP_CQSIZE, .cq_entries = RING_ENTRIES * 4};
    int fd = (int)syscall(__NR_io_uring_setup, RING_ENTRIES, ret_params);
    if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        die("io_uring_setup");
    if (io_uring_register((unsigned)fd, IORING_REGISTER_FILES, table, slot_count) < 0)
        die("fill the ring's table");
    restrict_ring(fd);
    return fd;
}

/* ---- the child ---- */

static void confine(bool has_threads)
{
    static const char *const bare[] = {
        "io_uring_enter", "io_uring_register", "read",       "write",      "close",    "brk",
        "mmap",           "mprotect",          "arch_prctl", "exit_group", "execveat", "getrandom"};
    static const char *const threads[] = {"clone",  "futex", "set_robust_list", "rseq", "rt_sigprocmask", "madvise",
                                          "munmap", "exit",  "clock_nanosleep"};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        die("seccomp");
    for (size_t i = 0; i < ARRAY_COUNT(bare); i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(bare[i]), 0) < 0)
            die("seccomp rule");
    for (size_t i = 0; has_threads && i < ARRAY_COUNT(threads); i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(threads[i]), 0) < 0)
            die("seccomp rule");
    /* libc falls back from clone3, whose flags a filter cannot see, to clone. */
    if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) < 0)
        die("seccomp rule");
    if (seccomp_load(filter) < 0)
        die("seccomp load");
}

static _Noreturn void run_child(const struct sim_spec *spec, const int sources[CONTRACT_FD_COUNT])
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int program_fd = spec->program ? open(spec->program, O_PATH | O_CLOEXEC) : -1;
    if (spec->program && program_fd < 0)
        die(spec->program);
    if (program_fd >= 0)
        program_fd = fcntl(program_fd, F_DUPFD_CLOEXEC, 200);
    int parked[CONTRACT_FD_COUNT];
    for (int i = 0; i < CONTRACT_FD_COUNT; i++)
        parked[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, 100);
    for (int i = 0; i < CONTRACT_FD_COUNT; i++)
        if (dup2(parked[i], i) < 0)
            _exit(98);
    if (io_uring_register(CONTRACT_RING_FD, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
        _exit(97);
    if (!spec->program) {
        (void)close_range(CONTRACT_FD_COUNT, ~0u, 0);
        char name[] = "probe";
        char *argv[] = {name, NULL};
        _exit(spec->run(1, argv));
    }
    (void)close_range(CONTRACT_FD_COUNT, ~0u, CLOSE_RANGE_CLOEXEC);
    struct rlimit files = {CONTRACT_FD_COUNT, CONTRACT_FD_COUNT};
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)setrlimit(RLIMIT_NOFILE, &files); /* what is open stays open; nothing more can be opened */
    confine(spec->has_threads);
    char name[] = "probe";
    char *argv[] = {name, NULL}, *envp[] = {NULL};
    (void)syscall(SYS_execveat, program_fd, "", argv, envp, AT_EMPTY_PATH);
    _exit(96);
}

int sim_start(const struct sim_spec *spec, struct sim *sim)
{
    static struct block block;
    static int table[SLOTS_MAX];
    int note_up[2], note_down[2], log[2];
    *sim = (struct sim){0};
    for (size_t i = 0; i < SLOTS_MAX; i++)
        table[i] = -1;
    if (pipe2(note_up, O_CLOEXEC) < 0 || pipe2(note_down, O_CLOEXEC) < 0 || pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
        die("pipes");
    FD_AUTO int event_fd = eventfd(0, EFD_CLOEXEC);
    if (fcntl(note_up[1], F_SETFL, O_NONBLOCK) < 0 || fcntl(note_up[0], F_SETFL, O_NONBLOCK) < 0)
        die("O_NONBLOCK");
    if (spec->is_deaf) {
        struct note_up filler = {.kind = NOTE_CALLS};
        while (write(note_up[1], &filler, sizeof filler) > 0)
            ;
    }
    build_contract(spec, sim, &block, table);
    table[CONTRACT_EVENT_SLOT] = event_fd;
    table[CONTRACT_NOTE_SLOT] = note_down[0];
    struct io_uring_params params;
    sim->ring_fd = make_ring(table, ((struct contract *)(void *)block.bytes)->slot_count, &params);
    FD_AUTO int contract_fd = seal_contract(&block, &params);
    int sources[CONTRACT_FD_COUNT] = {
        [CONTRACT_FD] = contract_fd,       [CONTRACT_STDOUT_FD] = log[1],  [CONTRACT_STDERR_FD] = log[1],
        [CONTRACT_RING_FD] = sim->ring_fd, [CONTRACT_EVENT_FD] = event_fd, [CONTRACT_NOTE_FD] = note_up[1]};
    (void)fflush(NULL);
    sim->pid = fork();
    if (sim->pid < 0)
        die("fork");
    if (sim->pid == 0)
        run_child(spec, sources);
    (void)close(note_up[1]);
    (void)close(note_down[0]);
    (void)close(log[1]);
    sim->note_up_fd = note_up[0];
    sim->note_down_fd = note_down[1];
    sim->log_fd = log[0];
    return 0;
}

/* ---- notes ---- */

/* Waits until fd is readable; false when it is too late.  The kernel interrupts waits when a ring of ours ends. */
static bool wait_readable(int fd, uint64_t until_ms)
{
    for (;;) {
        uint64_t now_ms = clock_ms();
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (now_ms >= until_ms)
            return false;
        int result = poll(&poll_fd, 1, (int)(until_ms - now_ms));
        if (result > 0)
            return true;
        if (result < 0 && errno != EINTR)
            return false;
    }
}

bool sim_note(struct sim *sim, uint32_t kind, uint32_t timeout_ms, struct note_up *ret_note)
{
    uint64_t until_ms = clock_ms() + timeout_ms;
    for (;;) {
        for (size_t i = 0; i < sim->kept_count; i++) {
            if (sim->kept[i].kind != kind)
                continue;
            if (ret_note)
                *ret_note = sim->kept[i];
            memmove(&sim->kept[i], &sim->kept[i + 1], (--sim->kept_count - i) * sizeof sim->kept[0]);
            return true;
        }
        if (!wait_readable(sim->note_up_fd, until_ms))
            return false;
        if (sim->kept_count == ARRAY_COUNT(sim->kept))
            sim->kept_count = 0;
        ssize_t got = read(sim->note_up_fd, &sim->kept[sim->kept_count], sizeof sim->kept[0]);
        if (got == 0)
            return false;
        if (got == sizeof sim->kept[0])
            sim->kept_count++;
    }
}

void sim_tell(struct sim *sim, uint32_t kind, uint32_t link, uint32_t generation)
{
    struct note_down note = {.kind = kind, .link = link, .generation = generation, .value = 3000 /* of NOTE_STOP */};
    if (write(sim->note_down_fd, &note, sizeof note) != sizeof note)
        die("note to the service");
}

int sim_wire(struct sim *sim, uint32_t link, uint32_t slot, uint32_t generation, int fd)
{
    static struct io_uring sender;
    static bool is_made;
    int none = -1;
    if (!is_made && (io_uring_queue_init(4, &sender, 0) < 0 || io_uring_register_files(&sender, &none, 1) < 0))
        die("sender");
    is_made = true;
    if (io_uring_register_files_update(&sender, 0, &fd, 1) < 0)
        die("sender's slot");
    struct io_uring_sqe *sqe = io_uring_get_sqe(&sender);
    io_uring_prep_rw(IORING_OP_MSG_RING, sqe, sim->ring_fd, NULL, 0, wire_user_data(link, slot, generation));
    sqe->addr = IORING_MSG_SEND_FD;
    sqe->file_index = slot + 1;
    struct io_uring_cqe *cqe;
    if (io_uring_submit_and_wait(&sender, 1) < 0 || io_uring_peek_cqe(&sender, &cqe) < 0)
        die("send a wire");
    int result = cqe->res;
    io_uring_cqe_seen(&sender, cqe);
    (void)io_uring_register_files_update(&sender, 0, &none, 1);
    return result;
}

/* ---- looking at it ---- */

const char *sim_log(struct sim *sim)
{
    static char text[65536];
    size_t used = 0;
    ssize_t got;
    while (used < sizeof text - 1 && (got = read(sim->log_fd, text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    return text;
}

long sim_rss_kib(const struct sim *sim)
{
    char path[64], line[256];
    (void)snprintf(path, sizeof path, "/proc/%d/status", sim->pid);
    FILE *file = fopen(path, "re");
    long kib = -1;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    if (file)
        (void)fclose(file);
    return kib;
}

static void close_all(struct sim *sim)
{
    fd_close(&sim->ring_fd);
    fd_close(&sim->note_up_fd);
    fd_close(&sim->note_down_fd);
    fd_close(&sim->log_fd);
}

int sim_stop(struct sim *sim)
{
    struct note_down note = {.kind = NOTE_STOP, .value = 3000};
    (void)!write(sim->note_down_fd, &note, sizeof note); /* it may be gone already */
    int status = -1;
    for (uint64_t until_ms = clock_ms() + 5000; waitpid(sim->pid, &status, WNOHANG) == 0;) {
        if (clock_ms() > until_ms) {
            (void)kill(sim->pid, SIGKILL);
            (void)waitpid(sim->pid, &status, 0);
            break;
        }
        (void)usleep(2000);
    }
    const char *log = sim_log(sim);
    if (status != 0)
        fprintf(stderr, "service ended with status %x: %s\n", status, log);
    close_all(sim);
    return status;
}

void sim_kill(struct sim *sim)
{
    (void)kill(sim->pid, SIGKILL);
    (void)waitpid(sim->pid, NULL, 0);
    close_all(sim);
}

/* ---- wires ---- */

int wire_listener(uint16_t *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 512) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        die("listener");
    *ret_port = ntohs(address.sin_port);
    return fd;
}

int wire_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect");
    return fd;
}

/* ---- raw frames ---- */

void raw_send(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return; /* the service closed it: what the test looks at shows that */
        at += sent;
        length -= (size_t)sent;
    }
}

void raw_frame(int fd, struct frame frame)
{
    uint8_t bytes[FRAME_HEADER_BYTES + 8192];
    frame_encode(bytes, &frame);
    if (frame.payload_bytes > 8192)
        abort();
    if (frame.payload_bytes)
        memcpy(bytes + FRAME_HEADER_BYTES, frame.payload, frame.payload_bytes);
    raw_send(fd, bytes, FRAME_HEADER_BYTES + frame.payload_bytes);
}

/* 1: all of it; 0: the end; -1: too late. */
static int receive_all(int fd, void *bytes, size_t length, uint64_t until_ms)
{
    char *at = bytes;
    while (length > 0) {
        if (!wait_readable(fd, until_ms))
            return -1;
        ssize_t got = recv(fd, at, length, 0);
        if (got <= 0)
            return 0;
        at += got;
        length -= (size_t)got;
    }
    return 1;
}

int raw_receive(int fd, uint32_t timeout_ms, struct raw_reply *reply)
{
    uint64_t until_ms = clock_ms() + timeout_ms;
    uint8_t header[FRAME_HEADER_BYTES];
    int result = receive_all(fd, header, sizeof header, until_ms);
    if (result <= 0)
        return result;
    uint32_t payload_bytes;
    memcpy(&payload_bytes, header + 16, 4);
    memcpy(&reply->id, header + 8, 4);
    reply->type = header[1];
    reply->status = header[2];
    reply->payload_bytes = payload_bytes;
    size_t kept = payload_bytes < sizeof reply->payload ? payload_bytes : sizeof reply->payload;
    result = receive_all(fd, reply->payload, kept, until_ms);
    char rest[4096];
    for (size_t left = payload_bytes - kept; result > 0 && left > 0;) {
        size_t piece = left < sizeof rest ? left : sizeof rest;
        result = receive_all(fd, rest, piece, until_ms);
        left -= piece;
    }
    return result;
}

size_t raw_take(int fd, char *bytes, size_t length)
{
    size_t used = 0;
    while (used < length && wait_readable(fd, clock_ms() + 3000)) {
        ssize_t got = recv(fd, bytes + used, length - used, 0);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    return used;
}

bool raw_ends(int fd, uint32_t timeout_ms)
{
    static char bytes[1u << 20];
    uint64_t until_ms = clock_ms() + timeout_ms;
    for (;;) {
        if (!wait_readable(fd, until_ms))
            return false;
        if (recv(fd, bytes, sizeof bytes, 0) <= 0)
            return true;
    }
}
