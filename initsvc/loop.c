/*
 * loop.c - PID 1 after the start: one loop, one exit.
 *
 *   poll ──▶ hostd's messages  (renew a link, stop)          loop_message()
 *        │                     (a connection of hostd call)    operator_came()
 *        ├─▶ the next hostd, after one has died              adopt_accept(), adopt_read()
 *        ├─▶ the service's notes (ready, wants a wire, counts) service_note()
 *        ├─▶ a process's sd_notify (ready)                     process_read_notes()
 *        ├─▶ the service's output → log files                logs_write()
 *        ├─▶ dials under way, dials to try again             dial_done(), dial()
 *        ├─▶ lines dropped and not yet told                  logs_run()
 *        ├─▶ a ring that does not turn                       watchdog_run()
 *        ├─▶ a time that the service waits for               run_timers(): NOTE_RING
 *        └─▶ children that ended → reap; the main one → leave()
 *
 * Invariants
 *  I1  Nothing here blocks: every descriptor is non-blocking, every wait is the one poll.
 *  I2  Only the end of the service, the deadline of a stop, or the watchdog ends us.  hostd's death does not.
 *  I3  The service is not trusted: its notes are checked, and name only slots of the link they name; of whatever it
 *      writes or sends, one turn takes a bounded part.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "initsvc/init.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"

#define DIAL_PAUSE_MS_MIN 10u
#define DIAL_PAUSE_MS_MAX 500u
#define DRAIN_BYTES_MAX (1u << 20) /* of log per turn: a flood must not keep us from the rest */
#define NOTE_READS_MAX 64          /* per turn, likewise: more than the pipe holds, so an end loses none */
#define SIGNALS_MAX 64             /* per turn, likewise: a process may send us queued ones */

void tell_hostd(struct init *init, const struct init_message *message)
{
    if (init->stage_fd >= 0)
        (void)send(init->stage_fd, message, sizeof *message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static const struct contract_link *contract_link(const struct init *init, uint32_t link)
{
    return (const struct contract_link *)(const void *)((const char *)init->contract + init->contract->links_at) + link;
}

/* ---- wires ---- */

/* Hands link->fd over to the service.  Whatever happens, the descriptor is not ours any more. */
static void deliver(struct init *init, uint32_t index)
{
    struct link *link = &init->links[index];
    struct err e;
    int result = sender_send(&init->sender, init->ring_fd, link->fd, link->want_slot,
                             wire_user_data(index, link->want_slot, link->wire.generation), &e);
    fd_close(&link->fd);
    /* A failure means that the service is ending (its ring takes nothing more): the reaper sees that. */
    if (result == 0)
        link->has_want = false;
}

static void dial_failed(struct link *link)
{
    fd_close(&link->fd);
    link->is_dialing = false;
    link->pause_ms = link->pause_ms ? link->pause_ms * 2 : DIAL_PAUSE_MS_MIN;
    if (link->pause_ms > DIAL_PAUSE_MS_MAX)
        link->pause_ms = DIAL_PAUSE_MS_MAX;
    link->retry_at_ms = clock_ms() + link->pause_ms;
}

static void dial_done(struct init *init, uint32_t index)
{
    struct link *link = &init->links[index];
    struct err e;
    link->is_dialing = false;
    if (wire_dial_result(link->fd, &e) < 0 || wire_make_blocking(link->fd, &e) < 0) {
        dial_failed(link);
        return;
    }
    link->pause_ms = 0;
    deliver(init, index);
}

static void dial(struct init *init, uint32_t index)
{
    struct link *link = &init->links[index];
    struct err e;
    link->retry_at_ms = 0;
    int result = wire_dial(&link->wire, &link->fd, &e);
    if (result == 0)
        dial_done(init, index);
    else if (result == -EINPROGRESS)
        link->is_dialing = true;
    else
        dial_failed(link); /* the old wire is gone with its peer; INIT_RENEW brings the next one */
}

/* The service has an empty slot, or we have a new wire: bring them together. */
static void serve_want(struct init *init, uint32_t index)
{
    struct link *link = &init->links[index];
    if (!link->has_want || !link->wire.is_up)
        return;
    if (contract_link(init, index)->direction == LINK_OUT) {
        if (link->fd < 0)
            dial(init, index);
        return;
    }
    struct err e;
    if (link->fd < 0 && wire_listen(&link->wire, &link->fd, &e) < 0)
        return; /* the service still holds the old one, or the wire is gone: the next renewal mends both */
    deliver(init, index);
}

void note_to_service(struct init *init, const struct note_down *note)
{
    if (init->service_pid <= 0)
        return;                                           /* not started: it will read all of this in its contract */
    (void)!write(init->note_down_fd, note, sizeof *note); /* full: 4,000 notes unread, the service does not turn */
}

static void renew(struct init *init, uint32_t index, const struct init_wire *wire)
{
    struct link *link = &init->links[index];
    fd_close(&link->fd);
    link->is_dialing = false;
    link->retry_at_ms = 0;
    link->pause_ms = 0;
    link->wire = *wire;
    link->wire.is_up = 1;
    if (init_is_process(init)) {
        process_renew(init, index, wire);
        return;
    }
    if (contract_link(init, index)->direction == LINK_IN) {
        struct init_message message = {.kind = INIT_LISTENING, .link = index};
        /* The listener stands before hostd lets the caller connect; its backlog keeps early connections. */
        if (wire_listen(&link->wire, &link->fd, &message.error) < 0)
            message.error.code = message.error.code ? message.error.code : -EIO;
        tell_hostd(init, &message);
    }
    note_to_service(init, &(struct note_down){.kind = NOTE_RENEWED, .link = index, .generation = wire->generation});
    serve_want(init, index);
}

/* ---- messages of hostd ---- */

void loop_message(struct init *init, const struct init_message *message)
{
    if (message->kind == INIT_RENEW && message->link < init->link_count) {
        renew(init, message->link, &message->wire);
    } else if (message->kind == INIT_STOP && init->kill_at_ms == 0) {
        init->kill_at_ms = clock_ms() + message->value;
        if (!init_is_process(init))
            note_to_service(init, &(struct note_down){.kind = NOTE_STOP, .value = message->value});
        else if (init->service_pid > 0)
            (void)kill(init->service_pid, SIGTERM); /* not reaped yet: the number is still its own */
    }
}

/* ---- the operator ---- */

static bool operator_has_room(const struct init *init)
{
    return init->operator_taken != (1ull << init->contract->operator_slot_count) - 1;
}

/* Hands the oldest connection over, as long as a slot is empty. */
static void operator_serve(struct init *init)
{
    struct err e;
    while (init->operator_waiting_count > 0 && operator_has_room(init)) {
        uint32_t i = (uint32_t)__builtin_ctz(~init->operator_taken), slot = init->contract->operator_slot_first + i;
        int fd = init->operator_waiting[0];
        init->operator_waiting_count--;
        memmove(init->operator_waiting, init->operator_waiting + 1, init->operator_waiting_count * sizeof fd);
        uint64_t user_data = wire_user_data(OPERATOR_LINK, slot, ++init->operator_count);
        if (sender_send(&init->sender, init->ring_fd, fd, slot, user_data, &e) == 0)
            init->operator_taken |= 1u << i; /* until the service says that it is empty again */
        fd_close(&fd);
    }
}

/* A connection of `hostd call`.  One too many, or too early, is closed: the client sees its end. */
static void operator_came(struct init *init, int *fd)
{
    if (!init->is_ready || init_is_process(init) || init->operator_waiting_count == OPERATOR_WAITING_MAX)
        return;
    init->operator_waiting[init->operator_waiting_count++] = fd_take(fd);
    operator_serve(init);
}

static void operator_wants(struct init *init, uint32_t slot)
{
    uint32_t i = slot - init->contract->operator_slot_first;
    if (i >= init->contract->operator_slot_count)
        return;
    init->operator_taken &= ~(1u << i);
    operator_serve(init);
}

/* ---- messages of hostd: reading them ---- */

/* One message; *ret_fd the descriptor that came with it, or -1.  As recv(2). */
static ssize_t receive(int stage_fd, struct init_message *message, int *ret_fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))]; /* of more the kernel closes the rest */
    } control;
    struct iovec data = {.iov_base = message, .iov_len = sizeof *message};
    struct msghdr header = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(stage_fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *rights = got > 0 ? CMSG_FIRSTHDR(&header) : NULL;
    *ret_fd = -1;
    if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS &&
        rights->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(rights), sizeof *ret_fd);
    return got;
}

/* The service and its policy stay. */
static void lose_hostd(struct init *init)
{
    fd_close(&init->stage_fd);
    init->alone_since_ms = clock_ms();
}

static void read_hostd(struct init *init)
{
    struct init_message message;
    ssize_t got;
    int fd = -1;
    while ((got = receive(init->stage_fd, &message, &fd)) > 0) {
        if ((size_t)got == sizeof message && message.kind == INIT_OPERATOR && fd >= 0)
            operator_came(init, &fd);
        else if ((size_t)got == sizeof message)
            loop_message(init, &message);
        fd_close(&fd);
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        lose_hostd(init);
}

/* ---- notes of the service ---- */

static void flush_count(struct init *init, uint32_t index, uint32_t kind, uint32_t *count, uint64_t *told,
                        uint32_t method)
{
    if (*count == 0 || init->stage_fd < 0)
        return;
    struct init_message message = {
        .kind = INIT_COUNTS, .link = index, .note = {.kind = kind, .link = index, .count = *count, .method = method}};
    if (send(init->stage_fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return; /* told with the next turn */
    *told += *count;
    *count = 0;
}

static void flush_denied(struct init *init, uint32_t index, struct link *link)
{
    for (uint32_t i = 0; i < DENIED_METHODS_MAX; i++)
        flush_count(init, index, NOTE_DENIED, &link->denied[i].count, &link->told_denied, link->denied[i].method);
}

static void count_denied(struct link *link, const struct note_up *note)
{
    struct denied *denied = link->denied;
    while (denied->count > 0 && denied->method != note->method && denied < link->denied + DENIED_METHODS_MAX - 1)
        denied++;
    denied->method = note->method;
    denied->count += note->count;
}

void loop_ready(struct init *init)
{
    init->is_ready = true;
    init->ready_at_ms = clock_ms();
    watchdog_begin(init);
    if (!exec_is_on(init, INIT_EXEC))
        (void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0); /* from here we outlive hostd */
    struct init_message message = {.kind = INIT_IS_READY};
    tell_hostd(init, &message);
}

static void service_note(struct init *init, const struct note_up *note)
{
    if (note->kind == NOTE_READY && !init->is_ready) {
        loop_ready(init);
        return;
    }
    if (note->kind == NOTE_PONG) {
        watchdog_answered(init);
        return;
    }
    if (note->kind == NOTE_ALARM) {
        init->alarm_at_ms = clock_ms() + note->count;
        return;
    }
    bool is_operator = note->link == OPERATOR_LINK;
    if (note->link >= init->link_count && !is_operator)
        return;
    struct link *link = is_operator ? &init->operator: & init->links[note->link];
    const struct contract_link *quota = is_operator ? NULL : contract_link(init, note->link);
    switch (note->kind) {
    case NOTE_WANT:
        if (is_operator) {
            operator_wants(init, note->slot);
            return;
        }
        /* Listeners and connections of our making go into the first two slots of a link (contract.h, I2). */
        if (note->slot < quota->slot_first || note->slot > quota->slot_first + 1)
            return;
        link->has_want = true;
        link->want_slot = note->slot;
        serve_want(init, note->link);
        return;
    case NOTE_DENIED:
        count_denied(link, note);
        return;
    case NOTE_BROKEN:
        link->broken += note->count;
        return;
    case NOTE_CALLS:
        link->calls += note->count;
        return;
    default:
        return;
    }
}

static void read_notes(struct init *init)
{
    struct note_up notes[64];
    ssize_t got = -1;
    for (int k = 0; k < NOTE_READS_MAX && (got = read(init->note_up_fd, notes, sizeof notes)) > 0; k++)
        for (size_t i = 0; i < (size_t)got / sizeof notes[0]; i++)
            service_note(init, &notes[i]);
    if (got == 0)
        fd_close(&init->note_up_fd);
}

static void flush_counts(struct init *init)
{
    for (uint32_t i = 0; i < init->link_count; i++) {
        struct link *link = &init->links[i];
        flush_denied(init, i, link);
        flush_count(init, i, NOTE_BROKEN, &link->broken, &link->told_broken, 0);
        flush_count(init, i, NOTE_CALLS, &link->calls, &link->told_calls, 0);
    }
    flush_denied(init, OPERATOR_LINK, &init->operator);
    flush_count(init, OPERATOR_LINK, NOTE_BROKEN, &init->operator.broken, &init->operator.told_broken, 0);
    flush_count(init, OPERATOR_LINK, NOTE_CALLS, &init->operator.calls, &init->operator.told_calls, 0);
}

/* ---- log ---- */

static void read_log(struct init *init)
{
    char bytes[16384];
    ssize_t got = 0;
    for (size_t total = 0; total < DRAIN_BYTES_MAX; total += (size_t)got) {
        got = read(init->log_fd, bytes, sizeof bytes);
        if (got <= 0)
            break;
        logs_write(&init->logs, bytes, (size_t)got);
    }
    if (got == 0) {
        logs_flush(&init->logs);
        fd_close(&init->log_fd);
    }
}

/* ---- children ---- */

/* why: "" when it ended by itself. */
static _Noreturn void leave(struct init *init, int wait_status, const char *why)
{
    if (init->note_up_fd >= 0)
        read_notes(init);
    if (init->log_fd >= 0)
        read_log(init);
    logs_flush(&init->logs);
    flush_counts(init);
    char text[INIT_WHY_BYTES + 16];
    int bytes = snprintf(text, sizeof text, "%d %.*s\n", wait_status, (int)INIT_WHY_BYTES - 1, why);
    (void)!pwrite(init->status_fd, text, (size_t)bytes, 0); /* for a hostd that is not our parent */
    struct init_message message = {.kind = INIT_EXITED, .value = (uint32_t)wait_status};
    (void)snprintf(message.error.text, sizeof message.error.text, "%s", why);
    tell_hostd(init, &message);
    if (exec_is_on(init, INIT_EXEC))
        exec_wait_for_end();
    _exit(WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
}

/* Our end is the kernel's SIGKILL for all that runs here. */
_Noreturn void leave_killed(struct init *init, const char *why)
{
    leave(init, SIGKILL, why);
}

static void reap(struct init *init)
{
    struct signalfd_siginfo info[SIGNALS_MAX];
    /* SIGCHLD coalesces: only the fact counts; others are for nobody here. */
    (void)!read(init->signal_fd, info, sizeof info);
    for (;;) {
        int wait_status = 0;
        pid_t pid = waitpid(-1, &wait_status, WNOHANG);
        if (pid <= 0)
            return;
        if (pid == init->service_pid)
            leave(init, wait_status, "");
    }
}

/* ---- the loop ---- */

static int next_timeout_ms(const struct init *init)
{
    uint64_t next = init->kill_at_ms;
    for (size_t i = 0; i < init->link_count; i++) {
        uint64_t at = init->links[i].retry_at_ms;
        if (at && (!next || at < next))
            next = at;
    }
    if (init->started_until_ms && (!next || init->started_until_ms < next))
        next = init->started_until_ms;
    const uint64_t others[] = {init->alarm_at_ms, watchdog_next_ms(init), logs_next_ms(&init->logs)};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        if (others[i] && (!next || others[i] < next))
            next = others[i];
    if (!next)
        return -1;
    uint64_t now = clock_ms();
    return next <= now ? 0 : next - now > 60000 ? 60000 : (int)(next - now);
}

static void run_timers(struct init *init)
{
    uint64_t now = clock_ms();
    for (uint32_t i = 0; i < init->link_count; i++)
        if (init->links[i].retry_at_ms && init->links[i].retry_at_ms <= now)
            dial(init, i);
    if (init->started_until_ms && init->started_until_ms <= now) {
        init->started_until_ms = 0;
        loop_ready(init);
    }
    if (init->alarm_at_ms && init->alarm_at_ms <= now) {
        init->alarm_at_ms = 0;
        note_to_service(init, &(struct note_down){.kind = NOTE_RING});
    }
    if (init->kill_at_ms && init->kill_at_ms <= now)
        leave_killed(init, "it did not stop in time");
    logs_run(&init->logs, now);
    watchdog_run(init, now);
}

/* What is always waited for; dials under way stand behind. */
enum { POLL_HOSTD, POLL_NOTES, POLL_LOG, POLL_SIGNALS, POLL_ADOPT, POLL_CANDIDATE, POLL_NOTIFY, POLL_FIRST_DIAL };

_Noreturn void loop_run(struct init *init)
{
    for (;;) {
        struct pollfd polls[POLL_FIRST_DIAL + LINKS_MAX];
        uint32_t dialing[LINKS_MAX];
        nfds_t count = POLL_FIRST_DIAL;
        polls[POLL_HOSTD] = (struct pollfd){.fd = init->stage_fd, .events = POLLIN};
        polls[POLL_NOTES] = (struct pollfd){.fd = init->note_up_fd, .events = POLLIN};
        polls[POLL_LOG] = (struct pollfd){.fd = init->log_fd, .events = POLLIN};
        polls[POLL_SIGNALS] = (struct pollfd){.fd = init->signal_fd, .events = POLLIN};
        polls[POLL_ADOPT] = (struct pollfd){.fd = init->adopt_fd, .events = POLLIN};
        polls[POLL_CANDIDATE] = (struct pollfd){.fd = init->candidate_fd, .events = POLLIN};
        polls[POLL_NOTIFY] = (struct pollfd){.fd = init->notify_fd, .events = POLLIN};
        for (uint32_t i = 0; i < init->link_count; i++) {
            if (!init->links[i].is_dialing)
                continue;
            dialing[count - POLL_FIRST_DIAL] = i;
            polls[count++] = (struct pollfd){.fd = init->links[i].fd, .events = POLLOUT};
        }
        if (poll(polls, count, next_timeout_ms(init)) < 0 && errno != EINTR)
            continue; /* out of memory for a moment; nothing better to do than to try again */
        if (polls[POLL_LOG].revents)
            read_log(init);
        if (polls[POLL_NOTES].revents)
            read_notes(init);
        if (polls[POLL_NOTIFY].revents)
            process_read_notes(init);
        for (nfds_t k = POLL_FIRST_DIAL; k < count; k++)
            if (polls[k].revents && init->links[dialing[k - POLL_FIRST_DIAL]].is_dialing)
                dial_done(init, dialing[k - POLL_FIRST_DIAL]);
        if (polls[POLL_HOSTD].revents)
            read_hostd(init);
        if (polls[POLL_CANDIDATE].revents)
            adopt_read(init);
        if (polls[POLL_ADOPT].revents)
            adopt_accept(init);
        if (polls[POLL_SIGNALS].revents)
            reap(init);
        run_timers(init);
        flush_counts(init);
    }
}
