/*
 * operator.c - connections of the operator, who uses `hostd call`: served like a caller's, with a list of its own.
 *
 * There is no listener and no network.  PID 1 sends one end of a stream socket into an empty slot of the operator's
 * quota:
 *
 *   FREE ──operator_came()──▶ OPEN ──its end, or on_idle()──▶ CLOSING ──▶ operator_freed(): FREE, NOTE_WANT
 *
 * Invariants
 *  I1  The caller's name is OPERATOR_NAME because of the slot; its generation is PID 1's count of such connections.
 *  I2  A connection that has no running call OPERATOR_IDLE_MS after it came, or at a multiple of that, is closed: a
 *      client that says nothing, or little, holds no slot for ever.
 */
#include <errno.h>
#include <stdlib.h>

#include "rpc/runtime.h"

static void on_idle(struct timer *timer)
{
    struct conn *conn = OWNER_OF(timer, struct conn, idle);
    if (conn->endpoint.state != ENDPOINT_OPEN)
        return;
    if (list_is_empty(&conn->calls))
        conn_break(conn);
    else
        timer_set(&rt.timers, &conn->idle, rt.now_ms + OPERATOR_IDLE_MS); /* calls have deadlines */
}

int operator_init(struct err *e)
{
    const struct contract *contract = rt.contract;
    struct link *link = operator_link();
    rt.operator_contract = (struct contract_link){
        .peer = OPERATOR_NAME,
        .direction = LINK_IN,
        .slot_first = contract->operator_slot_first,
        .slot_count = contract->operator_slot_count,
        .method_first = contract->operator_first,
        .method_count = contract->operator_count,
        .toml_line = contract->operator_line,
    };
    link->contract = &rt.operator_contract;
    link->index = OPERATOR_LINK;
    list_init(&link->wire_waiters);
    link->denied = calloc(rt.method_count + 1, sizeof *link->denied);
    if (!link->denied)
        return err_set(e, -ENOMEM, "no memory for the operator's link");
    for (uint32_t i = 0; i < contract->operator_slot_count; i++) {
        struct conn *conn = &rt.conns[contract->operator_slot_first + i];
        conn->link = link;
        conn->idle.fire = on_idle;
        conn_init(conn, contract->operator_slot_first + i, ROLE_SERVED);
    }
    return 0;
}

void operator_came(uint64_t user_data)
{
    uint32_t slot = wire_slot(user_data), first = rt.contract->operator_slot_first;
    if (slot < first || slot - first >= rt.contract->operator_slot_count)
        return;
    struct conn *conn = &rt.conns[slot];
    if (conn->endpoint.state != ENDPOINT_FREE)
        return; /* not what was agreed (contract.h, I4): its file goes when the slot is next freed */
    conn_open(conn, wire_generation(user_data));
    timer_set(&rt.timers, &conn->idle, rt.now_ms + OPERATOR_IDLE_MS);
}

void operator_freed(struct conn *conn)
{
    timer_clear(&rt.timers, &conn->idle);
    if (!rt.is_stopping)
        notes_want_operator(conn->endpoint.slot);
}
