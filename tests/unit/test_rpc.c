/*
 * test_rpc.c - librpc as a whole: services on sealed rings, callers that behave and callers that do not.
 *
 * Every test runs twice: with the probe service in a child of this program (sanitizers), and as a static program under
 * the system call list of a sealed service.  The wires are TCP on the loopback of a namespace of our own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "rpc/base/clock.h"
#include "rpc/base/hash.h"
#include "rpc/base/own.h"
#include "rpc/rpc.h"
#include "tests/unit/rpc_harness.h"
#include "tests/unit/rpc_probe.h"
#include "tests/unit/rpc_probe.pb-c.h"

#define SAY "Rpc_probe.Say"
#define SLEEP "Rpc_probe.Sleep"
#define COUNT "Rpc_probe.Count"
#define FORWARD "Rpc_probe.Forward"
#define WORK "Rpc_probe.Work"
#define BIG "Rpc_probe.Big"
#define SECRET "Rpc_probe.Secret"
#define NOTHING "Rpc_probe.Nothing"
#define UNKNOWN_HERE "Elsewhere.Thing"
#define ALL SAY, SLEEP, COUNT, FORWARD, WORK, BIG
#define SOON_MS 3000u /* what should come at once comes within this, on a busy machine too */

/* How the next service is started: NULL in this program, else this one under seccomp. */
static const char *program;

static void start(struct sim_spec *spec, struct sim *sim)
{
    spec->run = probe_main;
    spec->program = program;
    assert_int_equal(sim_start(spec, sim), 0);
    if (!sim_note(sim, NOTE_READY, 10000, NULL))
        fail_msg("not ready: %s", sim_log(sim));
}

/* A service with one caller, "front"; ret_port is where that calls. */
static struct sim_spec one_caller(uint16_t *ret_port)
{
    return (struct sim_spec){
        .name = "back",
        .links =
            {{.peer = "front", .direction = LINK_IN, .generation = 3, .fd = wire_listener(ret_port), .allow = {ALL}}},
        .link_count = 1,
    };
}

/* ---- a caller by hand ---- */

static void ask_with(int fd, uint32_t id, const char *method, uint32_t deadline_ms, const ProbeRequest *request)
{
    uint8_t payload[8192];
    size_t bytes = probe_request__get_packed_size(request);
    assert_true(bytes <= sizeof payload);
    (void)probe_request__pack(request, payload);
    raw_frame(fd, (struct frame){.type = FRAME_REQUEST,
                                 .method = method_id(method),
                                 .id = id,
                                 .deadline_ms = deadline_ms,
                                 .payload_bytes = (uint32_t)bytes,
                                 .payload = payload});
}

static void ask(int fd, uint32_t id, const char *method, const char *text, uint32_t ms, uint32_t count)
{
    ProbeRequest request = PROBE_REQUEST__INIT;
    char copy[4096];
    (void)snprintf(copy, sizeof copy, "%s", text);
    request.text = copy;
    request.ms = ms;
    request.count = count;
    ask_with(fd, id, method, 10000, &request);
}

static void cancel(int fd, uint32_t id)
{
    raw_frame(fd, (struct frame){.type = FRAME_CANCEL, .id = id});
}

/* The next frame must be a reply; the caller frees it. */
static ProbeReply *take(int fd, uint32_t *ret_id)
{
    struct raw_reply raw;
    assert_int_equal(raw_receive(fd, SOON_MS, &raw), 1);
    if (raw.type != FRAME_REPLY)
        fail_msg("status %u: %.*s", raw.status, (int)raw.payload_bytes, (const char *)raw.payload);
    if (ret_id)
        *ret_id = raw.id;
    ProbeReply *reply = probe_reply__unpack(NULL, raw.payload_bytes, raw.payload);
    assert_non_null(reply);
    return reply;
}

/* The next frame must be an error of this status. */
static void take_error(int fd, uint32_t id, enum rpc_status status, const char *part_of_text)
{
    struct raw_reply raw;
    assert_int_equal(raw_receive(fd, SOON_MS, &raw), 1);
    assert_int_equal(raw.type, FRAME_ERROR);
    assert_int_equal(raw.id, id);
    if (raw.status != status)
        fail_msg("status %s, not %s: %.*s", rpc_status_name(raw.status), rpc_status_name(status),
                 (int)raw.payload_bytes, (const char *)raw.payload);
    raw.payload[raw.payload_bytes] = '\0';
    assert_non_null(strstr((const char *)raw.payload, part_of_text));
}

static void expect_say(int fd, const char *caller, uint32_t generation)
{
    ask(fd, 77, SAY, "hi", 0, 0);
    ProbeReply *reply = take(fd, NULL);
    assert_string_equal(reply->text, "hi");
    assert_string_equal(reply->caller, caller);
    assert_int_equal(reply->generation, generation);
    probe_reply__free_unpacked(reply, NULL);
}

static uint32_t sleeps_cut(int fd)
{
    ask(fd, 78, COUNT, "", 0, 0);
    ProbeReply *reply = take(fd, NULL);
    uint32_t number = reply->number;
    probe_reply__free_unpacked(reply, NULL);
    return number;
}

/* ---- identity and policy ---- */

static void the_caller_is_the_listener(void **state)
{
    uint16_t port, other_port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    spec.links[1] = (struct sim_link){
        .peer = "other", .direction = LINK_IN, .generation = 9, .fd = wire_listener(&other_port), .allow = {SAY}};
    spec.link_count = 2;
    start(&spec, &sim);
    FD_AUTO int front = wire_connect(port);
    FD_AUTO int other = wire_connect(other_port);
    FD_AUTO int again = wire_connect(port);
    for (int i = 0; i < 3; i++) {
        expect_say(front, "front", 3);
        expect_say(other, "other", 9);
        expect_say(again, "front", 3);
    }
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
    fd_close(&spec.links[1].fd);
}

static void plain_mode_says_that_nobody_vouches(void **state)
{
    for (int plain = 0; plain < 2; plain++) {
        uint16_t port;
        struct sim sim;
        struct sim_spec spec = one_caller(&port);
        spec.is_plain = plain;
        start(&spec, &sim);
        FD_AUTO int fd = wire_connect(port);
        ask(fd, 1, SAY, "", 0, 0);
        ProbeReply *reply = take(fd, NULL);
        assert_int_equal(reply->number, !plain);
        probe_reply__free_unpacked(reply, NULL);
        assert_int_equal(sim_stop(&sim), 0);
        fd_close(&spec.links[0].fd);
    }
}

static void what_is_not_on_the_list_does_not_run(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    spec.links[0].allow[6] = NOTHING;
    start(&spec, &sim);
    FD_AUTO int fd = wire_connect(port);
    for (uint32_t i = 0; i < 5; i++) {
        ask(fd, i, SECRET, "", 0, 0);
        take_error(fd, i, RPC_PERMISSION_DENIED, "front may not call Rpc_probe.Secret");
    }
    ask(fd, 5, UNKNOWN_HERE, "", 0, 0);
    take_error(fd, 5, RPC_PERMISSION_DENIED, "front may not call");
    /* Refused before anybody looks at the payload. */
    raw_frame(fd, (struct frame){.type = FRAME_REQUEST,
                                 .method = method_id(SECRET),
                                 .id = 6,
                                 .deadline_ms = 100,
                                 .payload_bytes = 4,
                                 .payload = (const uint8_t *)"\xff\xff\xff\xff"});
    take_error(fd, 6, RPC_PERMISSION_DENIED, "");
    ask(fd, 7, NOTHING, "", 0, 0);
    take_error(fd, 7, RPC_UNIMPLEMENTED, "");

    ask(fd, 8, COUNT, "", 0, 0);
    ProbeReply *reply = take(fd, NULL);
    assert_int_equal(reply->generation, 0); /* calls of Secret that were served */
    probe_reply__free_unpacked(reply, NULL);

    uint32_t secret = 0, unknown = 0;
    struct note_up note;
    while (secret + unknown < 7 && sim_note(&sim, NOTE_DENIED, SOON_MS, &note)) {
        assert_int_equal(note.link, 0);
        if (note.method == method_id(SECRET))
            secret += note.count;
        else if (note.method == 0)
            unknown += note.count;
    }
    assert_int_equal(secret, 6);
    assert_int_equal(unknown, 1);
    const char *log = sim_log(&sim);
    assert_non_null(strstr(log, "denied: front asked for Rpc_probe.Secret"));
    assert_non_null(strstr(log, "line 100"));
    assert_null(strstr(strstr(log, "asked for") + 1, "asked for")); /* one line a second */
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
}

static void requests_that_do_not_parse_are_refused(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    start(&spec, &sim);
    FD_AUTO int fd = wire_connect(port);
    raw_frame(fd, (struct frame){.type = FRAME_REQUEST,
                                 .method = method_id(SAY),
                                 .id = 1,
                                 .deadline_ms = 100,
                                 .payload_bytes = 3,
                                 .payload = (const uint8_t *)"\xff\xff\xff"});
    take_error(fd, 1, RPC_INVALID_ARGUMENT, "ProbeRequest");
    /* A message that would take far more memory than it has bytes: many empty items. */
    size_t bytes = 900000;
    uint8_t *payload = malloc(FRAME_HEADER_BYTES + bytes);
    assert_non_null(payload);
    for (size_t i = 0; i < bytes; i += 2)
        memcpy(payload + FRAME_HEADER_BYTES + i, "\x2a\x00", 2); /* field 5, no bytes */
    frame_encode(payload, &(struct frame){.type = FRAME_REQUEST,
                                          .method = method_id(SAY),
                                          .id = 2,
                                          .deadline_ms = 5000,
                                          .payload_bytes = (uint32_t)bytes});
    raw_send(fd, payload, FRAME_HEADER_BYTES + bytes);
    free(payload);
    take_error(fd, 2, RPC_RESOURCE_EXHAUSTED, "too much memory");
    expect_say(fd, "front", 3);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
}

/* ---- two services ---- */

struct pair {
    struct sim front, back;
    struct sim_spec front_spec, back_spec;
    uint16_t port, back_port;
    int to_back_fd;
};

/* "front" (link 0: from the test as "user", link 1: to "back") and "back". */
static void start_pair(struct pair *pair, uint32_t fibres_max)
{
    *pair = (struct pair){0};
    pair->back_spec = one_caller(&pair->back_port);
    pair->back_spec.fibres_max = fibres_max;
    start(&pair->back_spec, &pair->back);
    pair->to_back_fd = wire_connect(pair->back_port);
    pair->front_spec = (struct sim_spec){
        .name = "front",
        .fibres_max = fibres_max,
        .links =
            {{.peer = "user", .direction = LINK_IN, .generation = 1, .fd = wire_listener(&pair->port), .allow = {ALL}},
             {.peer = "back", .direction = LINK_OUT, .generation = 1, .fd = pair->to_back_fd}},
        .link_count = 2,
    };
    start(&pair->front_spec, &pair->front);
    fd_close(&pair->to_back_fd); /* the ring's table holds it */
}

static void stop_pair(struct pair *pair)
{
    assert_int_equal(sim_stop(&pair->front), 0);
    if (pair->back.pid)
        assert_int_equal(sim_stop(&pair->back), 0);
    fd_close(&pair->front_spec.links[0].fd);
    fd_close(&pair->back_spec.links[0].fd);
}

static void a_thousand_calls_at_once_through_two_services(void **state)
{
    struct pair pair;
    start_pair(&pair, 1024);
    FD_AUTO int fd = wire_connect(pair.port);
    char text[32];
    for (uint32_t i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof text, "call %u", i);
        /* Every tenth sleeps at the callee: answers come in another order. */
        ask(fd, i, FORWARD, text, i % 10 == 0 ? 1500 : 0, 0); /* longer than all others take, on a busy machine too */
    }
    bool seen[1000] = {false};
    uint32_t late = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t id = 0;
        ProbeReply *reply = take(fd, &id);
        assert_true(id < 1000 && !seen[id]);
        seen[id] = true;
        if (id % 10 != 0) {
            (void)snprintf(text, sizeof text, "call %u", id);
            assert_string_equal(reply->text, text);
            assert_string_equal(reply->caller, "front");
            assert_int_equal(reply->generation, 3);
        } else {
            late += i >= 900;
        }
        probe_reply__free_unpacked(reply, NULL);
    }
    assert_int_equal(late, 100);
    stop_pair(&pair);
}

static void a_deadline_travels_and_ends_what_waits(void **state)
{
    struct pair pair;
    start_pair(&pair, 16);
    FD_AUTO int fd = wire_connect(pair.port);
    FD_AUTO int back = wire_connect(pair.back_port);

    /* The handler's own, shorter deadline. */
    uint64_t begin_ms = clock_ms();
    ask(fd, 1, FORWARD, "", 5000, 150);
    take_error(fd, 1, RPC_DEADLINE_EXCEEDED, "back");
    assert_true(clock_ms() - begin_ms >= 140 && clock_ms() - begin_ms < 2000);
    /* The caller's deadline caps a handler that would wait longer. */
    ProbeRequest request = PROBE_REQUEST__INIT;
    request.ms = 5000;
    request.count = 4000;
    begin_ms = clock_ms();
    ask_with(fd, 2, FORWARD, 150, &request);
    take_error(fd, 2, RPC_DEADLINE_EXCEEDED, "back");
    assert_true(clock_ms() - begin_ms >= 140 && clock_ms() - begin_ms < 2000);
    /* What had passed before it came is not begun. */
    ask_with(fd, 3, SAY, 0, &request);
    take_error(fd, 3, RPC_DEADLINE_EXCEEDED, "");
    /* Both sleeps at the callee were cut short, by the cancel or by their own deadline. */
    for (int i = 0; i < 100 && sleeps_cut(back) < 2; i++)
        (void)usleep(10000);
    assert_int_equal(sleeps_cut(back), 2);
    /* The connection between them is still the same one. */
    assert_false(sim_note(&pair.front, NOTE_WANT, 50, NULL));
    stop_pair(&pair);
}

static void a_cancel_ends_only_its_own_connection_s_call(void **state)
{
    struct pair pair;
    start_pair(&pair, 16);
    FD_AUTO int fd = wire_connect(pair.port);
    FD_AUTO int foreign = wire_connect(pair.port);
    FD_AUTO int back = wire_connect(pair.back_port);
    ask(fd, 1, SLEEP, "", 400, 0);
    ask(fd, 2, FORWARD, "", 8000, 0);
    expect_say(foreign, "user", 1);
    cancel(foreign, 1);
    cancel(foreign, 2);
    cancel(foreign, 12345);
    expect_say(foreign, "user", 1);
    uint64_t begin_ms = clock_ms();
    ProbeReply *reply = take(fd, NULL); /* 1 sleeps its time */
    assert_int_equal(reply->number, 0);
    probe_reply__free_unpacked(reply, NULL);
    cancel(fd, 2);
    take_error(fd, 2, RPC_CANCELLED, "");
    assert_true(clock_ms() - begin_ms < 3000);
    for (int i = 0; i < 100 && sleeps_cut(back) < 1; i++) /* it travelled on */
        (void)usleep(10000);
    assert_int_equal(sleeps_cut(back), 1);
    stop_pair(&pair);
}

static void the_calls_of_a_broken_connection_end(void **state)
{
    struct pair pair;
    start_pair(&pair, 16);
    int fd = wire_connect(pair.port);
    FD_AUTO int back = wire_connect(pair.back_port);
    for (uint32_t i = 0; i < 10; i++)
        ask(fd, i, FORWARD, "", 8000, 0);
    ask(fd, 10, SAY, "", 0, 0);
    probe_reply__free_unpacked(take(fd, NULL), NULL);
    fd_close(&fd);
    for (int i = 0; i < 100 && sleeps_cut(back) < 10; i++)
        (void)usleep(10000);
    assert_int_equal(sleeps_cut(back), 10);
    stop_pair(&pair);
}

/* ---- renewal ---- */

static void a_killed_callee_is_resumed(void **state)
{
    struct pair pair;
    start_pair(&pair, 32);
    FD_AUTO int fd = wire_connect(pair.port);
    uint32_t slots[2] = {pair.front.links[1].slot_first, pair.front.links[1].slot_first + 1};
    for (uint32_t generation = 2; generation < 6; generation++) {
        for (uint32_t i = 0; i < 5; i++)
            ask(fd, i, FORWARD, "", 8000, 0);
        expect_say(fd, "user", 1);
        sim_kill(&pair.back);
        for (uint32_t i = 0; i < 5; i++) {
            struct raw_reply raw;
            assert_int_equal(raw_receive(fd, SOON_MS, &raw), 1);
            assert_int_equal(raw.status, RPC_UNAVAILABLE);
        }
        struct note_up want;
        assert_true(sim_note(&pair.front, NOTE_WANT, SOON_MS, &want));
        assert_int_equal(want.link, 1);
        assert_int_equal(want.slot, slots[(generation - 1) % 2]); /* in turn */
        /* A call made meanwhile waits for the wire. */
        ask(fd, 9, FORWARD, "patience", 0, 0);
        expect_say(fd, "user", 1);
        fd_close(&pair.back_spec.links[0].fd);
        pair.back_spec.links[0].fd = wire_listener(&pair.back_port);
        start(&pair.back_spec, &pair.back);
        FD_AUTO int wire = wire_connect(pair.back_port);
        sim_tell(&pair.front, NOTE_RENEWED, 1, generation);
        assert_int_equal(sim_wire(&pair.front, 1, want.slot, generation, wire), 0);
        ProbeReply *reply = take(fd, NULL);
        assert_string_equal(reply->text, "patience");
        probe_reply__free_unpacked(reply, NULL);
    }
    stop_pair(&pair);
}

static void an_older_wire_is_not_used(void **state)
{
    struct pair pair;
    start_pair(&pair, 32);
    FD_AUTO int fd = wire_connect(pair.port);
    struct note_up want;
    /* Renewed while the old wire still stands: dropped at once. */
    sim_tell(&pair.front, NOTE_RENEWED, 1, 5);
    assert_true(sim_note(&pair.front, NOTE_WANT, SOON_MS, &want));
    /* One of generation 4 was under way: not used, asked again. */
    FD_AUTO int old = wire_connect(pair.back_port);
    assert_int_equal(sim_wire(&pair.front, 1, want.slot, 4, old), 0);
    assert_true(sim_note(&pair.front, NOTE_WANT, SOON_MS, &want));
    fd_close(&old);
    FD_AUTO int wire = wire_connect(pair.back_port);
    assert_int_equal(sim_wire(&pair.front, 1, want.slot, 5, wire), 0);
    ask(fd, 1, FORWARD, "x", 0, 0);
    probe_reply__free_unpacked(take(fd, NULL), NULL);
    /* News that are none change nothing. */
    sim_tell(&pair.front, NOTE_RENEWED, 1, 5);
    sim_tell(&pair.front, NOTE_RENEWED, 1, 2);
    assert_false(sim_note(&pair.front, NOTE_WANT, 50, NULL));
    ask(fd, 2, FORWARD, "x", 0, 0);
    probe_reply__free_unpacked(take(fd, NULL), NULL);
    stop_pair(&pair);
}

static void a_call_without_a_wire_gives_up_in_time(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    spec.links[1] = (struct sim_link){.peer = "back", .direction = LINK_OUT, .generation = 0, .fd = -1};
    spec.link_count = 2;
    start(&spec, &sim);
    struct note_up want;
    assert_true(sim_note(&sim, NOTE_WANT, SOON_MS, &want));
    assert_int_equal(want.slot, sim.links[1].slot_first);
    FD_AUTO int fd = wire_connect(port);
    uint64_t begin_ms = clock_ms();
    ask(fd, 1, FORWARD, "", 0, 0);
    ask(fd, 2, FORWARD, "", 0, 100);
    take_error(fd, 2, RPC_DEADLINE_EXCEEDED, "");
    assert_true(clock_ms() - begin_ms < 1500);
    take_error(fd, 1, RPC_UNAVAILABLE, "no wire to back");
    assert_true(clock_ms() - begin_ms >= 1900);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
}

static void a_listener_is_renewed_with_its_identity(void **state)
{
    uint16_t port, new_port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    start(&spec, &sim);
    FD_AUTO int old = wire_connect(port);
    expect_say(old, "front", 3);
    ask(old, 5, SLEEP, "", 8000, 0);
    expect_say(old, "front", 3); /* the sleep has begun */
    sim_tell(&sim, NOTE_RENEWED, 0, 4);
    assert_true(raw_ends(old, SOON_MS)); /* of the caller's last life: nobody's any more */
    struct note_up want;
    assert_true(sim_note(&sim, NOTE_WANT, SOON_MS, &want));
    assert_int_equal(want.slot, sim.links[0].slot_first + 1);
    FD_AUTO int listener = wire_listener(&new_port);
    assert_int_equal(sim_wire(&sim, 0, want.slot, 4, listener), 0);
    FD_AUTO int fd = wire_connect(new_port);
    expect_say(fd, "front", 4);
    assert_int_equal(sleeps_cut(fd), 1);
    /* Nobody accepts at the old one. */
    FD_AUTO int late = wire_connect(port);
    ask(late, 1, SAY, "", 0, 0);
    struct raw_reply raw;
    assert_int_equal(raw_receive(late, 200, &raw), -1);
    /* A wire that overtakes its note counts as the note. */
    sim_tell(&sim, NOTE_RENEWED, 0, 5);
    assert_true(sim_note(&sim, NOTE_WANT, SOON_MS, &want));
    assert_int_equal(want.slot, sim.links[0].slot_first);
    FD_AUTO int newest = wire_listener(&port);
    assert_int_equal(sim_wire(&sim, 0, want.slot, 7, newest), 0);
    FD_AUTO int fd7 = wire_connect(port);
    expect_say(fd7, "front", 7);
    sim_tell(&sim, NOTE_RENEWED, 0, 7);
    expect_say(fd7, "front", 7);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
}

/* A callee that closes every connection at once must not make its caller ask for wires without pause. */
static void a_flapping_callee_slows_the_renewal_down(void **state)
{
    uint16_t back_port;
    struct sim sim;
    struct sim_spec spec = {.name = "front",
                            .links = {{.peer = "back", .direction = LINK_OUT, .generation = 1, .fd = -1}},
                            .link_count = 1};
    FD_AUTO int listener = wire_listener(&back_port);
    start(&spec, &sim);
    uint64_t until_ms = clock_ms() + 1000;
    int wants = 0;
    struct note_up want;
    while (clock_ms() < until_ms && sim_note(&sim, NOTE_WANT, 1000, &want)) {
        wants++;
        FD_AUTO int wire = wire_connect(back_port);
        assert_int_equal(sim_wire(&sim, 0, want.slot, 1, wire), 0);
        FD_AUTO int accepted = accept(listener, NULL, NULL);
        assert_true(accepted >= 0);
    }
    assert_true(wants >= 5 && wants <= 14);
    assert_int_equal(sim_stop(&sim), 0);
}

/* ---- peers that break the protocol ---- */

static void broken_frames_close_their_connection_only(void **state)
{
    uint16_t port, other_port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    spec.links[1] = (struct sim_link){
        .peer = "other", .direction = LINK_IN, .generation = 1, .fd = wire_listener(&other_port), .allow = {SAY}};
    spec.link_count = 2;
    start(&spec, &sim);
    FD_AUTO int other = wire_connect(other_port);
    expect_say(other, "other", 1);
    long rss_kib = sim_rss_kib(&sim);

    const struct frame wrong[] = {
        {.type = 0},
        {.type = 9},
        {.type = FRAME_REQUEST, .payload_bytes = INT32_MAX},
        {.type = FRAME_REQUEST, .payload_bytes = (uint32_t)INT32_MAX + 1},
        {.type = FRAME_REQUEST, .payload_bytes = UINT32_MAX},
        {.type = FRAME_REQUEST, .payload_bytes = (1u << 20) + 1},
        {.type = FRAME_REPLY, .id = 1},
        {.type = FRAME_ERROR, .status = 1, .id = 1},
        {.type = FRAME_CANCEL, .method = 1},
    };
    uint32_t expected = 0;
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
            FD_AUTO int fd = wire_connect(port);
            uint8_t bytes[FRAME_HEADER_BYTES];
            frame_encode(bytes, &wrong[i]);
            raw_send(fd, bytes, sizeof bytes);
            assert_true(raw_ends(fd, SOON_MS));
            expected++;
        }
    /* One id for two calls. */
    FD_AUTO int twice = wire_connect(port);
    ask(twice, 1, SLEEP, "", 5000, 0);
    ask(twice, 1, SLEEP, "", 5000, 0);
    assert_true(raw_ends(twice, SOON_MS));
    /* Good calls in front of the bad frame are answered, or cut with the connection; then it ends. */
    FD_AUTO int mixed = wire_connect(port);
    ask(mixed, 1, SAY, "", 0, 0);
    raw_send(mixed, "GET / HTTP/1.1\r\n", 16);
    assert_true(raw_ends(mixed, SOON_MS));
    expected += 2;

    uint32_t broken = 0;
    struct note_up note;
    while (broken < expected && sim_note(&sim, NOTE_BROKEN, SOON_MS, &note)) {
        assert_int_equal(note.link, 0);
        broken += note.count;
    }
    assert_int_equal(broken, expected);
    /* A frame that stops in the middle is no offence, and holds up nobody. */
    FD_AUTO int half = wire_connect(port);
    raw_send(half, "\x01\x01\x00", 3);
    expect_say(other, "other", 1);
    FD_AUTO int fd = wire_connect(port);
    expect_say(fd, "front", 3);
    if (program)
        assert_true(sim_rss_kib(&sim) < rss_kib + 300);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
    fd_close(&spec.links[1].fd);
}

static void *write_byte_by_byte(void *arg)
{
    int fd = *(int *)arg;
    uint8_t frame[FRAME_HEADER_BYTES];
    frame_encode(frame, &(struct frame){.type = FRAME_CANCEL, .id = 1});
    for (uint32_t i = 0; i < 1000000; i++)
        if (send(fd, &frame[i % FRAME_HEADER_BYTES], 1, MSG_NOSIGNAL) != 1)
            return NULL;
    return arg;
}

static void a_million_bytes_one_by_one_hold_up_nobody(void **state)
{
    uint16_t port, other_port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    spec.links[1] = (struct sim_link){
        .peer = "other", .direction = LINK_IN, .generation = 1, .fd = wire_listener(&other_port), .allow = {SAY}};
    spec.link_count = 2;
    start(&spec, &sim);
    FD_AUTO int other = wire_connect(other_port);
    FD_AUTO int fd = wire_connect(port);
    expect_say(other, "other", 1);
    long rss_kib = sim_rss_kib(&sim);
    uint64_t begin_ms = clock_ms(), slowest_ms = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_byte_by_byte, &fd), 0);
    for (int i = 0; i < 200; i++) {
        uint64_t call_ms = clock_ms();
        expect_say(other, "other", 1);
        call_ms = clock_ms() - call_ms;
        slowest_ms = call_ms > slowest_ms ? call_ms : slowest_ms;
    }
    void *all_written = NULL;
    assert_int_equal(pthread_join(thread, &all_written), 0);
    assert_non_null(all_written);
    expect_say(fd, "front", 3); /* 50,000 cancels of nothing later it still serves */
    assert_true(clock_ms() - begin_ms < 60000);
    assert_true(slowest_ms < 1000);
    if (program)
        assert_true(sim_rss_kib(&sim) < rss_kib + 300);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
    fd_close(&spec.links[1].fd);
}

static void a_caller_that_does_not_read_fills_nothing(void **state)
{
    uint16_t port, other_port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    spec.fibres_max = 32;
    spec.links[1] = (struct sim_link){
        .peer = "other", .direction = LINK_IN, .generation = 1, .fd = wire_listener(&other_port), .allow = {ALL}};
    spec.link_count = 2;
    start(&spec, &sim);
    FD_AUTO int other = wire_connect(other_port);
    FD_AUTO int deaf = wire_connect(port);
    int small = 4096;
    (void)setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    (void)fcntl(deaf, F_SETFL, O_NONBLOCK);
    expect_say(other, "other", 1);
    /* As many requests for 100 KiB as it takes, none of the answers is read. */
    ProbeRequest request = PROBE_REQUEST__INIT;
    request.count = 100000;
    uint8_t frame[FRAME_HEADER_BYTES + 64];
    size_t bytes = probe_request__pack(&request, frame + FRAME_HEADER_BYTES);
    uint32_t asked = 0;
    for (uint64_t until_ms = clock_ms() + 1500; clock_ms() < until_ms;) {
        frame_encode(frame, &(struct frame){.type = FRAME_REQUEST,
                                            .method = method_id(BIG),
                                            .id = asked,
                                            .deadline_ms = 60000,
                                            .payload_bytes = (uint32_t)bytes});
        if (send(deaf, frame, FRAME_HEADER_BYTES + bytes, MSG_NOSIGNAL) == (ssize_t)(FRAME_HEADER_BYTES + bytes))
            asked++;
        else
            (void)usleep(1000);
    }
    assert_true(asked > 1000);
    expect_say(other, "other", 1); /* the other caller finds a fibre */
    if (program)
        assert_true(sim_rss_kib(&sim) < 16000);
    /* When nothing has been taken for too long the connection is given up. */
    bool is_ended = false;
    for (int i = 0; i < 150 && program && !is_ended; i++) { /* once is enough to wait so long */
        is_ended = send(deaf, "", 0, MSG_NOSIGNAL) < 0;
        expect_say(other, "other", 1);
        (void)usleep(100000);
    }
    assert_true(is_ended || !program);
    FD_AUTO int again = wire_connect(port);
    expect_say(again, "front", 3);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
    fd_close(&spec.links[1].fd);
}

static void what_a_slow_caller_takes_is_whole(void **state)
{
    enum { CALLS = 10, BYTES = 60000, ALL_BYTES = CALLS * (BYTES + 100) };
    uint16_t port, other_port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    spec.links[1] = (struct sim_link){
        .peer = "other", .direction = LINK_IN, .generation = 1, .fd = wire_listener(&other_port), .allow = {SAY}};
    spec.link_count = 2;
    int small = 8192;
    assert_int_equal(setsockopt(spec.links[0].fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    start(&spec, &sim);
    FD_AUTO int other = wire_connect(other_port);
    FD_AUTO int fd = wire_connect(port); /* at the service its socket has the listener's size */
    for (uint32_t id = 0; id < CALLS; id++) {
        ask(fd, id, BIG, "", 0, BYTES);
        expect_say(other, "other", 1); /* the answer was sent, as far as there is room for it */
    }
    static uint8_t bytes[ALL_BYTES];
    size_t have = 0, at = 0, need = 0;
    uint32_t came = 0; /* a bit per call */
    while (came != (1u << CALLS) - 1) {
        /* One byte at least comes soon; what else is there comes with it. */
        assert_int_equal(raw_take(fd, (char *)bytes + have++, 1), 1);
        ssize_t got = recv(fd, bytes + have, sizeof bytes - have, MSG_DONTWAIT);
        have += got > 0 ? (size_t)got : 0;
        struct frame frame;
        for (long used; (used = frame_decode(bytes + at, have - at, BYTES + 100, &frame, &need)) != 0;
             at += (size_t)used) {
            assert_true(used > 0);
            assert_int_equal(frame.type, FRAME_REPLY);
            assert_true(frame.id < CALLS && !(came & 1u << frame.id));
            came |= 1u << frame.id;
            ProbeReply *reply = probe_reply__unpack(NULL, frame.payload_bytes, frame.payload);
            assert_non_null(reply);
            assert_int_equal(reply->blob.len, BYTES);
            for (size_t k = 0; k < BYTES; k++)
                if (reply->blob.data[k] != (uint8_t)(k * 31 >> 3))
                    fail_msg("answer %u is not what was sent, from byte %zu", frame.id, k);
            probe_reply__free_unpacked(reply, NULL);
        }
    }
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
    fd_close(&spec.links[1].fd);
}

static void a_callee_that_breaks_the_protocol_is_dropped(void **state)
{
    uint16_t port, back_port;
    struct sim sim;
    FD_AUTO int back_listener = wire_listener(&back_port);
    FD_AUTO int wire = wire_connect(back_port);
    FD_AUTO int back = accept(back_listener, NULL, NULL);
    struct sim_spec spec = one_caller(&port);
    spec.links[1] = (struct sim_link){.peer = "back", .direction = LINK_OUT, .generation = 1, .fd = wire};
    spec.link_count = 2;
    start(&spec, &sim);
    fd_close(&wire);
    FD_AUTO int fd = wire_connect(port);
    ask(fd, 1, FORWARD, "", 0, 0);
    struct raw_reply raw;
    assert_int_equal(raw_receive(back, SOON_MS, &raw), 1);
    assert_int_equal(raw.type, FRAME_REQUEST);
    raw_frame(back, (struct frame){.type = FRAME_REPLY, .id = raw.id + 1}); /* an id that was never given */
    take_error(fd, 1, RPC_UNAVAILABLE, "");
    assert_true(raw_ends(back, SOON_MS));
    struct note_up note;
    assert_true(sim_note(&sim, NOTE_BROKEN, SOON_MS, &note));
    assert_int_equal(note.link, 1);
    assert_true(sim_note(&sim, NOTE_WANT, SOON_MS, &note));

    /* A late answer to a call that was given up is none. */
    FD_AUTO int second = wire_connect(back_port);
    FD_AUTO int back2 = accept(back_listener, NULL, NULL);
    assert_int_equal(sim_wire(&sim, 1, note.slot, 1, second), 0);
    ask(fd, 2, FORWARD, "", 0, 50);
    assert_int_equal(raw_receive(back2, SOON_MS, &raw), 1);
    uint32_t id = raw.id;
    take_error(fd, 2, RPC_DEADLINE_EXCEEDED, "");
    assert_int_equal(raw_receive(back2, SOON_MS, &raw), 1);
    assert_int_equal(raw.type, FRAME_CANCEL);
    assert_int_equal(raw.id, id);
    raw_frame(back2, (struct frame){.type = FRAME_REPLY, .id = id});
    assert_false(sim_note(&sim, NOTE_BROKEN, 200, NULL));
    raw_frame(back2, (struct frame){.type = FRAME_REPLY, .id = id}); /* but it may come only once */
    assert_true(sim_note(&sim, NOTE_BROKEN, SOON_MS, &note));
    /* An answer that does not parse is the call's trouble, not the connection's. */
    assert_true(sim_note(&sim, NOTE_WANT, SOON_MS, &note));
    FD_AUTO int third = wire_connect(back_port);
    FD_AUTO int back3 = accept(back_listener, NULL, NULL);
    assert_int_equal(sim_wire(&sim, 1, note.slot, 1, third), 0);
    ask(fd, 3, FORWARD, "", 0, 0);
    assert_int_equal(raw_receive(back3, SOON_MS, &raw), 1);
    raw_frame(
        back3,
        (struct frame){.type = FRAME_REPLY, .id = raw.id, .payload_bytes = 2, .payload = (const uint8_t *)"\xff\xff"});
    take_error(fd, 3, RPC_INTERNAL, "ProbeReply");
    ask(fd, 4, FORWARD, "", 0, 0);
    assert_int_equal(raw_receive(back3, SOON_MS, &raw), 1);
    raw_frame(back3, (struct frame){.type = FRAME_ERROR,
                                    .id = raw.id,
                                    .status = RPC_NOT_FOUND,
                                    .payload_bytes = 5,
                                    .payload = (const uint8_t *)"where"});
    take_error(fd, 4, RPC_NOT_FOUND, "back: where");
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
}

/* ---- limits ---- */

static void fibres_are_counted_and_shared(void **state)
{
    uint16_t port, other_port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    spec.fibres_max = 8; /* two callers: two fibres are promised to each */
    spec.links[1] = (struct sim_link){
        .peer = "other", .direction = LINK_IN, .generation = 1, .fd = wire_listener(&other_port), .allow = {ALL}};
    spec.link_count = 2;
    start(&spec, &sim);
    FD_AUTO int fd = wire_connect(port);
    FD_AUTO int other = wire_connect(other_port);
    for (uint32_t i = 0; i < 10; i++)
        ask(fd, i, SLEEP, "", 300, 0);
    for (uint32_t i = 6; i < 10; i++)
        take_error(fd, i, RPC_RESOURCE_EXHAUSTED, "too many calls");
    for (int i = 0; i < 3; i++)
        expect_say(other, "other", 1);
    for (uint32_t i = 0; i < 6; i++)
        probe_reply__free_unpacked(take(fd, NULL), NULL);
    expect_say(fd, "front", 3);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
    fd_close(&spec.links[1].fd);
}

static void connections_are_a_link_s_own(void **state)
{
    uint16_t port, other_port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    spec.links[1] = (struct sim_link){
        .peer = "other", .direction = LINK_IN, .generation = 1, .fd = wire_listener(&other_port), .allow = {SAY}};
    spec.link_count = 2;
    start(&spec, &sim);
    int fds[20];
    for (int i = 0; i < 20; i++)
        fds[i] = wire_connect(port);
    for (uint32_t i = 0; i < HARNESS_CONNECTIONS; i++)
        expect_say(fds[i], "front", 3);
    FD_AUTO int other = wire_connect(other_port);
    expect_say(other, "other", 1);
    /* The fifth waits in the backlog until one of the four goes. */
    struct raw_reply raw;
    ask(fds[4], 1, SAY, "", 0, 0);
    assert_int_equal(raw_receive(fds[4], 200, &raw), -1);
    fd_close(&fds[0]);
    assert_int_equal(raw_receive(fds[4], SOON_MS, &raw), 1);
    for (int i = 1; i < 20; i++)
        fd_close(&fds[i]);
    FD_AUTO int last = wire_connect(port);
    expect_say(last, "front", 3);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
    fd_close(&spec.links[1].fd);
}

static void messages_have_a_size(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    spec.message_bytes_max = 100000;
    start(&spec, &sim);
    FD_AUTO int fd = wire_connect(port);
    ask(fd, 1, BIG, "", 0, 99000);
    struct raw_reply raw;
    assert_int_equal(raw_receive(fd, SOON_MS, &raw), 1);
    assert_int_equal(raw.type, FRAME_REPLY);
    assert_true(raw.payload_bytes > 99000);
    ask(fd, 2, BIG, "", 0, 100000);
    take_error(fd, 2, RPC_INTERNAL, "100000 are allowed");
    ask(fd, 3, BIG, "", 0, 50000000);
    take_error(fd, 3, RPC_RESOURCE_EXHAUSTED, "too many");
    /* Many large ones one after another leave nothing behind. */
    long rss_kib = sim_rss_kib(&sim);
    for (uint32_t i = 0; i < 200; i++) {
        ask(fd, i, BIG, "", 0, 90000);
        assert_int_equal(raw_receive(fd, SOON_MS, &raw), 1);
    }
    if (program)
        assert_true(sim_rss_kib(&sim) < rss_kib + 500);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
}

/* ---- notes ---- */

static void calls_are_counted(void **state)
{
    struct pair pair;
    start_pair(&pair, 16);
    FD_AUTO int fd = wire_connect(pair.port);
    for (uint32_t i = 0; i < 50; i++)
        ask(fd, i, FORWARD, "", 0, 0);
    for (uint32_t i = 0; i < 50; i++) {
        struct raw_reply raw;
        assert_int_equal(raw_receive(fd, SOON_MS, &raw), 1);
    }
    uint32_t in = 0, out = 0, notes = 0;
    struct note_up note;
    while (in + out < 90 && sim_note(&pair.front, NOTE_CALLS, SOON_MS, &note)) {
        notes++;
        if (note.link == 0)
            in += note.count;
        else
            out += note.count;
    }
    assert_int_equal(in, 50);
    assert_true(out >= 16 && out <= 50); /* the rest found no fibre */
    assert_true(notes <= 6);
    assert_false(sim_note(&pair.front, NOTE_CALLS, 1200, NULL)); /* nothing changed */
    stop_pair(&pair);
}

/* Who is busy does not set a timer for each wait, but has PID 1 tell the time; what is near is not left to that. */
static void pid_1_tells_a_busy_service_the_time(void **state)
{
    uint16_t port;
    struct sim sim;
    struct note_up note;
    struct sim_spec spec = one_caller(&port);
    spec.has_alarm = true;
    start(&spec, &sim);
    FD_AUTO int fd = wire_connect(port);
    expect_say(fd, "front", 3);
    assert_true(sim_note(&sim, NOTE_CALLS, SOON_MS, &note)); /* the first count goes at once, the next in a second */
    uint64_t begin_ms = clock_ms();
    uint32_t calls = 0;
    for (; calls % 16 || !sim_note(&sim, NOTE_ALARM, 1, &note); calls++) {
        assert_true(clock_ms() - begin_ms < 60000);
        expect_say(fd, "front", 3);
    }
    assert_true(calls > 200); /* a quiet one does not ask */
    assert_in_range(note.count, 1, 1000);
    ask(fd, 1, SLEEP, "", 20, 0); /* nearer */
    probe_reply__free_unpacked(take(fd, NULL), NULL);
    /* Without the word it sleeps on; with it, it tells what it has counted. */
    while (sim_note(&sim, NOTE_CALLS, 1, &note)) /* of before it asked */
        continue;
    assert_false(sim_note(&sim, NOTE_CALLS, 1500, &note));
    sim_tell(&sim, NOTE_RING, 0, 0);
    assert_true(sim_note(&sim, NOTE_CALLS, SOON_MS, &note));
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
}

static void a_pid_1_that_does_not_read_stops_nothing(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    spec.is_deaf = true;
    spec.run = probe_main;
    spec.program = program;
    assert_int_equal(sim_start(&spec, &sim), 0);
    FD_AUTO int fd = wire_connect(port);
    for (int i = 0; i < 100; i++)
        expect_say(fd, "front", 3);
    ask(fd, 1, SECRET, "", 0, 0);
    take_error(fd, 1, RPC_PERMISSION_DENIED, "");
    /* It reads again: everything is told, later. */
    struct note_up note;
    uint32_t count = 0;
    while (sim_note(&sim, NOTE_CALLS, 100, &note))
        ; /* the filler */
    assert_true(sim_note(&sim, NOTE_READY, SOON_MS, NULL));
    assert_true(sim_note(&sim, NOTE_DENIED, SOON_MS, &note));
    count += note.count;
    assert_int_equal(count, 1);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
}

static void stop_lets_running_calls_finish(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    start(&spec, &sim);
    FD_AUTO int fd = wire_connect(port);
    ask(fd, 1, SLEEP, "", 500, 0);
    expect_say(fd, "front", 3);
    sim_tell(&sim, NOTE_STOP, 0, 0);
    (void)usleep(50000);
    ask(fd, 2, SAY, "", 0, 0);
    take_error(fd, 2, RPC_UNAVAILABLE, "stopping");
    ProbeReply *reply = take(fd, NULL);
    assert_int_equal(reply->number, 0);
    probe_reply__free_unpacked(reply, NULL);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
}

static void stop_does_not_wait_for_ever(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    start(&spec, &sim);
    FD_AUTO int fd = wire_connect(port);
    ask(fd, 1, SLEEP, "", 9000, 0);
    expect_say(fd, "front", 3);
    uint64_t begin_ms = clock_ms();
    assert_int_equal(sim_stop(&sim), 0);
    assert_true(clock_ms() - begin_ms >= 2600 && clock_ms() - begin_ms < 4500);
    fd_close(&spec.links[0].fd);
}

static void without_pid_1_there_is_no_service(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    start(&spec, &sim);
    fd_close(&sim.note_down_fd);
    int status = 0;
    assert_int_equal(waitpid(sim.pid, &status, 0), sim.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_non_null(strstr(sim_log(&sim), "PID 1 is gone"));
    fd_close(&spec.links[0].fd);
}

static void a_start_that_fails_says_why(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    spec.config[0] = "start";
    spec.config[1] = "fail";
    spec.run = probe_main;
    spec.program = program;
    assert_int_equal(sim_start(&spec, &sim), 0);
    int status = 0;
    assert_int_equal(waitpid(sim.pid, &status, 0), sim.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_non_null(strstr(sim_log(&sim), "told to fail"));
    assert_false(sim_note(&sim, NOTE_READY, 10, NULL));
    fd_close(&spec.links[0].fd);
}

static void a_fibre_of_its_own_may_call(void **state)
{
    uint16_t port, back_port;
    struct sim sim, back;
    struct sim_spec back_spec = one_caller(&back_port);
    start(&back_spec, &back);
    FD_AUTO int wire = wire_connect(back_port);
    struct sim_spec spec = one_caller(&port);
    spec.links[1] = (struct sim_link){.peer = "back", .direction = LINK_OUT, .generation = 1, .fd = wire};
    spec.link_count = 2;
    spec.config[0] = "spawn.0.delay";
    spec.config[1] = "1";
    start(&spec, &sim);
    char log[4096] = "";
    for (int i = 0; i < 100 && !strstr(log, "spawned"); i++) {
        (void)usleep(20000);
        (void)snprintf(log, sizeof log, "%s", sim_log(&sim));
    }
    assert_non_null(strstr(log, "spawned: OK spawned 1"));
    assert_int_equal(sim_stop(&sim), 0);
    assert_int_equal(sim_stop(&back), 0);
    fd_close(&spec.links[0].fd);
    fd_close(&back_spec.links[0].fd);
}

/* ---- workers ---- */

static void jobs_share_batches(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = one_caller(&port);
    spec.fibres_max = 300;
    spec.has_threads = true;
    spec.config[0] = "worker";
    spec.config[1] = "true";
    spec.config[2] = "queue";
    spec.config[3] = "250";
    start(&spec, &sim);
    FD_AUTO int fd = wire_connect(port);
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 200; i++)
            ask(fd, i, WORK, "x", 0, 0);
        uint32_t first = UINT32_MAX, last = 0, in_batch[64] = {0};
        for (uint32_t i = 0; i < 200; i++) {
            ProbeReply *reply = take(fd, NULL);
            first = reply->number < first ? reply->number : first;
            last = reply->number > last ? reply->number : last;
            in_batch[reply->number % 64]++;
            probe_reply__free_unpacked(reply, NULL);
        }
        assert_true(last - first + 1 < 20); /* 200 jobs, far fewer commits */
        for (size_t i = 0; i < 64; i++)
            assert_true(in_batch[i] <= RPC_WORKER_BATCH_MAX);
    }
    /* An end that fails is the answer of each job of its batch. */
    ask(fd, 1, WORK, "fail", 0, 0);
    take_error(fd, 1, RPC_ABORTED, "Input/output error");
    ask(fd, 2, WORK, "x", 0, 0);
    probe_reply__free_unpacked(take(fd, NULL), NULL);
    /* A job is finished even if its caller is gone. */
    for (uint32_t i = 0; i < 50; i++)
        ask(fd, i, WORK, "x", 0, 0);
    for (uint32_t i = 0; i < 50; i++)
        cancel(fd, i);
    for (uint32_t i = 0; i < 50; i++) {
        struct raw_reply raw;
        assert_int_equal(raw_receive(fd, SOON_MS, &raw), 1);
    }
    /* A full queue says so. */
    for (uint32_t i = 0; i < 290; i++)
        ask(fd, i, WORK, "x", 0, 0);
    uint32_t refused = 0;
    for (uint32_t i = 0; i < 290; i++) {
        struct raw_reply raw;
        assert_int_equal(raw_receive(fd, SOON_MS, &raw), 1);
        refused += raw.type == FRAME_ERROR;
    }
    assert_true(refused < 50);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
}

/* ---- streams ---- */

static struct sim_spec ingress_service(uint16_t *ret_port, uint32_t connections, uint32_t fibres_max)
{
    return (struct sim_spec){.name = "gate",
                             .ingress_fd = wire_listener(ret_port),
                             .ingress_connections = connections,
                             .fibres_max = fibres_max};
}

static void streams_echo(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = ingress_service(&port, 8, 32);
    start(&spec, &sim);
    char bytes[64];
    for (int round = 0; round < 50; round++) { /* far more than there are slots */
        FD_AUTO int fd = wire_connect(port);
        for (int i = 0; i < 3; i++) {
            raw_send(fd, "hello", 5);
            assert_int_equal(raw_take(fd, bytes, 5), 5);
            assert_memory_equal(bytes, "hello", 5);
        }
    }
    FD_AUTO int silent = wire_connect(port);
    uint64_t begin_ms = clock_ms();
    assert_int_equal(raw_take(silent, bytes, 4), 4);
    assert_memory_equal(bytes, "late", 4);
    assert_true(clock_ms() - begin_ms >= 450);
    raw_send(silent, "hello", 5); /* a read that was given up took nothing with it */
    assert_int_equal(raw_take(silent, bytes, 5), 5);
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(raw_take(silent, bytes, 10), 0); /* the second silence: the end */
    assert_true(clock_ms() - begin_ms >= 900);
    FD_AUTO int closing = wire_connect(port);
    raw_send(closing, "x", 1);
    (void)shutdown(closing, SHUT_WR);
    assert_int_equal(raw_take(closing, bytes, 10), 1); /* the echo, then the end */
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.ingress_fd);
}

static void a_stream_that_is_not_read_ends(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = ingress_service(&port, 1, 32);
    start(&spec, &sim);
    FD_AUTO int deaf = wire_connect(port);
    int small = 4096;
    (void)setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 8; i++) {
        raw_send(deaf, "big\n", 4);
        (void)usleep(10000);
    }
    FD_AUTO int next = wire_connect(port); /* gets the only slot when the other's time is over */
    raw_send(next, "x", 1);
    char bytes[8];
    assert_int_equal(raw_take(next, bytes, 1), 1);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.ingress_fd);
}

static void streams_wait_for_a_fibre(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = ingress_service(&port, 16, 4);
    start(&spec, &sim);
    int fds[10];
    char byte;
    for (int i = 0; i < 10; i++)
        fds[i] = wire_connect(port);
    for (int i = 0; i < 4; i++) {
        raw_send(fds[i], "x", 1);
        assert_int_equal(raw_take(fds[i], &byte, 1), 1);
    }
    raw_send(fds[4], "x", 1);
    (void)usleep(100000);
    assert_int_equal(recv(fds[4], &byte, 1, MSG_DONTWAIT), -1);
    for (int i = 0; i < 9; i++) {
        fd_close(&fds[i]);
        raw_send(fds[9], "x", 1);
    }
    assert_int_equal(raw_take(fds[9], &byte, 1), 1);
    fd_close(&fds[9]);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.ingress_fd);
}

static void stop_ends_streams_that_wait(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = ingress_service(&port, 16, 16);
    start(&spec, &sim);
    FD_AUTO int fd = wire_connect(port);
    char bytes[8];
    raw_send(fd, "x", 1);
    assert_int_equal(raw_take(fd, bytes, 1), 1);
    uint64_t begin_ms = clock_ms();
    assert_int_equal(sim_stop(&sim), 0);
    assert_true(clock_ms() - begin_ms < 450); /* the stream's own time was not waited for */
    fd_close(&spec.ingress_fd);
}

/* ---- the operator ---- */

/* A service with one caller, and an operator who may Say and Sleep. */
static struct sim_spec with_operator(uint16_t *ret_port)
{
    struct sim_spec spec = one_caller(ret_port);
    spec.operator_connections = 2;
    spec.operator_methods[0] = SAY;
    spec.operator_methods[1] = SLEEP;
    return spec;
}

/* Hands a connection over, as PID 1 does; returns our end. */
static int operator_connect(struct sim *sim, uint32_t slot, uint32_t number)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_true(sim_wire(sim, OPERATOR_LINK, sim->operator_slot_first + slot, number, ends[1]) >= 0);
    fd_close(&ends[1]);
    return ends[0];
}

static void expect_want_of_operator(struct sim *sim, uint32_t slot)
{
    struct note_up note;
    assert_true(sim_note(sim, NOTE_WANT, SOON_MS, &note));
    assert_int_equal(note.link, OPERATOR_LINK);
    assert_int_equal(note.slot, sim->operator_slot_first + slot);
}

static void the_operator_is_a_caller_with_a_list(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = with_operator(&port);
    start(&spec, &sim);
    FD_AUTO int fd = operator_connect(&sim, 0, 5);
    FD_AUTO int other_fd = operator_connect(&sim, 1, 6);
    FD_AUTO int front_fd = wire_connect(port);
    expect_say(fd, "operator", 5);
    expect_say(other_fd, "operator", 6);
    expect_say(front_fd, "front", 3);
    ask(fd, 1, SECRET, "", 0, 0);
    take_error(fd, 1, RPC_PERMISSION_DENIED, "operator may not call Rpc_probe.Secret");
    ask(fd, 2, BIG, "", 0, 10); /* the link's list has it, the operator's has not */
    take_error(fd, 2, RPC_PERMISSION_DENIED, "operator may not call");
    uint32_t denied = 0;
    struct note_up note;
    while (denied < 2 && sim_note(&sim, NOTE_DENIED, SOON_MS, &note)) {
        assert_int_equal(note.link, OPERATOR_LINK);
        denied += note.count;
    }
    assert_int_equal(denied, 2);
    assert_int_equal(sleeps_cut(front_fd), 0);
    ask(front_fd, 3, COUNT, "", 0, 0);
    ProbeReply *reply = take(front_fd, NULL);
    assert_int_equal(reply->generation, 0); /* Secret did not run */
    probe_reply__free_unpacked(reply, NULL);
    assert_non_null(strstr(sim_log(&sim), "which the operator list of the service on line 50 does not allow"));

    raw_send(other_fd, "GET / HTTP/1.0\r\n\r\n", 18); /* speaks something else */
    assert_true(raw_ends(other_fd, SOON_MS));
    expect_want_of_operator(&sim, 1);
    assert_true(sim_note(&sim, NOTE_BROKEN, SOON_MS, &note));
    assert_int_equal(note.link, OPERATOR_LINK);
    expect_say(fd, "operator", 5);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
}

static void a_silent_operator_holds_no_slot(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = with_operator(&port);
    start(&spec, &sim);
    FD_AUTO int silent_fd = operator_connect(&sim, 0, 1);
    FD_AUTO int fd = operator_connect(&sim, 1, 2);
    raw_send(silent_fd, "\x01", 1); /* the beginning of a frame */
    ask(fd, 1, SLEEP, "", 3500, 0);
    assert_true(raw_ends(silent_fd, 6000));
    expect_want_of_operator(&sim, 0);
    uint32_t id = 0;
    ProbeReply *reply = take(fd, &id); /* the one with a running call was not cut */
    assert_int_equal(id, 1);
    assert_int_equal(reply->number, 0);
    probe_reply__free_unpacked(reply, NULL);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
}

static void operators_come_and_go_and_memory_stays(void **state)
{
    uint16_t port;
    struct sim sim;
    struct sim_spec spec = with_operator(&port);
    long before_kib = 0;
    start(&spec, &sim);
    for (uint32_t i = 0; i < 400; i++) {
        int fd = operator_connect(&sim, 0, i + 1);
        if (i % 3 == 0)
            expect_say(fd, "operator", i + 1);
        else if (i % 3 == 1)
            ask(fd, 1, SLEEP, "", 2000, 0); /* and goes without its answer */
        fd_close(&fd);
        expect_want_of_operator(&sim, 0);
        if (i == 100)
            before_kib = sim_rss_kib(&sim);
    }
    if (program) /* a sanitizer keeps what was freed for a while */
        assert_in_range(sim_rss_kib(&sim), 1, before_kib + 512);
    assert_int_equal(sim_stop(&sim), 0);
    fd_close(&spec.links[0].fd);
}

/* ---- running it ---- */

static int in_this_program(void **state)
{
    program = NULL;
    return 0;
}

static int under_the_list(void **state)
{
    program = *state;
    return 0;
}

int main(int argc, char **argv)
{
    harness_enter();
    /* build/unit/rpc -> build/test-bin/rpc-probe */
    char path[4096];
    const char *slash = strrchr(argv[0], '/');
    (void)snprintf(path, sizeof path, "%.*s/../test-bin/rpc-probe", slash ? (int)(slash - argv[0]) : 1,
                   slash ? argv[0] : ".");
#define TWICE(test)                                                                                                    \
    {#test, test, in_this_program, NULL, path},                                                                        \
    {                                                                                                                  \
#test "_sealed", test, under_the_list, NULL, path                                                              \
    }
    const struct CMUnitTest tests[] = {
        TWICE(the_caller_is_the_listener),
        TWICE(plain_mode_says_that_nobody_vouches),
        TWICE(what_is_not_on_the_list_does_not_run),
        TWICE(requests_that_do_not_parse_are_refused),
        TWICE(a_thousand_calls_at_once_through_two_services),
        TWICE(a_deadline_travels_and_ends_what_waits),
        TWICE(a_cancel_ends_only_its_own_connection_s_call),
        TWICE(the_calls_of_a_broken_connection_end),
        TWICE(a_killed_callee_is_resumed),
        TWICE(an_older_wire_is_not_used),
        TWICE(a_call_without_a_wire_gives_up_in_time),
        TWICE(a_listener_is_renewed_with_its_identity),
        TWICE(a_flapping_callee_slows_the_renewal_down),
        TWICE(broken_frames_close_their_connection_only),
        TWICE(a_million_bytes_one_by_one_hold_up_nobody),
        TWICE(a_caller_that_does_not_read_fills_nothing),
        TWICE(what_a_slow_caller_takes_is_whole),
        TWICE(a_callee_that_breaks_the_protocol_is_dropped),
        TWICE(fibres_are_counted_and_shared),
        TWICE(connections_are_a_link_s_own),
        TWICE(messages_have_a_size),
        TWICE(calls_are_counted),
        TWICE(pid_1_tells_a_busy_service_the_time),
        TWICE(a_pid_1_that_does_not_read_stops_nothing),
        TWICE(stop_lets_running_calls_finish),
        TWICE(stop_does_not_wait_for_ever),
        TWICE(without_pid_1_there_is_no_service),
        TWICE(a_start_that_fails_says_why),
        TWICE(a_fibre_of_its_own_may_call),
        TWICE(jobs_share_batches),
        TWICE(streams_echo),
        TWICE(a_stream_that_is_not_read_ends),
        TWICE(streams_wait_for_a_fibre),
        TWICE(stop_ends_streams_that_wait),
        TWICE(the_operator_is_a_caller_with_a_list),
        TWICE(a_silent_operator_holds_no_slot),
        TWICE(operators_come_and_go_and_memory_stays),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
