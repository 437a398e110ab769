/*
 * netlink.c - see netlink.h.  Doing: the only file here that enters namespaces for sockets, sends or receives.
 *
 * The kernel does the work of a message during the send, on this thread, and queues the answers before send returns;
 * the receives below find them there.  The deadline is for a kernel that breaks this.
 */
#include "netconf/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netconf/netconf.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"

#define RETURN_TRIES_MAX 100 /* a tenth of a second */
#define REPLY_BYTES 32768    /* the kernel fills dumps up to this, and no more, per receive */
#define CHUNK_MESSAGES 32u   /* whose answers fit the receive queue: one about a link counts 2 to 5 KB of 208 */
#define CHUNK_BYTES 24576u
#define SEND_BYTES_DEFAULT 65536u   /* what a socket takes in one send without being asked */
#define BATCH_BYTES_MAX (64u << 20) /* a filter of 8,192 links is 16 MiB */
#define DUMP_TRIES_MAX 4            /* a list that changed while it was read is read again */

/* ---- namespaces ---- */

int netns_home(int *ret_home_fd, struct err *e)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, -errno, "open own network namespace");
    /* Whoever may not enter it now could not come back to it later: then it is not left in the first place. */
    if (setns(fd, CLONE_NEWNET) < 0) {
        int code = -errno;
        (void)close(fd); /* nothing was done with it */
        (void)err_sys(e, code, "re-enter own network namespace");
        return err_hint(e, "needs CAP_SYS_ADMIN in the user namespace that owns it: run as root");
    }
    *ret_home_fd = fd;
    return 0;
}

int netns_enter(int netns_fd, struct err *e)
{
    if (setns(netns_fd, CLONE_NEWNET) < 0)
        return err_sys(e, -errno, "enter network namespace (descriptor %d)", netns_fd);
    return 0;
}

void net_namespace_return(int home_fd)
{
    for (int tries = 0; setns(home_fd, CLONE_NEWNET) < 0; tries++) {
        if (tries < RETURN_TRIES_MAX) {
            (void)poll(NULL, 0, 1);
            continue;
        }
        /* netlink.h I1.  stderr by hand: modules do not log, but these are this process's last words. */
        char text[128];
        int length = snprintf(text, sizeof text, "netconf: cannot return to own network namespace: %s; aborting\n",
                              strerror(errno));
        if (length > 0 && write(STDERR_FILENO, text, (size_t)length) < 0)
            abort();
        abort();
    }
}

/* ---- sockets ---- */

/* Opens a socket in the namespace that the thread is in now; it stays there for life. */
static int socket_open(int protocol, struct netlink *ret_socket, struct err *e)
{
    FD_AUTO int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return err_sys(e, -errno, "open netlink socket (protocol %d)", protocol);
    const int on = 1;
    if (setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on) < 0)
        return err_sys(e, -errno, "set up netlink socket (protocol %d)", protocol);
    /* Not bound: the first send gives it an address. */
    *ret_socket = (struct netlink){.fd = fd_take(&fd), .sequence = 1};
    return 0;
}

int netlink_open(int home_fd, int netns_fd, struct netlink *ret_route, struct netlink *ret_filter, struct err *e)
{
    NETLINK_AUTO struct netlink route = NETLINK_CLOSED, filter = NETLINK_CLOSED;
    int code = netns_fd < 0 ? 0 : netns_enter(netns_fd, e);
    if (code < 0)
        return code;
    if (ret_route)
        code = socket_open(NETLINK_ROUTE, &route, e);
    if (code == 0 && ret_filter)
        code = socket_open(NETLINK_NETFILTER, &filter, e);
    if (netns_fd >= 0)
        net_namespace_return(home_fd);
    if (code < 0)
        return code;
    if (ret_route)
        *ret_route = (struct netlink){.fd = fd_take(&route.fd), .sequence = route.sequence};
    if (ret_filter)
        *ret_filter = (struct netlink){.fd = fd_take(&filter.fd), .sequence = filter.sequence};
    return 0;
}

void netlink_close(struct netlink *socket)
{
    fd_close(&socket->fd);
}

/* ---- building ---- */

int netlink_batch_init(struct netlink_batch *batch, struct err *e)
{
    *batch = (struct netlink_batch){
        .scratch = nlmsg_alloc_size(NETLINK_MESSAGE_BYTES_MAX),
        .reply = malloc(REPLY_BYTES),
    };
    if (!batch->scratch || !batch->reply) {
        netlink_batch_done(batch);
        return err_set(e, -ENOMEM, "out of memory for netlink messages");
    }
    return 0;
}

void netlink_batch_reset(struct netlink_batch *batch)
{
    batch->bytes_used = batch->message_count = batch->failed = 0;
    batch->is_atomic = batch->is_persistent = false;
    batch->build_code = 0;
    batch->kernel_text[0] = '\0';
}

void netlink_batch_done(struct netlink_batch *batch)
{
    if (batch->scratch)
        nlmsg_free(batch->scratch);
    free(batch->reply);
    free(batch->bytes);
    free(batch->messages);
    *batch = (struct netlink_batch){0};
}

/* Building is straight-line: the first failure sticks, and netlink_run() refuses. */
static void build_check(struct netlink_batch *batch, bool is_good)
{
    if (!is_good && batch->build_code == 0)
        batch->build_code = -ENOMEM;
}

void netlink_message(struct netlink_batch *batch, uint16_t type, uint16_t flags, const void *header, size_t bytes)
{
    nlmsg_hdr(batch->scratch)->nlmsg_len = NLMSG_HDRLEN; /* forget the message before */
    build_check(batch, nlmsg_put(batch->scratch, 0, 0, type, 0, NLM_F_REQUEST | flags) != NULL);
    netlink_put_header(batch, header, bytes);
}

void netlink_put_header(struct netlink_batch *batch, const void *header, size_t bytes)
{
    build_check(batch, nlmsg_append(batch->scratch, (void *)(uintptr_t)header, bytes, NLMSG_ALIGNTO) == 0);
}

void netlink_put(struct netlink_batch *batch, int attribute, const void *data, size_t bytes)
{
    build_check(batch, nla_put(batch->scratch, attribute, (int)bytes, data) == 0);
}

void netlink_put_u32(struct netlink_batch *batch, int attribute, uint32_t value)
{
    netlink_put(batch, attribute, &value, sizeof value);
}

void netlink_put_text(struct netlink_batch *batch, int attribute, const char *text)
{
    netlink_put(batch, attribute, text, strlen(text) + 1);
}

struct nlattr *netlink_nest(struct netlink_batch *batch, int attribute)
{
    struct nlattr *nest = nla_nest_start(batch->scratch, attribute);
    build_check(batch, nest != NULL);
    return nest;
}

void netlink_nest_end(struct netlink_batch *batch, struct nlattr *nest)
{
    if (nest)
        build_check(batch, nla_nest_end(batch->scratch, nest) == 0);
}

char *netlink_room(struct netlink_batch *batch)
{
    return (char *)nlmsg_hdr(batch->scratch);
}

/* Makes room for `need` more elements behind `used`, at least doubling. */
static void *grow(void *array, size_t *room, size_t used, size_t need, size_t element_bytes)
{
    if (used + need <= *room)
        return array;
    size_t wanted = *room * 2 > used + need ? *room * 2 : used + need;
    void *moved = reallocarray(array, wanted, element_bytes);
    if (moved)
        *room = wanted;
    return moved;
}

void netlink_append(struct netlink_batch *batch, enum netlink_kind kind, size_t item, const char *step)
{
    const struct nlmsghdr *message = nlmsg_hdr(batch->scratch);
    size_t bytes = NLMSG_ALIGN(message->nlmsg_len);
    void *room = batch->bytes_used + bytes > BATCH_BYTES_MAX
                     ? NULL
                     : grow(batch->bytes, &batch->bytes_room, batch->bytes_used, bytes + 1024, 1);
    if (room)
        batch->bytes = room;
    void *messages = grow(batch->messages, &batch->message_room, batch->message_count, 8, sizeof *batch->messages);
    if (messages)
        batch->messages = messages;
    build_check(batch, room && messages);
    if (batch->build_code < 0)
        return;
    memset(batch->bytes + batch->bytes_used + bytes - NLMSG_ALIGNTO, 0, NLMSG_ALIGNTO); /* padding sends no garbage */
    memcpy(batch->bytes + batch->bytes_used, message, message->nlmsg_len);
    batch->messages[batch->message_count++] = (struct netlink_message){
        .at = batch->bytes_used, .item = item, .step = step, .code = -EINPROGRESS, .kind = kind};
    batch->bytes_used += bytes;
}

const struct nlmsghdr *netlink_at(const struct netlink_batch *batch, size_t index)
{
    return (const struct nlmsghdr *)(const void *)(batch->bytes + batch->messages[index].at);
}

/* ---- running ---- */

/* One send and its answers: messages [first, end) of the batch. */
struct exchange {
    struct netlink *socket;
    struct netlink_batch *batch;
    netlink_reply_fn *on_reply;
    void *context;
    size_t first, end;
    size_t last;       /* the message whose acknowledgement, or end of list, ends the exchange */
    uint32_t sequence; /* of `first` */
    bool is_over, is_stale_dump;
};

/* Copies the kernel's explanation of a failure, if it sent one. */
static void explanation(const struct nlmsghdr *answer, char ret_text[NETLINK_KERNEL_TEXT_BYTES])
{
    const struct nlmsgerr *error = nlmsg_data(answer);
    size_t skip = sizeof *error;
    if (!(answer->nlmsg_flags & NLM_F_CAPPED))
        skip += error->msg.nlmsg_len - NLMSG_HDRLEN;
    skip = NLMSG_ALIGN(skip);
    size_t bytes = (size_t)nlmsg_datalen(answer);
    if (!(answer->nlmsg_flags & NLM_F_ACK_TLVS) || skip >= bytes)
        return;
    const struct nlattr *text = nla_find((const struct nlattr *)(const void *)((const char *)error + skip),
                                         (int)(bytes - skip), NLMSGERR_ATTR_MSG);
    if (text && nla_len(text) > 0)
        (void)snprintf(ret_text, NETLINK_KERNEL_TEXT_BYTES, "%.*s", nla_len(text), (const char *)nla_data(text));
}

/* Notes the result of a message.  A batch keeps the first failure and its text. */
static void note_result(struct exchange *x, size_t index, int code, const struct nlmsghdr *answer)
{
    struct netlink_batch *batch = x->batch;
    if (code < 0) {
        batch->messages[index].code = code;
        if (index < batch->failed) {
            batch->failed = index;
            batch->kernel_text[0] = '\0';
            explanation(answer, batch->kernel_text);
        }
    }
    /* A transaction that is refused as a whole answers for its first message, and may never answer for the last. */
    if (index == x->last || (code < 0 && x->batch->is_atomic && index == x->first))
        x->is_over = true;
}

static int answer_take(struct exchange *x, const struct nlmsghdr *answer)
{
    uint32_t offset = answer->nlmsg_seq - x->sequence;
    if (offset >= x->end - x->first)
        return 0; /* of an earlier run */
    size_t index = x->first + offset;
    if (answer->nlmsg_flags & NLM_F_DUMP_INTR)
        x->is_stale_dump = true;
    switch (answer->nlmsg_type) {
    case NLMSG_NOOP:
        return 0;
    case NLMSG_OVERRUN:
        return -ENOBUFS;
    case NLMSG_ERROR:
        if (nlmsg_datalen(answer) < (int)sizeof(struct nlmsgerr))
            return -EBADMSG;
        note_result(x, index, ((const struct nlmsgerr *)nlmsg_data(answer))->error, answer);
        return 0;
    case NLMSG_DONE: {
        int code = 0;
        if (nlmsg_datalen(answer) >= (int)sizeof code)
            memcpy(&code, nlmsg_data(answer), sizeof code);
        if (code < 0) {
            x->batch->messages[index].code = code;
            if (index < x->batch->failed)
                x->batch->failed = index;
        }
        x->is_over = x->is_over || index == x->last;
        return 0;
    }
    default:
        if (x->on_reply)
            x->on_reply(x->context, x->batch->messages[index].item, answer);
        x->is_over = x->is_over || (index == x->last && x->batch->messages[index].kind == NETLINK_QUERY);
        return 0;
    }
}

/* Waits for an answer that is not there yet; -ETIMEDOUT at the deadline. */
static int answer_wait(int fd, uint64_t deadline_ms)
{
    uint64_t now_ms = clock_ms();
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int ready = now_ms < deadline_ms ? poll(&wait, 1, (int)(deadline_ms - now_ms)) : 0;
    return ready > 0 || (ready < 0 && errno == EINTR) ? 0 : ready < 0 ? -errno : -ETIMEDOUT;
}

static int answers_read(struct exchange *x)
{
    uint64_t deadline_ms = clock_ms() + NET_REPLY_MS_MAX;
    while (!x->is_over) {
        struct sockaddr_nl from = {0};
        struct iovec room = {.iov_base = x->batch->reply, .iov_len = REPLY_BYTES};
        struct msghdr header = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &room, .msg_iovlen = 1};
        ssize_t received = recvmsg(x->socket->fd, &header, MSG_DONTWAIT);
        if (received < 0) {
            int code = errno == EAGAIN || errno == EINTR ? answer_wait(x->socket->fd, deadline_ms) : -errno;
            if (code < 0)
                return code;
            continue;
        }
        if (from.nl_pid != 0)
            continue; /* only the kernel is believed */
        if (header.msg_flags & MSG_TRUNC)
            return -EMSGSIZE;
        int left = (int)received;
        for (struct nlmsghdr *answer = (struct nlmsghdr *)(void *)x->batch->reply; nlmsg_ok(answer, left);
             answer = nlmsg_next(answer, &left)) {
            int code = answer_take(x, answer);
            if (code < 0)
                return code;
        }
    }
    return 0;
}

/* Numbers the messages of an exchange, asks for the one acknowledgement, sends. */
static int exchange_send(struct exchange *x)
{
    struct netlink_batch *batch = x->batch;
    x->sequence = x->socket->sequence;
    x->socket->sequence += (uint32_t)(x->end - x->first);
    for (size_t i = x->first; i < x->end; i++) {
        struct nlmsghdr *message = (struct nlmsghdr *)(void *)(batch->bytes + batch->messages[i].at);
        message->nlmsg_seq = x->sequence + (uint32_t)(i - x->first);
        batch->messages[i].code = -EINPROGRESS;
        if (i == x->last && batch->messages[i].kind == NETLINK_CHANGE)
            message->nlmsg_flags |= NLM_F_ACK;
    }
    size_t at = batch->messages[x->first].at;
    size_t bytes = (x->end < batch->message_count ? batch->messages[x->end].at : batch->bytes_used) - at;
    int wanted = (int)bytes + (int)SEND_BYTES_DEFAULT;
    if (bytes > SEND_BYTES_DEFAULT && setsockopt(x->socket->fd, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof wanted) < 0)
        return -errno;
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t sent;
    do
        sent = sendto(x->socket->fd, batch->bytes + at, bytes, 0, (const struct sockaddr *)&kernel, sizeof kernel);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : (size_t)sent == bytes ? 0 : -EMSGSIZE;
}

static int exchange_run(struct exchange *x)
{
    for (int try = 0; try < DUMP_TRIES_MAX; try++) {
        x->is_over = x->is_stale_dump = false;
        int code = exchange_send(x);
        if (code == 0)
            code = answers_read(x);
        if (code < 0)
            return code;
        if (!x->is_stale_dump)
            return 0;
    }
    return -EAGAIN;
}

/* The messages that one send takes: all of a transaction, one dump, or a chunk whose answers fit the queue. */
static size_t exchange_end(const struct netlink_batch *batch, size_t first)
{
    if (batch->is_atomic)
        return batch->message_count;
    size_t end = first + 1;
    while (end < batch->message_count && end - first < CHUNK_MESSAGES && batch->messages[first].kind != NETLINK_LIST &&
           batch->messages[end].kind != NETLINK_LIST &&
           batch->messages[end].at - batch->messages[first].at < CHUNK_BYTES)
        end++;
    return end;
}

int netlink_run(struct netlink *socket, struct netlink_batch *batch, netlink_reply_fn *on_reply, void *context)
{
    batch->failed = batch->message_count;
    batch->kernel_text[0] = '\0';
    if (batch->build_code < 0)
        return batch->build_code;
    for (size_t first = 0, end; first < batch->message_count; first = end) {
        end = exchange_end(batch, first);
        struct exchange x = {
            .socket = socket, .batch = batch, .on_reply = on_reply, .context = context, .first = first, .end = end};
        x.last = batch->is_atomic ? end - 2 : end - 1; /* the end of a transaction is not acknowledged before 6.10 */
        int code = exchange_run(&x);
        if (code < 0)
            return code;
        for (size_t i = first; i < end; i++)
            if (batch->messages[i].code == -EINPROGRESS)
                batch->messages[i].code = 0;
        if (batch->failed < batch->message_count && !batch->is_persistent)
            break;
    }
    return batch->failed < batch->message_count ? batch->messages[batch->failed].code : 0;
}

int netlink_explain(const struct netlink_batch *batch, int code, struct err *e)
{
    if (batch->failed >= batch->message_count)
        return err_sys(e, code, "%s: netlink", batch->message_count ? batch->messages[0].step : "build");
    const char *step = batch->messages[batch->failed].step;
    if (batch->kernel_text[0])
        return err_sys(e, code, "%s: %s", step, batch->kernel_text);
    return err_sys(e, code, "%s", step);
}
