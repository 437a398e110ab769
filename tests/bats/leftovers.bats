#!/usr/bin/env bats
# What is left behind: nothing.  After a stop, after twenty, after a service's death, after a start that failed.
load helpers

setup() { machine_state >"$BATS_TEST_TMPDIR/before"; }
teardown() {
    # A test that failed in the middle must not disturb the next one.
    if [ -n "${HOSTD_PID:-}" ] && ! gone "$HOSTD_PID"; then app_stop || true; fi
}

@test "Ctrl-C: the foreground hostd stops with success and leaves nothing but its data" {
    app_start
    register alice secret
    kill -INT "$HOSTD_PID"
    wait_until 20 gone "$HOSTD_PID"
    run wait "$HOSTD_PID"
    assert_success
    nothing_left "$BATS_TEST_TMPDIR/before"
    [ -f "$STATE/bank/bank.db" ] && [ -f "$STATE/cred/cred.db" ] && [ -f "$STATE/person/person.db" ]
}

@test "SIGTERM does the same" {
    app_start
    kill -TERM "$HOSTD_PID"
    wait_until 20 gone "$HOSTD_PID"
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "the data is there again after the next start" {
    app_start
    log_in alice secret
    assert_equal "$code" 302
    assert_equal "$(balance alice)" 10
    app_stop
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "start and stop twenty times: nothing left, no namespace alive" {
    local alive
    alive=$(namespaces_alive)
    for round in {1..20}; do
        "$HOSTD" start "$ZOOBAR" --detach --name "$APP" --state-dir "$STATE" --listen "http=127.0.0.1:$(free_port)" \
            >"$LOG" 2>&1 3>&- || { echo "round $round:"; cat "$LOG"; return 1; }
        "$HOSTD" stop --app "$APP"
    done
    nothing_left "$BATS_TEST_TMPDIR/before"
    # 160 were made; the kernel gives them back in the background, and rounds its count to a slab.
    given_back() { [ "$(namespaces_alive)" -le $((alive + 40)) ]; }
    wait_until 15 given_back
}

@test "kill each service once: it comes back in a new generation, in new namespaces, and everything answers" {
    app_start
    register carol secret
    everything_answers
    for name in "${SERVICES[@]}"; do
        # A mark on the old namespace; its inode is no mark: the kernel gives the number to the next one.
        as_host_in "$name" sysctl -qw net.ipv4.ip_default_ttl=77
        wires=$(service "$name" '[.links[].interface] | sort | join(" ")')
        kill -KILL "$(service_pid "$name")"
        wait_until 15 generation_is "$name" 2 || { "$HOSTD" ps --app "$APP"; tail "$LOG"; return 1; }
        assert_equal "$name $(as_host_in "$name" sysctl -n net.ipv4.ip_default_ttl)" "$name 64"
        [ "$(service "$name" '[.links[].interface] | sort | join(" ")')" != "$wires" ]
        wait_until 15 everything_answers || { echo "after $name: $code $body"; return 1; }
    done
    # One service's death is no other one's: each was started again exactly once.
    assert_equal "$("$HOSTD" ps --app "$APP" --json | jq -r '[.services[].generation] | unique | join(" ")')" 2
    app_stop
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "kill each PID 1 once: the same" {
    app_start
    for name in "${SERVICES[@]}"; do
        kill -KILL "$(init_pid "$name")"
        wait_until 15 generation_is "$name" 2 || { "$HOSTD" ps --app "$APP"; tail "$LOG"; return 1; }
        wait_until 15 everything_answers || { echo "after $name: $code $body"; return 1; }
    done
    app_stop
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "hostd keeps nothing of what died: its descriptors do not grow" {
    app_start
    count() { find "/proc/$HOSTD_PID/fd" -mindepth 1 | wc -l; }
    before=$(count)
    for round in 2 3 4; do
        kill -KILL "$(service_pid echo)"
        wait_until 30 generation_is echo $round
    done
    settled() { [ "$(count)" -le "$before" ]; }
    wait_until 5 settled
    app_stop
    nothing_left "$BATS_TEST_TMPDIR/before"
}

# ---- starts that fail ----

# fails NAME TEXT ARGUMENT ...: hostd start fails with one line that holds TEXT, exit code 1, and leaves nothing.
fails() {
    local name=$1 text=$2
    shift 2
    run "$HOSTD" start "$@" --name "$name" 3>&-
    assert_failure 1
    assert_output --partial "$text"
    assert_equal "$(grep -c 'hostd' <<<"$output"): $output" "1: $output"
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "an ingress whose port is taken: one line that names it, nothing left" {
    app_start
    taken=$PORT
    machine_state >"$BATS_TEST_TMPDIR/before"
    fails "$APP-b" "$taken" "$ZOOBAR" --listen "http=127.0.0.1:$taken" --state-dir "$BATS_TEST_TMPDIR/state"
    app_stop
}

@test "a state directory that cannot be: one line, nothing left" {
    touch "$BATS_TEST_TMPDIR/file"
    fails "$APP" "$BATS_TEST_TMPDIR/file" "$ZOOBAR" --listen "http=127.0.0.1:$(free_port)" --state-dir "$BATS_TEST_TMPDIR/file/state"
}

@test "a data directory that is not root's alone: refused with the service's name" {
    mkdir -p "$BATS_TEST_TMPDIR/state/bank"
    chmod 0777 "$BATS_TEST_TMPDIR/state/bank"
    fails "$APP" bank "$ZOOBAR" --listen "http=127.0.0.1:$(free_port)" --state-dir "$BATS_TEST_TMPDIR/state"
}

@test "a binary that the kernel refuses: the service and the stage are named" {
    mkdir -p "$BATS_TEST_TMPDIR/state"
    cp "$BUILD/bin/echo" "$BATS_TEST_TMPDIR/broken"
    zoobar_toml "$BATS_TEST_TMPDIR/broken.toml" "s|^exec   = \"echo\"|exec   = \"$BATS_TEST_TMPDIR/broken\"|"
    # Its program headers claim another size: an ELF file with its schema note still, but nothing that can be run.
    printf '\x39' | dd of="$BATS_TEST_TMPDIR/broken" bs=1 seek=54 conv=notrunc status=none
    run "$HOSTD" start "$BATS_TEST_TMPDIR/broken.toml" --name "$APP" --state-dir "$BATS_TEST_TMPDIR/state" \
        --listen "http=127.0.0.1:$(free_port)" 3>&-
    assert_failure
    [ "$status" -le 2 ]
    assert_output --regexp 'echo|broken'
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "a binary that may not be executed: one error that names it" {
    mkdir -p "$BATS_TEST_TMPDIR/state"
    install -m 0644 "$BUILD/bin/echo" "$BATS_TEST_TMPDIR/plain"
    zoobar_toml "$BATS_TEST_TMPDIR/plain.toml" "s|^exec   = \"echo\"|exec   = \"$BATS_TEST_TMPDIR/plain\"|"
    run "$HOSTD" start "$BATS_TEST_TMPDIR/plain.toml" --name "$APP" --state-dir "$BATS_TEST_TMPDIR/state" \
        --listen "http=127.0.0.1:$(free_port)" 3>&-
    assert_failure
    [ "$status" -le 2 ]
    assert_output --regexp 'echo|plain'
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "a service that ends before it is ready: the start fails, names it, and takes all of the others down" {
    mkdir -p "$BATS_TEST_TMPDIR/state/bank"
    chmod 0700 "$BATS_TEST_TMPDIR/state/bank"
    # A database that is none: the bank cannot open it.
    head -c 8192 /dev/urandom >"$BATS_TEST_TMPDIR/state/bank/bank.db"
    run "$HOSTD" start "$ZOOBAR" --name "$APP" --state-dir "$BATS_TEST_TMPDIR/state" --listen "http=127.0.0.1:$(free_port)" 3>&-
    assert_failure 1
    assert_output --partial bank
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "without root: one line that says so" {
    run setpriv --reuid=65534 --regid=65534 --clear-groups "$HOSTD" start "$ZOOBAR" --name "$APP" --state-dir /tmp/nowhere
    assert_failure
    [ "$status" -le 2 ]
    assert_output --partial root
    assert_equal "${#lines[@]}" 1
    nothing_left "$BATS_TEST_TMPDIR/before"
}
