/*
 * netlink.h - the waist through which this folder talks to the kernel: sockets inside a namespace, and batches.
 *
 * Order of use: netns_home() once, netlink_open() per namespace; netlink_batch_init(), then per message
 * netlink_message() or netlink_room(), attributes, netlink_append(); netlink_run() sends all of it and reads the
 * answers; netlink_batch_reset() to use the batch again, netlink_batch_done() at the end.
 *
 * Invariants
 *  I1  netlink_open() returns in the namespace that it was called in, or the process aborts: going on in a service's
 *      namespace would do the host's next work in the wrong place.
 *  I2  Every message of a batch ends with a code: 0, the kernel's negative errno, or -EINPROGRESS (never sent).  Only
 *      answers with a sequence number of this run count; what an earlier run left in the queue is skipped.
 *  I3  No answer within NET_REPLY_MS_MAX is a failure, not a wait.
 *
 * Answers are read one per system call, so few are asked for.  The kernel works through a send in order, and answers
 * every failure whether asked or not; so only the last message of a send asks for an acknowledgement (or is a query,
 * and has an answer anyway), and its arrival says that the silent ones before it passed.
 *
 * Private to netconf.
 */
#ifndef NETCONF_NETLINK_H
#define NETCONF_NETLINK_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/base/err.h"

#define NETLINK_MESSAGE_BYTES_MAX 4096 /* one message of ours: the largest is a filter rule, below 1 KiB */
#define NETLINK_KERNEL_TEXT_BYTES 128  /* of the kernel's own explanation; the longest seen are about 80 */

struct netlink {
    int fd;
    uint32_t sequence; /* of the next message */
};

#define NETLINK_CLOSED ((struct netlink){.fd = -1})
#define NETLINK_AUTO __attribute__((cleanup(netlink_close)))

enum netlink_kind {
    NETLINK_CHANGE, /* silent, or acknowledged */
    NETLINK_QUERY,  /* answered by one message */
    NETLINK_LIST,   /* answered by many and an end; one at a time per socket */
};

struct netlink_message {
    size_t at;        /* offset in the batch */
    size_t item;      /* whose message it is: an index of the caller's */
    const char *step; /* what it does, for a person: "add address" */
    int code;         /* I2 */
    enum netlink_kind kind;
};

struct nl_msg;

struct netlink_batch {
    struct nl_msg *scratch; /* the message in work */
    char *reply;            /* one receive */
    char *bytes;            /* finished messages, each aligned */
    size_t bytes_used, bytes_room;
    struct netlink_message *messages;
    size_t message_count, message_room;
    bool is_atomic;                              /* one send, all or nothing: a transaction of nf_tables */
    bool is_persistent;                          /* go on after a failure */
    int build_code;                              /* the first failure while building; netlink_run() reports it */
    size_t failed;                               /* index of the first message that failed, or message_count */
    char kernel_text[NETLINK_KERNEL_TEXT_BYTES]; /* the kernel's words about `failed`, or "" */
};

/* Opens the calling thread's network namespace, to come back to. */
int netns_home(int *ret_home_fd, struct err *e);

/* Enters a network namespace.  After 0, net_namespace_return() is a must. */
int netns_enter(int netns_fd, struct err *e);
/* The way back is net_namespace_return() of netconf.h. */

/* Opens the sockets asked for (either may be NULL) inside a namespace; netns_fd -1 is the caller's own. */
int netlink_open(int home_fd, int netns_fd, struct netlink *ret_route, struct netlink *ret_filter, struct err *e);
void netlink_close(struct netlink *socket);

int netlink_batch_init(struct netlink_batch *batch, struct err *e);
void netlink_batch_reset(struct netlink_batch *batch);
void netlink_batch_done(struct netlink_batch *batch);

/* Starts a routing message with its fixed header.  Attributes follow by netlink_put*(). */
void netlink_message(struct netlink_batch *batch, uint16_t type, uint16_t flags, const void *header, size_t bytes);
void netlink_put(struct netlink_batch *batch, int attribute, const void *data, size_t bytes);
void netlink_put_u32(struct netlink_batch *batch, int attribute, uint32_t value);
void netlink_put_text(struct netlink_batch *batch, int attribute, const char *text);
struct nlattr *netlink_nest(struct netlink_batch *batch, int attribute);
void netlink_nest_end(struct netlink_batch *batch, struct nlattr *nest);
/* Adds a fixed header inside a nest, as IFLA_INFO_DATA's peer wants it. */
void netlink_put_header(struct netlink_batch *batch, const void *header, size_t bytes);

/* Room for a message that another library builds: NETLINK_MESSAGE_BYTES_MAX bytes, valid until netlink_append(). */
char *netlink_room(struct netlink_batch *batch);

/* Ends the message in work and adds it to the batch. */
void netlink_append(struct netlink_batch *batch, enum netlink_kind kind, size_t item, const char *step);

/* Message `index` as it was, or will be, sent. */
const struct nlmsghdr *netlink_at(const struct netlink_batch *batch, size_t index);

/* Takes one answer that is neither an error nor an end.  Called again for all of a dump that the kernel had to restart.
 */
typedef void netlink_reply_fn(void *context, size_t item, const struct nlmsghdr *answer);

/* Sends the batch and reads all answers.  Returns 0 or the first failure; batch->failed and kernel_text tell which. */
int netlink_run(struct netlink *socket, struct netlink_batch *batch, netlink_reply_fn *on_reply, void *context);

/* Fills e after a failed netlink_run(): "STEP: kernel's words: errno".  The caller puts the subject in front. */
int netlink_explain(const struct netlink_batch *batch, int code, struct err *e);

#endif
