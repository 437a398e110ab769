/*
 * notes.c - what the service and its PID 1 tell each other (rpc/base/contract.h).
 *
 * Up: nothing is queued.  What is to be told is a flag or a count of a link, so however slow PID 1 reads and however
 * much happens, memory stays what it is; a full pipe only means that the same flags are looked at again later.
 * READY, WANT and PONG go at once; denied calls and broken connections every NOTES_PAUSE_MS; counts of calls every
 * COUNTS_PAUSE_MS; nothing when nothing changed.
 */
#include <string.h>
#include <unistd.h>

#include "rpc/base/log.h"
#include "rpc/runtime.h"

/* What there may be to tell: looked for, link by link, only when it is due. */
static bool is_ready_due, is_pong_due, has_urgent, has_events, has_counts;
static uint64_t events_next_ms, counts_next_ms, retry_ms;
static struct timer timer;

static void on_timer(struct timer *fired)
{
    /* It only ends the wait: notes_write() comes in every turn. */
}

void notes_init(void)
{
    timer.fire = on_timer;
}

void notes_ready(void)
{
    is_ready_due = has_urgent = true;
}

void notes_want(struct link *link)
{
    link->has_want = has_urgent = true;
}

void notes_broken(struct link *link)
{
    link->count_broken++;
    has_events = true;
}

void notes_denied(struct link *link, uint32_t method)
{
    link->denied[method]++;
    has_events = has_counts = true; /* a count too: of what its log left out (tell_counts()) */
}

void notes_called(struct link *link)
{
    link->count_calls++;
    has_counts = true;
}

void notes_want_operator(uint32_t slot)
{
    rt.operator_wants |= 1u << (slot - rt.contract->operator_slot_first);
    has_urgent = true;
}

static bool tell(uint32_t kind, const struct link *link, uint32_t slot, uint32_t count, uint32_t method)
{
    struct note_up note = {
        .kind = kind, .link = link ? link->index : 0, .slot = slot, .count = count, .method = method};
    return write(CONTRACT_NOTE_FD, &note, sizeof note) == (ssize_t)sizeof note; /* of one size: all or nothing */
}

static bool tell_urgent(void)
{
    if (is_ready_due && !tell(NOTE_READY, NULL, 0, 0, 0))
        return false;
    is_ready_due = false;
    if (is_pong_due && !tell(NOTE_PONG, NULL, 0, 0, 0))
        return false;
    is_pong_due = false;
    for (uint32_t i = 0; i < rt.contract->link_count; i++) {
        struct link *link = &rt.links[i];
        if (link->has_want && !tell(NOTE_WANT, link, link->wires[link->turn]->slot, 0, 0))
            return false;
        link->has_want = false;
    }
    for (uint32_t i = 0; rt.operator_wants; i++) {
        if (!(rt.operator_wants & 1u << i))
            continue;
        if (!tell(NOTE_WANT, operator_link(), rt.contract->operator_slot_first + i, 0, 0))
            return false;
        rt.operator_wants &= ~(1u << i);
    }
    return true;
}

static bool tell_count(uint32_t kind, const struct link *link, uint32_t *count, uint32_t method)
{
    if (*count && !tell(kind, link, 0, *count, method))
        return false;
    *count = 0;
    return true;
}

static bool tell_events(void)
{
    for (uint32_t i = 0; i <= rt.contract->link_count; i++) {
        struct link *link = &rt.links[i];
        if (!tell_count(NOTE_BROKEN, link, &link->count_broken, 0))
            return false;
        for (uint32_t j = 0; j <= rt.method_count; j++)
            if (!tell_count(NOTE_DENIED, link, &link->denied[j], j < rt.method_count ? rt.methods[j].id : 0))
                return false;
    }
    return true;
}

static bool tell_counts(void)
{
    for (uint32_t i = 0; i <= rt.contract->link_count; i++) {
        struct link *link = &rt.links[i];
        if (!tell_count(NOTE_CALLS, link, &link->count_calls, 0))
            return false;
        server_log_left_out(link);
    }
    return true;
}

bool notes_ask_alarm(uint32_t ms)
{
    return rt.contract->flags & CONTRACT_ALARM && tell(NOTE_ALARM, NULL, 0, ms, 0);
}

void notes_write(void)
{
    if (!has_urgent && !has_events && !has_counts)
        return;
    uint64_t now_ms = rt.now_ms;
    if (now_ms < retry_ms)
        return; /* the pipe was full a moment ago; the timer is set */
    bool is_told = !has_urgent || tell_urgent();
    has_urgent = !is_told;
    if (is_told && has_events && now_ms >= events_next_ms) {
        is_told = tell_events();
        has_events = !is_told;
        events_next_ms = now_ms + NOTES_PAUSE_MS;
    }
    if (is_told && has_counts && now_ms >= counts_next_ms) {
        is_told = tell_counts();
        has_counts = !is_told;
        counts_next_ms = now_ms + COUNTS_PAUSE_MS;
    }
    retry_ms = is_told ? 0 : now_ms + NOTES_PAUSE_MS;
    if (!is_told)
        timer_set(&rt.timers, &timer, retry_ms);
    else if (has_events)
        timer_set(&rt.timers, &timer, events_next_ms);
    else if (has_counts && !timer.place)
        timer_set(&rt.timers, &timer, counts_next_ms);
}

/* ---- from PID 1 ---- */

/* PID 1 ends us when the time is over: a little before it we end by ourselves, and say what is lost. */
static void stop(uint32_t stop_ms)
{
    if (rt.is_stopping)
        return;
    rt.is_stopping = true;
    timer_set(&rt.timers, &rt.stop_timer, rt.now_ms + stop_ms - stop_ms / 10);
    for (uint32_t slot = CONTRACT_SLOT_FIRST; slot < rt.contract->slot_count; slot++)
        if (rt.endpoints[slot] && rt.endpoints[slot]->role == ROLE_LISTENER)
            endpoint_close(rt.endpoints[slot]);
    streams_stop();
}

void notes_got(const void *bytes, uint32_t length)
{
    struct note_down note;
    for (uint32_t at = 0; at + sizeof note <= length; at += (uint32_t)sizeof note) {
        memcpy(&note, (const char *)bytes + at, sizeof note);
        if (note.kind == NOTE_RENEWED && note.link < rt.contract->link_count)
            link_renewed(&rt.links[note.link], note.generation);
        else if (note.kind == NOTE_STOP)
            stop(note.value);
        else if (note.kind == NOTE_PING)
            is_pong_due = has_urgent = true;
        else if (note.kind == NOTE_RING)
            ring_alarm_came();
    }
}
