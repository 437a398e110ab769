#!/usr/bin/env bats
# adopt.bats - hostd may die: nothing that runs notices, and the next start of the same list takes over what is there.
# shellcheck shell=bash
load helpers

LOAD_PIDS=()
setup() { machine_state >"$BATS_TEST_TMPDIR/before"; }
teardown() {
    [ ${#LOAD_PIDS[@]} = 0 ] || end_load
    app_stop || true
    "$HOSTD" stop --app "$APP" >/dev/null 2>&1 || true
}

# begin: as app_start, but on the port of the suite, so that a second one is a start of the same application.
begin() {
    : "${PORT:=$(free_port)}"
    export PORT URL=http://127.0.0.1:$PORT Z=http://127.0.0.1:$PORT/zoobar/index.cgi
    mkdir -p "$STATE"
    : >"$LOG"
    local listen=()
    if grep -q '^ingress' "${LIST:-$ZOOBAR}"; then listen=(--listen "http=127.0.0.1:$PORT"); fi
    "$HOSTD" start "${LIST:-$ZOOBAR}" --name "$APP" --state-dir "$STATE" "${listen[@]}" >"$LOG" 2>&1 3>&- &
    HOSTD_PID=$!
    echo "$HOSTD_PID" >"$BATS_FILE_TMPDIR/hostd.pid"
    is_up() { grep -q 'is ready:' "$LOG" || gone "$HOSTD_PID"; }
    wait_until 30 is_up
    gone "$HOSTD_PID" && { cat "$LOG"; return 1; }
    return 0
}
crash() {
    kill -KILL "$HOSTD_PID"
    wait_until 5 gone "$HOSTD_PID"
}
# What must not change: processes, namespaces, generations, wires.
identity() { "$HOSTD" ps --app "$APP" --json | jq -S '[.services[] | {name, state, init_pid, service_pid, generation, namespaces, wires: [.links[] | {peer, direction, interface, address, up}]}]'; }
# The filters of every service, without their counts.
filters() {
    local name
    for name in "${SERVICES[@]}"; do
        echo "# $name"
        nsenter --net --target "$(jq -r --arg n "$name" '.[] | select(.name == $n).init_pid' "$1")" nft list ruleset |
            sed -E 's/packets [0-9]+ bytes [0-9]+//'
    done
}

# Load: four clients, one connection after the other, one of them with transfers, until the file `stop` is there; one line per answer.
client() {
    local word
    until [ -e "$BATS_TEST_TMPDIR/stop" ]; do
        for word in a b c; do curl -sS -o /dev/null --max-time 20 -w '%{http_code}\n' "$Z/echo?s=$word"; done
        if [ "$1" = pay ]; then
            curl -sS -o /dev/null --max-time 20 -w '%{http_code}\n' -b "$(jar alice)" -d "recipient=bob" \
                -d "zoobars=1" -d submission=Send "$Z/transfer"
        fi
    done >>"$BATS_TEST_TMPDIR/answers.$1" 2>&1
}
begin_load() {
    LOAD_PIDS=()
    local who
    for who in pay a b c; do
        client "$who" 3>&- &
        LOAD_PIDS+=($!)
    done
}
end_load() {
    touch "$BATS_TEST_TMPDIR/stop"
    wait "${LOAD_PIDS[@]}"
    LOAD_PIDS=()
}
answered() { cat "$BATS_TEST_TMPDIR"/answers.* 2>/dev/null | wc -l; }
has_answered() { [ "$(answered)" -ge "$1" ]; }

@test "kill -9 of hostd under load, twice: no call fails, no pid, wire or filter changes, no log line is lost" {
    begin
    register alice secret
    identity >"$BATS_TEST_TMPDIR/identity"
    filters "$BATS_TEST_TMPDIR/identity" >"$BATS_TEST_TMPDIR/filters"
    begin_load
    wait_until 20 has_answered 60
    for round in 1 2; do
        crash
        wait_until 20 has_answered $(($(answered) + 60)) # while hostd is dead
        filters "$BATS_TEST_TMPDIR/identity" | diff "$BATS_TEST_TMPDIR/filters" -
        begin
        run cat "$LOG"
        assert_output --partial "$APP is adopted: 8 of 8 services go on as they are"
        refute_output --partial 'started again'
        echo "# round $round: adopted $(sed -nE 's/.*as they are, (.*)/\1/p' "$LOG")" >&3
        identity | diff "$BATS_TEST_TMPDIR/identity" -
        filters "$BATS_TEST_TMPDIR/identity" | diff "$BATS_TEST_TMPDIR/filters" -
        wait_until 20 has_answered $(($(answered) + 60)) # with the new one
    done
    end_load
    run grep -hv '^200$' "$BATS_TEST_TMPDIR"/answers.*
    assert_output ""
    # One line of the dispatcher per answer, whoever was there to show it: the page of the registration comes on top.
    echoes=$(($(cat "$BATS_TEST_TMPDIR"/answers.[abc] | wc -l) + 3 * $(wc -l <"$BATS_TEST_TMPDIR/answers.pay") / 4))
    lines() { "$HOSTD" logs --app "$APP" dispatcher | grep -c 'GET /zoobar/index.cgi/echo 200'; }
    assert_equal "$(lines)" "$echoes"
    # What was counted before goes on.
    [ "$(link_field echo dynamic in .calls)" -gt 100 ]
    app_stop
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "the new hostd shows what was printed while there was none, and not what its predecessor has shown" {
    begin
    fetch "$Z/echo?s=before"
    shown() { grep -c 'GET /zoobar/index.cgi/echo' "$LOG"; }
    one() { [ "$(shown)" = 1 ]; }
    wait_until 5 one
    crash
    sleep 0.05 # the lines are told apart by their milliseconds
    fetch "$Z/echo?s=alone"
    fetch "$Z/echo?s=alone"
    begin
    two() { [ "$(shown)" = 2 ]; }
    wait_until 5 two
    fetch "$Z/echo?s=after"
    three() { [ "$(shown)" = 3 ]; }
    wait_until 5 three
}

# Eight services, and nobody asks them anything meanwhile: a promise of 200 ms, of which it takes about 10.
within_200_ms() {
    local took
    took=$(sed -nE 's/.*as they are, ([0-9]+) ms after hostd began.*/\1/p' "$LOG")
    echo "# adopted $took ms after hostd began" >&3
    [ "$took" -le 200 ]
}

@test "adopted within 200 ms, and supervised: one that is killed comes back, the dispatcher on the same port" {
    begin
    crash
    begin
    within_200_ms
    for name in dispatcher bank; do
        kill -KILL "$(service_pid "$name")"
        wait_until 15 generation_is "$name" 2
        assert_equal "$(service "$name" .last_end)" 'was killed by signal 9 (Killed)'
    done
    kill -KILL "$(init_pid auth)" # nobody's child here: its end shows by its pidfd
    wait_until 15 generation_is auth 2
    register carol secret
    everything_answers
    run "$HOSTD" start "$ZOOBAR" --name "$APP" --state-dir "$STATE" --listen "http=127.0.0.1:$PORT" 3>&-
    assert_failure 1
    assert_output --partial 'runs already'
    run timeout 20 "$HOSTD" stop --app "$APP"
    assert_success
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "what dies while hostd is dead is started again by the next one, with new wires; --detach waits for it" {
    begin
    bank=$(service_pid bank) echo=$(init_pid echo)
    crash
    kill -KILL "$bank" "$echo"
    wait_until 5 gone "$bank"
    wait_until 5 gone "$echo"
    run "$HOSTD" start "$ZOOBAR" --name "$APP" --state-dir "$STATE" --listen "http=127.0.0.1:$PORT" --detach 3>&-
    assert_success
    assert_output --partial "$APP is adopted: 6 of 8 services go on"
    assert_output --partial "service 'bank' was killed by signal 9 (Killed) while hostd was dead"
    assert_output --partial "service 'echo' ended with its PID 1 while hostd was dead"
    all_ready
    generation_is bank 2
    generation_is echo 2
    generation_is auth 1
    register dora secret
    log_in carol secret || register carol secret
    everything_answers
    "$HOSTD" stop --app "$APP"
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "process services are adopted too, and follow a callee that comes back at another address" {
    LIST=$ROOT/apps/demos/process.toml
    begin
    identity >"$BATS_TEST_TMPDIR/identity"
    crash
    begin
    run cat "$LOG"
    assert_output --partial "$APP is adopted: 4 of 4 services go on"
    identity | diff "$BATS_TEST_TMPDIR/identity" -
    # It prints each answer that differs from the last one: a callee that is away, and there again.
    reached() { "$HOSTD" logs --app "$APP" job | grep -c 'web: 200'; }
    before=$(reached)
    kill -KILL "$(service_pid web)"
    wait_until 15 generation_is web 2
    again() { [ "$(reached)" -gt "$before" ]; }
    wait_until 15 again
    app_stop
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "a policy that left a service ended or failed holds for the next hostd too" {
    LIST=$BATS_TEST_TMPDIR/policy.toml
    zoobar_toml "$LIST" 's|^\[service.echo\]|[service.echo]\nrestart = "never"|'
    begin
    kill -KILL "$(service_pid echo)"
    failed() { [ "$(service echo .state)" = failed ]; }
    wait_until 5 failed
    crash
    begin
    failed
    assert_equal "$(service echo .last_end)" 'was killed by signal 9 (Killed)'
}

# three_services: one whose policy is never, one that is started again, one that has ended well.
three_services() {
    LIST=$BATS_TEST_TMPDIR/three.toml
    printf '[app]\nname = "three"\n[service.once]\nexec = "%s"\nrestart = "never"\n[service.usual]\nexec = "%s"\n' "$BUILD/bin/echo" "$BUILD/bin/echo" >"$LIST"
    printf '[service.well]\nexec = "%s"\nrestart = "on-failure"\n[service.well.config]\nend = "well"\n' "$TOOLS/hog" >>"$LIST"
    begin
    ended() { [ "$(service well .state)" = ended ]; }
    wait_until 10 ended
}
kill_all_three() {
    once=$(service_pid once) usual=$(service_pid usual)
    crash
    kill -KILL "$once" "$usual"
    wait_until 5 gone "$once"
    wait_until 5 gone "$usual"
}

@test "when all services died without a hostd their policies hold too, and each end is told" {
    three_services
    kill_all_three
    # It was ready for nobody knows how long: that end is not one more of ten crashes at the start.
    sed -i -E 's/^(service usual( [^ ]+){7}) [0-9]+/\1 9/' "/run/hostd/$APP/ledger"
    grep -qE '^service usual ready( [0-9]+){5} 1 9 ' "/run/hostd/$APP/ledger"
    begin
    assert_equal "$(service once '"\(.state) \(.generation) \(.last_end)"')" 'failed 1 was killed by signal 9 (Killed)'
    assert_equal "$(service well '"\(.state) \(.generation) \(.last_end)"')" 'ended 1 exited with code 0'
    generation_is usual 2
    run "$HOSTD" events --app "$APP"
    assert_output --partial "is adopted: 0 of 3 services go on"
    assert_output --partial "service 'once' was killed by signal 9 (Killed) while hostd was dead"
    assert_output --partial "service 'once' is not started again: its restart policy"
    assert_output --partial "service 'usual' was killed by signal 9 (Killed) while hostd was dead"
    "$HOSTD" stop --app "$APP"
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "when all services died and the list has changed since, the start is a fresh one" {
    three_services
    kill_all_three
    echo '# as if somebody had looked at it' >>"$LIST"
    sed -i 's/^name = "three"/name = "four"/' "$LIST"
    begin
    generation_is once 1
    generation_is usual 1
    "$HOSTD" stop --app "$APP"
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "without hostd a ring that turns no more is ended all the same, and the next hostd says why" {
    LIST=$BATS_TEST_TMPDIR/spin.toml
    zoobar_toml "$LIST"
    printf '[service.spins]\nexec = "%s"\nwatchdog = "1s"\nrestart = "never"\n[service.spins.config]\nend = "hang"\n' \
        "$TOOLS/hog" >>"$LIST"
    begin
    spins=$(init_pid spins)
    crash
    wait_until 20 gone "$spins"
    begin
    run service spins .last_end
    assert_output --regexp 'its ring did not turn for [0-9]+ ms'
    assert_equal "$(service spins .state)" failed
}

@test "another list, or another port: refused, nothing is touched, and hostd stop ends it" {
    begin
    identity >"$BATS_TEST_TMPDIR/identity"
    crash
    zoobar_toml "$BATS_TEST_TMPDIR/other.toml" 's|^memory = "64M"|memory = "65M"|' 's|^name = "zoobar"|name = "zoobar" # changed|'
    sed -i '/to    = "echo"/,+1d' "$BATS_TEST_TMPDIR/other.toml"
    for arguments in "$BATS_TEST_TMPDIR/other.toml --listen http=127.0.0.1:$PORT --state-dir $STATE" \
        "$ZOOBAR --listen http=127.0.0.1:$(free_port) --state-dir $STATE" \
        "$ZOOBAR --listen http=127.0.0.1:$PORT --state-dir $BATS_TEST_TMPDIR/new/state"; do
        # shellcheck disable=SC2086 # a list of words
        run "$HOSTD" start $arguments --name "$APP" 3>&-
        assert_failure
        [ "$status" = 2 ] && continue # the changed list is no list at all: found before
        assert_output --partial 'has changed since'
        assert_output --partial "hostd stop --app $APP"
    done
    [ ! -e "$BATS_TEST_TMPDIR/new" ]
    everything_answers || register carol secret
    everything_answers
    run "$HOSTD" ps --app "$APP"
    assert_failure 1
    assert_output --partial 'its hostd has died'
    begin # the same list still adopts all
    identity | diff "$BATS_TEST_TMPDIR/identity" -
    crash
    run "$HOSTD" stop --app "$APP"
    assert_success
    assert_output --partial 'ended 8 services'
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "two applications side by side: the death of one's hostd, and its adoption, are nothing to the other" {
    begin
    first=$HOSTD_PID
    cat >"$BATS_TEST_TMPDIR/other.toml" <<END
[app]
name = "other"
[service.lone]
exec = "$BUILD/bin/echo"
END
    "$HOSTD" start "$BATS_TEST_TMPDIR/other.toml" --name "$APP-b" --state-dir "$BATS_TEST_TMPDIR/b" --detach 3>&-
    other() { "$HOSTD" ps --app "$APP-b" --json | jq -c '.services[] | [.name, .state, .init_pid, .generation]'; }
    before=$(other)
    crash
    begin
    assert_equal "$(other)" "$before"
    assert_equal "$first" "$first"
    app_stop
    assert_equal "$(other)" "$before"
    "$HOSTD" stop --app "$APP-b"
    nothing_left "$BATS_TEST_TMPDIR/before"
}

# shares DIRECTORY TEXT: another application is refused that state directory, in one line with these words.
shares() {
    run "$HOSTD" start "$BATS_TEST_TMPDIR/other.toml" --name "$APP-b" --state-dir "$1" --detach 3>&-
    [ "$status" = 1 ] || { echo "$1: $status $output"; "$HOSTD" stop --app "$APP-b"; return 1; }
    assert_equal "${#lines[@]}" 1
    assert_output --partial "state directory $1"
    assert_output --partial "$2"
    [ ! -e "/run/hostd/$APP-b" ]
}
shares_none() {
    shares "$STATE" "application '$APP'"
    shares "$BATS_TEST_TMPDIR/alias" "application '$APP'"
    shares "$STATE/bank" "application '$APP'"
    shares "$(dirname "$STATE")" "application '$APP'"
}

@test "a state directory is one application's: by any name, from above and below, and while its hostd is dead too" {
    printf '[app]\nname = "other"\n[service.lone]\nexec = "%s"\n' "$BUILD/bin/echo" >"$BATS_TEST_TMPDIR/other.toml"
    ln -s "$STATE" "$BATS_TEST_TMPDIR/alias"
    begin
    shares_none
    # A hostd that does not see the other's run directory, as in a container.
    run unshare --mount --propagation private sh -c 'mount -t tmpfs none /run && exec "$@"' sh "$HOSTD" start \
        "$BATS_TEST_TMPDIR/other.toml" --name "$APP-b" --state-dir "$STATE" --detach 3>&-
    assert_failure 1
    assert_output --partial "state directory $STATE is another hostd's"
    crash
    shares_none
    begin
    run cat "$LOG"
    assert_output --partial "$APP is adopted: 8 of 8"
    shares_none
    app_stop
    cd "$(dirname "$STATE")"
    "$HOSTD" start "$BATS_TEST_TMPDIR/other.toml" --name "$APP-b" --state-dir state --detach 3>&-
    run "$HOSTD" start "$BATS_TEST_TMPDIR/other.toml" --name "$APP" --state-dir "$STATE" --detach 3>&-
    assert_failure 1
    assert_output --partial "application '$APP-b'"
    "$HOSTD" stop --app "$APP-b"
    nothing_left "$BATS_TEST_TMPDIR/before"
}

# ---- somebody else who says that he is hostd ----

# asks_to_adopt NSENTER OPTION ...: says INIT_ADOPT on the socket of the bank's PID 1, and prints how many bytes come back.
asks_to_adopt() {
    local protocol
    protocol=$(sed -n 's/^protocol //p' "/run/hostd/$APP/ledger")
    nsenter "$@" python3 - "/run/hostd/$APP/init/bank" $((protocol >> 16)) $(((protocol & 255) - 2)) <<'END'
import socket, struct, sys
peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
peer.settimeout(10)
try:
    peer.connect(sys.argv[1])
    peer.send(struct.pack("=I", int(sys.argv[3])).ljust(int(sys.argv[2]), b"\0"))
    print(len(peer.recv(65536)))
except PermissionError:
    print("refused")
except (ConnectionResetError, BrokenPipeError):
    print(0)
END
}

@test "PID 1 listens to hostd only: root of a service reaches no socket of one, and is not answered if he could" {
    begin
    bank=$(init_pid bank)
    assert_equal "$(asks_to_adopt --user --target "$bank")" refused
    assert_equal "$(asks_to_adopt --user --target "$(init_pid auth)")" refused
    # With the directories and the socket open to everybody, which they never are:
    chmod 0777 /run/hostd "/run/hostd/$APP" "/run/hostd/$APP/init" "/run/hostd/$APP/init/bank"
    assert_equal "$(asks_to_adopt --user --target "$bank")" 0 # an id of the service's user namespace
    assert_equal "$(asks_to_adopt --pid --target "$bank")" 0  # a process of its pid namespace
    register alice secret # hostd's own connection stands: nothing has changed
    kill -KILL "$(service_pid auth)"
    wait_until 15 generation_is auth 2
    everything_answers || register carol secret
    everything_answers
    # The host's root may: it is what hostd itself is.
    [ "$(asks_to_adopt --net --target $$)" -gt 0 ]
}

# ---- a ledger that lies ----

# lie LINE: what a dead hostd could have left, with the given boot id and service line; then a start, which must not touch
# the foreign process.
lie() {
    local boot=$1 service=$2
    install -d -m 0700 /run/hostd "/run/hostd/$APP"
    printf 'hostd 1\nboot %s\nlist 1\nprotocol %s\nmode isolated\nnext_wire 0\nservice bank ready %s 1 0 0 0 \nend\n' \
        "$boot" "$PROTOCOL" "$service" >"/run/hostd/$APP/ledger"
    begin
    run cat "$LOG"
    refute_output --partial 'adopted'
    kill -0 "$FOREIGN"
    app_stop
    kill -0 "$FOREIGN"
}

@test "a ledger that lies: another boot, another start time, other namespaces, a foreign process: none is touched" {
    local boot ticks net user pid
    begin
    PROTOCOL=$(sed -n 's/^protocol //p' "/run/hostd/$APP/ledger")
    app_stop
    cp "$(command -v sleep)" "$BATS_TEST_TMPDIR/initsvc" # even by its name it could be one of ours
    unshare --net --user "$BATS_TEST_TMPDIR/initsvc" 1000 3>&- &
    FOREIGN=$!
    runs() { [ "$(readlink "/proc/$FOREIGN/exe")" = "$BATS_TEST_TMPDIR/initsvc" ]; }
    wait_until 5 runs
    boot=$(cat /proc/sys/kernel/random/boot_id)
    ticks=$(sed -E 's/^.*\) //' "/proc/$FOREIGN/stat" | cut -d' ' -f20)
    inode() { stat -L -c %i "/proc/$FOREIGN/ns/$1"; }
    net=$(inode net) user=$(inode user) pid=$(inode pid)
    lie 00000000-0000-0000-0000-000000000000 "$FOREIGN $ticks $net $user $pid"
    lie "$boot" "$FOREIGN $((ticks - 1)) $net $user $pid"
    lie "$boot" "$FOREIGN $ticks $((net + 1)) $user $pid"
    lie "$boot" "$FOREIGN $ticks $net $((user + 1)) $pid"
    lie "$boot" "$FOREIGN $ticks $net $user $((pid + 1))"
    # Another program in the same namespaces, by its true mark.
    kill -KILL "$FOREIGN"
    wait "$FOREIGN" || true
    sleep 1000 3>&- &
    FOREIGN=$!
    ticks=$(sed -E 's/^.*\) //' "/proc/$FOREIGN/stat" | cut -d' ' -f20)
    lie "$boot" "$FOREIGN $ticks $(inode net) $(inode user) $(inode pid)"
    kill "$FOREIGN"
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "a ledger that cannot be read: what it should name is ended by its own socket, and the start is a new one" {
    begin
    identity >"$BATS_TEST_TMPDIR/identity"
    crash
    head -c 100 "/run/hostd/$APP/ledger" >"$BATS_TEST_TMPDIR/cut"
    cp "$BATS_TEST_TMPDIR/cut" "/run/hostd/$APP/ledger"
    begin
    run cat "$LOG"
    assert_output --partial 'ledger'
    assert_output --partial 'ended 8 services'
    assert_equal "$(service bank .generation)" 1
    for pid in $(jq '.[].init_pid' "$BATS_TEST_TMPDIR/identity"); do gone "$pid"; done
}


# ---- hostd dies, or has enough of it, while somebody waits for `hostd stop` ----

# begin_slow: a service that does not hear a stop for longer than a test takes.
begin_slow() {
    LIST=$BATS_TEST_TMPDIR/slow.toml
    cat >"$LIST" <<TOML
[app]
name = "slow"
[service.deaf]
exec         = "$TOOLS/hog"
watchdog     = "off"
stop_timeout = "${1:-60s}"
[service.deaf.config]
end = "hang"
[service.echo]
exec = "$BUILD/bin/echo"
TOML
    begin
}
# ask_stop: a client in the background; its output and, at its end, its exit code in a file.
ask_stop() {
    local file=$BATS_TEST_TMPDIR/stop.0
    { "$HOSTD" stop --app "$APP" >"$file" 2>&1; echo "rc $?" >>"$file"; } 3>&- &
    CLIENT=$!
}
# Connections of clients to the control socket, those too that hostd has not taken yet; the last line is the listener's.
clients() { grep -c "/run/hostd/$APP/control$" /proc/net/unix; }
clients_are() { [ "$(clients)" -ge $(($1 + 1)) ]; }
is_stopping() { [ "$(service deaf .state)" = stopping ]; }

@test "hostd killed before it reads a stop, or while it carries one out: the client ends what is left, then succeeds" {
    for moment in unread stopping; do
        begin_slow
        pids=$("$HOSTD" ps --app "$APP" --json | jq -r '.services[] | .init_pid, .service_pid')
        [ "$moment" = stopping ] || kill -STOP "$HOSTD_PID"
        ask_stop
        if [ "$moment" = stopping ]; then wait_until 5 is_stopping; else wait_until 5 clients_are 1; fi
        crash
        wait "$CLIENT"
        run cat "$BATS_TEST_TMPDIR/stop.0"
        assert_output --partial 'rc 0'
        assert_output --regexp 'had died; ended [12] services?'
        for pid in $pids; do gone "$pid" || { echo "$moment: $pid lives"; return 1; }; done
        nothing_left "$BATS_TEST_TMPDIR/before"
        rm "$BATS_TEST_TMPDIR/stop.0"
    done
}

@test "forty clients of hostd stop: each that succeeds finds nothing left, the others say why" {
    begin_slow 500ms
    kill -STOP "$HOSTD_PID" # all of them have asked before the first is heard
    local clients=()
    for number in {1..40}; do
        { "$HOSTD" stop --app "$APP" >"$BATS_TEST_TMPDIR/stop.$number" 2>&1 &&
            { [ ! -e "/run/hostd/$APP" ] || echo 'left'; }
            echo "rc $?" >>"$BATS_TEST_TMPDIR/stop.$number"; } 3>&- >"$BATS_TEST_TMPDIR/left.$number" &
        clients+=($!)
    done
    wait_until 5 clients_are 16
    kill -CONT "$HOSTD_PID"
    wait "${clients[@]}"
    cat "$BATS_TEST_TMPDIR"/stop.* "$BATS_TEST_TMPDIR"/left.* >"$BATS_TEST_TMPDIR/all"
    run grep -c '^rc 0$' "$BATS_TEST_TMPDIR/all"
    [ "$output" -ge 16 ]
    run grep -vE "^rc [01]$|application '$APP' (is being stopped|does not run)" "$BATS_TEST_TMPDIR/all"
    assert_output ""
    nothing_left "$BATS_TEST_TMPDIR/before"
}

# ---- a crash between any two steps ----

# killed_at CALL NUMBER: a start whose hostd is killed at its CALL number NUMBER; then a start that must succeed.
killed_at() {
    : >"$LOG"
    strace -qq -o /dev/null -e "trace=$1" -e "inject=$1:signal=KILL:when=$2" "$HOSTD" start "$ZOOBAR" --name "$APP" \
        --state-dir "$STATE" --listen "http=127.0.0.1:$PORT" >"$LOG" 2>&1 3>&- &
    local tracer=$!
    over() { gone "$tracer" || grep -q 'is ready:' "$LOG"; }
    wait_until 30 over
    if ! gone "$tracer"; then
        # So late that it is ready: the call comes with the end.
        if timeout 20 "$HOSTD" stop --app "$APP"; then
            nothing_left "$BATS_TEST_TMPDIR/before" || { echo "left after a stop that was $1 $2"; return 1; }
        fi
        wait_until 20 gone "$tracer"
    fi
    wait "$tracer" || true
    run "$HOSTD" start "$ZOOBAR" --name "$APP" --state-dir "$STATE" --listen "http=127.0.0.1:$PORT" --detach 3>&-
    [ "$status" = 0 ] || { echo "after $1 $2: $output"; return 1; }
    all_ready || { echo "after $1 $2"; "$HOSTD" ps --app "$APP"; return 1; }
    fetch "$Z/echo?s=hi" && [[ $code = 200 && $body == *"from dynamic"* ]] || { echo "after $1 $2: $code"; return 1; }
    run timeout 20 "$HOSTD" stop --app "$APP"
    [ "$status" = 0 ] || { echo "stop after $1 $2: $output"; return 1; }
    nothing_left "$BATS_TEST_TMPDIR/before" || { echo "left after $1 $2"; return 1; }
}

@test "hostd killed at many points of a start and of a stop: the next start adopts or cleans, and a stop leaves nothing" {
    PORT=$(free_port)
    URL=http://127.0.0.1:$PORT Z=$URL/zoobar/index.cgi
    mkdir -p "$STATE"
    for point in flock:1 mkdirat:2 renameat:1 clone3:1 clone3:8 sendmsg:30 socketpair:5 bind:3 bind:9 \
        open_tree:6 epoll_wait:1 epoll_wait:4 epoll_wait:9 sendto:5 sendto:11 sendto:16 pidfd_send_signal:1 \
        pidfd_send_signal:5 unlink:12 rmdir:2; do
        killed_at "${point%:*}" "${point#*:}"
    done
}

# begin_traced OPTION ...: hostd under strace, until it is ready; $TRACER.
begin_traced() {
    PORT=${PORT:-$(free_port)}
    URL=http://127.0.0.1:$PORT Z=$URL/zoobar/index.cgi
    mkdir -p "$STATE"
    : >"$LOG"
    strace -qq "$@" "$HOSTD" start "$ZOOBAR" --name "$APP" --state-dir "$STATE" --listen "http=127.0.0.1:$PORT" \
        >"$LOG" 2>&1 3>&- &
    TRACER=$!
    is_up() { grep -q 'is ready:' "$LOG"; }
    wait_until 30 is_up
}
end_bank() { kill -KILL "$(sed -nE 's/^service bank [a-z]+ ([0-9]+) .*/\1/p' "/run/hostd/$APP/ledger")"; }

@test "hostd killed in the middle of a restart: what is half done is mended by the next one" {
    local calls=$BATS_TEST_TMPDIR/calls first last
    # Where the calls of a restart lie among all: the wires, then who is told of them.
    begin_traced -o "$calls" -e trace=sendto
    first=$(grep -c '^sendto(' "$calls")
    end_bank
    again() { grep -q "'bank' is ready again" "$LOG"; }
    wait_until 10 again
    last=$(grep -c '^sendto(' "$calls")
    timeout 20 "$HOSTD" stop --app "$APP"
    wait_until 10 gone "$TRACER"
    [ "$last" -gt $((first + 10)) ]
    for number in $((first + 4)) $((first + 12)) $((last - 3)) $((last - 2)) $((last - 1)) $last; do
        begin_traced -o /dev/null -e trace=sendto -e "inject=sendto:signal=KILL:when=$number"
        end_bank
        over() { gone "$TRACER" || again; }
        wait_until 20 over
        if ! gone "$TRACER"; then # a call fewer than the time before
            kill -KILL "$(cat "/proc/$TRACER/task/$TRACER/children")"
            wait_until 5 gone "$TRACER"
        fi
        run "$HOSTD" start "$ZOOBAR" --name "$APP" --state-dir "$STATE" --listen "http=127.0.0.1:$PORT" --detach 3>&-
        [ "$status" = 0 ] || { echo "$number: $output"; return 1; }
        assert_output --partial 'is adopted'
        all_ready
        log_in carol secret && [ "$code" = 302 ] || register carol secret
        wait_until 15 everything_answers || { echo "$number: $code $body"; return 1; }
        # No filter of a wire that is none any more.
        for name in "${SERVICES[@]}"; do
            wires=$(service "$name" '[.links[].interface] | sort | join(" ")')
            chains=$(as_host_in "$name" nft list ruleset | sed -nE 's/.*hook ingress device "?([a-z0-9]+)"?.*/\1/p' | sort | xargs)
            assert_equal "$number $name $chains" "$number $name $wires"
        done
        "$HOSTD" stop --app "$APP"
        nothing_left "$BATS_TEST_TMPDIR/before"
    done
}
