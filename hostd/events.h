/*
 * events.h - what happened in an application: one line for whoever watches hostd, one JSON object in a bounded file.
 *
 * The files (events.0, events.1 of the run directory) are written in turn: when one is full the other is emptied, so
 * the last EVENTS_BYTES_MAX bytes are always there.  They outlive a hostd that is killed; the next one goes on with
 * them.  `hostd events` reads them (cmd_events.c), with or without a running hostd.
 *
 * Invariants
 *  I1  Text is escaped before it is shown or written (logtail_escape): no name or error of anybody can look like
 *      another line, or move the cursor.
 *  I2  What a service can cause at will (NEWS_DENIED, NEWS_BROKEN, NEWS_PACKETS) is limited per service, and what was
 *      left out is counted and said: nobody's noise drives out what happened to others.
 */
#ifndef HOSTD_EVENTS_H
#define HOSTD_EVENTS_H

#include <stdarg.h>
#include <stdint.h>

#include "rpc/base/err.h"

#define EVENTS_BYTES_MAX (512u << 10) /* of each of the two files: some thousand events */
#define NEWS_NOBODY UINT32_MAX
#define NEWS_OPERATOR (UINT32_MAX - 1) /* as a caller */

struct app;
struct events;

enum news_type {
    NEWS_OTHER,
    NEWS_DENIED,  /* calls that a list does not allow */
    NEWS_BROKEN,  /* a peer broke the protocol: its connection was closed */
    NEWS_PACKETS, /* a wire's filter dropped packets; noticed when its counters are read */
    NEWS_STAGE,   /* a start, or a part of one, failed at a stage */
    NEWS_ENDED,   /* a service ended, and why */
    NEWS_RESTART, /* it will be started again, and when; or not */
    NEWS_READY,
    NEWS_FAILED,  /* a service stays down */
    NEWS_ADOPTED, /* hostd took over what an earlier hostd had started */
    NEWS_STOPPED, /* an orderly stop began */
    NEWS_TYPE_COUNT
};

struct news {
    enum news_type type;
    uint32_t service;           /* whom it happened to; NEWS_NOBODY */
    uint32_t caller, callee;    /* of calls and connections, where both are set; else both NEWS_NOBODY */
    const char *method, *stage; /* NULL: none */
    uint32_t count;             /* 0: once */
    uint32_t line;              /* of the list; 0: none */
};

/* One of a service alone. */
static inline struct news news_of(enum news_type type, uint32_t service)
{
    return (struct news){.type = type, .service = service, .caller = NEWS_NOBODY, .callee = NEWS_NOBODY};
}

int events_open(int run_fd, uint32_t service_count, struct events **ret_events, struct err *e);
void events_close(struct events *events); /* NULL is fine */

/* Both places.  Never fails: a full disk loses events, never services. */
void events_tell(const struct app *app, const struct news *news, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void events_vtell(const struct app *app, const struct news *news, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

#endif
