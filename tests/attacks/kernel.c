/*
 * kernel.c - rows K01 to K03: rings, system calls that nobody needs, ways around the filter's arguments.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <sys/wait.h>

#include "rpc/base/own.h"
#include "tests/attacks/attack.h"

/* ---- K01: rings ---- */

static void make_a_ring(struct attempt *a)
{
    struct io_uring_params params = {0};
    tried(a, "io_uring_setup", CALL(io_uring_setup, 8, &params));
}

static void open_through_the_ring(struct attempt *a)
{
    struct sockaddr_storage address = {.ss_family = AF_INET};
    const struct contract_link *link = ring_link(LINK_OUT, NULL);
    int slot = link ? (int)link->slot_first : CONTRACT_SLOT_FIRST;
    tried(a, "OPENAT", ring_run(ring_prepare(IORING_OP_OPENAT, AT_FDCWD, "/", O_RDONLY, 0, 0)));
    tried(a, "SOCKET", ring_run(ring_prepare(IORING_OP_SOCKET, AF_INET, NULL, 0, SOCK_STREAM, 0)));
    tried(a, "URING_CMD", ring_run(ring_prepare(IORING_OP_URING_CMD, slot, NULL, 0, 0, IOSQE_FIXED_FILE)));
    tried(a, "CONNECT", ring_run(ring_prepare(IORING_OP_CONNECT, slot, &address, 0, sizeof address, IOSQE_FIXED_FILE)));
}

/* Executed again, with the ring that the service was started with: it is as sealed as before. */
static void keep_the_ring_over_exec(struct attempt *a)
{
    tried(a, "exec", execute("/bin/keeper", "K01d"));
}

/* A second task submits to the inherited ring. */
static void use_the_ring_after_a_fork(struct attempt *a)
{
    pid_t pid = (pid_t)CALL(clone, SIGCHLD, NULL, NULL, NULL, 0);
    int status = 0;
    if (pid < 0) {
        tried(a, "fork", pid);
        return;
    }
    if (pid == 0) {
        /* Finds nothing to cancel; what counts is whether it is taken. */
        (void)ring_prepare(IORING_OP_ASYNC_CANCEL, -1, NULL, 0, 0, IOSQE_FIXED_FILE);
        int submitted = io_uring_submit(&ring);
        _exit(submitted > 0 ? 0 : submitted < 0 ? -submitted : EBUSY);
    }
    (void)waitpid(pid, &status, 0);
    tried(a, "a child submitted to it", WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO);
}

/* ---- K02: calls ---- */

static void needless_calls(struct attempt *a)
{
    union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    struct perf_event_attr event = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1};
    struct timespec now = {.tv_sec = 1};
    struct timex clock = {.modes = ADJ_TICK, .tick = 10001};
    tried(a, "bpf", CALL(bpf, BPF_MAP_CREATE, &map, sizeof map));
    tried(a, "perf_event_open", CALL(perf_event_open, &event, 0, -1, -1, 0));
    tried(a, "userfaultfd", CALL(userfaultfd, 1 /* UFFD_USER_MODE_ONLY */));
    tried(a, "keyctl", CALL(keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
    tried(a, "kexec_load", CALL(kexec_load, 0, 0, NULL, 0));
    tried(a, "init_module", CALL(init_module, "", 0, ""));
    tried(a, "finit_module", CALL(finit_module, 0, "", 0));
    tried(a, "reboot", CALL(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_ON, NULL));
    tried(a, "clock_settime", CALL(clock_settime, CLOCK_REALTIME, &now));
    tried(a, "adjtimex", CALL(adjtimex, &clock));
    tried(a, "personality", CALL(personality, 0x0040000 /* ADDR_NO_RANDOMIZE */));
#ifdef __x86_64__
    tried(a, "iopl", CALL(iopl, 3));
    tried(a, "modify_ldt", CALL(modify_ldt, 0, NULL, 0));
#endif
}

#ifdef __x86_64__
static void i386_call(struct attempt *a)
{
    long result;
    /* getpid, number 20 of the 32-bit table */
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
    tried(a, "getpid by int 0x80", result);
}

static void x32_call(struct attempt *a)
{
    tried(a, "getpid of x32", call_result(syscall(0x40000000L | SYS_getpid)));
}
#endif

/* ---- K03: arguments ---- */

/* The kernel takes 32 bits of these; the filter has to look at what the other 32 hold as well. */
static void high_bits(struct attempt *a)
{
    static const char path[] = "/box";
    tried(a, "openat", CALL(openat, AT_FDCWD, path, 1L << 32 | O_RDONLY | O_DIRECTORY));
    tried(a, "fcntl", CALL(fcntl, CONTRACT_STDOUT_FD, 1L << 32 | F_GETLK, 0));
    tried(a, "io_uring_register",
          CALL(io_uring_register, CONTRACT_RING_FD, 1L << 33 | IORING_REGISTER_FILES_UPDATE, NULL, 0));
    tried(a, "mmap", CALL(mmap, NULL, 4096, 1L << 32 | PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    /* And no memory that can be written and run, however the bits are dressed up. */
    tried(a, "mmap PROT_EXEC",
          CALL(mmap, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

const struct row rows_kernel[] = {
    {"K01", make_a_ring},
    {"K01b", open_through_the_ring, true},
    {"K01d", keep_the_ring_over_exec, true, open_through_the_ring},
    {"K01c", use_the_ring_after_a_fork, true},
    {"K02", needless_calls},
#ifdef __x86_64__
    {"K02b", i386_call, true},
    {"K02c", x32_call, true},
#endif
    {"K03", high_bits},
    {NULL, NULL},
};
