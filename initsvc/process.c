/*
 * process.c - what PID 1 does differently for a process service: any program, with sockets of its own.
 *
 * It has no ring, no contract and no notes.  Its wires are interfaces of its network namespace; names of callees stand
 * in /etc/hosts, which we write again when a callee's wire is renewed; READY is said by sd_notify(3), or by the exec
 * alone.  Its confinement is the sealed services' (seal.c), with rules of its own for Landlock.
 *
 * Invariants
 *  I1  We listen for nothing, and connect to nothing.
 *  I2  What comes on NOTIFY_SOCKET is not trusted: bounded, and only "READY=1" means anything.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "initsvc/init.h"
#include "rootfs/rootfs.h"
#include "rpc/base/compat.h"
#include "rpc/base/own.h"

#define HOSTS_LINE_BYTES (16 + NAME_BYTES + 2)
#define NOTIFY_BYTES_MAX 4096 /* of one datagram; the rest of a longer one is lost */
#define NOTIFY_PER_TURN_MAX 64

bool init_is_process(const struct init *init)
{
    return init->setup->flags & INIT_PROCESS;
}

static const struct contract_link *contract_links(const struct init *init)
{
    return (const void *)((const char *)init->contract + init->contract->links_at);
}

/* Argument 0. */
static const char *program_of(const struct init *init)
{
    return (const char *)init->setup + init->setup->args_at;
}

int process_check(const struct init *init, struct err *e)
{
    const struct init_setup *setup = init->setup;
    if (setup->args_bytes == 0 || program_of(init)[0] != '/' || !memchr(program_of(init), '\0', setup->args_bytes) ||
        !memchr(setup->interpreter, '\0', sizeof setup->interpreter))
        return err_set(e, -EINVAL, "setup message is inconsistent: program of a process");
    return 0;
}

void process_root(const struct init *init, struct rootfs_process *ret_rest)
{
    ret_rest->has_proc = init->setup->flags & INIT_PROCESS_PROC;
    ret_rest->has_notify = init->setup->flags & INIT_PROCESS_NOTIFY;
}

/* ---- Landlock ---- */

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                                                          \
    (READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_REMOVE_FILE |             \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                       \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM |                       \
     LANDLOCK_ACCESS_FS_REFER)

static int allow_port(int ruleset_fd, const struct contract_link *link, uint16_t port, struct err *e)
{
    struct compat_landlock_net_port rule = {
        .allowed_access = link->direction == LINK_IN ? LANDLOCK_ACCESS_NET_BIND_TCP : LANDLOCK_ACCESS_NET_CONNECT_TCP,
        .port = port};
    if (syscall(SYS_landlock_add_rule, ruleset_fd, COMPAT_LANDLOCK_RULE_NET_PORT, &rule, 0) < 0)
        return err_sys(e, -errno, "Landlock rule for port %u", port);
    return 0;
}

/* Also for tools beside a service (exec.c): their root is like a process's, and a sealed service has no port.
 * The root may be read, its program and the program's interpreter executed; data and /tmp may be written to; TCP only
 * on the ports of its links. */
int process_rules(const struct init *init, int ruleset_fd, uint64_t handled_fs, uint64_t handled_net, struct err *e)
{
    const struct init_setup *setup = init->setup;
    const struct init_mount *mounts = (const void *)((const char *)setup + setup->mounts_at);
    bool is_command = exec_is_on(init, INIT_EXEC), is_own_root = !exec_is_on(init, INIT_EXEC_TOOLS);
    int result = seal_allow_below(ruleset_fd, "/", READ & handled_fs, true, e);
    if (result == 0 && !is_command)
        result = seal_allow_below(ruleset_fd, program_of(init), LANDLOCK_ACCESS_FS_EXECUTE & handled_fs, false, e);
    if (result == 0 && setup->interpreter[0] && is_own_root)
        result = seal_allow_below(ruleset_fd, setup->interpreter, LANDLOCK_ACCESS_FS_EXECUTE & handled_fs, false, e);
    if (result == 0)
        result = seal_allow_below(ruleset_fd, "/tmp", WRITE & handled_fs, true, e);
    for (uint32_t i = 0; result == 0 && i < setup->mount_count; i++) {
        if (mounts[i].is_writable)
            result = seal_allow_below(ruleset_fd, mounts[i].to, WRITE & handled_fs, true, e);
        else if (mounts[i].is_executable)
            result = seal_allow_below(ruleset_fd, mounts[i].to, LANDLOCK_ACCESS_FS_EXECUTE & handled_fs,
                                      mounts[i].is_directory, e);
        else if (mounts[i].is_device)
            result = seal_allow_below(ruleset_fd, mounts[i].to, LANDLOCK_ACCESS_FS_WRITE_FILE & handled_fs, false, e);
    }
    for (size_t i = 0; result == 0 && handled_net && init_is_process(init) && i < init->link_count; i++)
        result = allow_port(ruleset_fd, &contract_links(init)[i], init->links[i].wire.port, e);
    return result;
}

/* ---- /etc/hosts ---- */

/*
 * Written in place, because a view of it is what the service sees; so that who reads at the same time finds whole
 * lines, every line has the same length whatever its address, and stands where it stood.
 */
void process_write_hosts(struct init *init)
{
    static char text[HOSTS_LINE_BYTES * (LINKS_MAX + 1)];
    if (init->hosts_fd < 0)
        return;
    int used = snprintf(text, sizeof text, "%-15s %s\n", "127.0.0.1", "localhost");
    for (size_t i = 0; i < init->link_count; i++) {
        const struct init_wire *wire = &init->links[i].wire;
        char address[16] = "#"; /* no wire yet */
        if (contract_links(init)[i].direction != LINK_OUT)
            continue;
        uint32_t peer = wire->peer_address;
        if (wire->is_up)
            (void)snprintf(address, sizeof address, "%u.%u.%u.%u", peer >> 24, peer >> 16 & 255, peer >> 8 & 255,
                           peer & 255);
        used +=
            snprintf(text + used, sizeof text - (size_t)used, "%-15s %.31s\n", address, contract_links(init)[i].peer);
    }
    (void)!pwrite(init->hosts_fd, text, (size_t)used, 0); /* a tmpfs of ours with room for it */
}

void process_renew(struct init *init, uint32_t index, const struct init_wire *wire)
{
    if (contract_links(init)[index].direction == LINK_OUT) {
        process_write_hosts(init);
        return;
    }
    /* Its program listens, on the new wire as on the old one, or is about to: nothing is ours to wait for. */
    struct init_message message = {.kind = INIT_LISTENING, .link = index};
    tell_hostd(init, &message);
}

/* ---- sd_notify ---- */

/* Lines NAME=value, ended by newlines. */
static bool says_ready(const char *text, size_t bytes)
{
    static const char ready[] = "READY=1";
    while (bytes > 0) {
        const char *newline = memchr(text, '\n', bytes);
        size_t line = newline ? (size_t)(newline - text) : bytes;
        if (line == sizeof ready - 1 && memcmp(text, ready, line) == 0)
            return true;
        size_t taken = newline ? line + 1 : line;
        text += taken;
        bytes -= taken;
    }
    return false;
}

void process_read_notes(struct init *init)
{
    char text[NOTIFY_BYTES_MAX];
    for (int i = 0; i < NOTIFY_PER_TURN_MAX; i++) {
        /* Without room for control data the kernel closes descriptors that come with it. */
        ssize_t got = recv(init->notify_fd, text, sizeof text, MSG_DONTWAIT);
        if (got < 0)
            return;
        if (!init->is_ready && says_ready(text, (size_t)got))
            loop_ready(init);
    }
}
