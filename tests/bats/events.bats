#!/usr/bin/env bats
# events.bats - what happened is told once, in one place for people and programs, and outlives a hostd that is killed.
# shellcheck shell=bash

load helpers

setup_file() {
    cat >"$BATS_FILE_TMPDIR/app.toml" <<EOF
[app]
name = "events"
[service.front]
exec = "$TOOLS/rpcprobe"
[service.front.config]
calls = ["echo Echo.Say text=hi", "echo Echo.Say text=hi"]
[service.echo]
exec = "echo"
[service.crash]
exec = "$TOOLS/chatter"
restart = "on-failure"
[[link]]
from = "front"
to = "echo"
allow = []
EOF
    app_start "$BATS_FILE_TMPDIR/app.toml"
}
teardown_file() { app_stop; }

events() { "$HOSTD" events --app "$APP" "$@"; }
# events_of TYPE FILTER: as JSON lines, through jq.
events_of() { events --json | jq -c "select(.type == \"$1\") | $2"; }
has_event() { [ -n "$(events_of "$1" "select($2)")" ]; }

@test "a denied call is an event that names caller, callee, method, count, file and line" {
    wait_until 10 has_event denied '.callee == "echo"'
    all_counted() { [ "$(events_of denied .count | awk '{n += $1} END {print n}')" = 2 ]; }
    wait_until 10 all_counted
    run events_of denied '[.caller, .callee, .method, .file, .line]'
    line=$(grep -n '^\[\[link\]\]' "$BATS_FILE_TMPDIR/app.toml" | cut -d: -f1)
    assert_line --index 0 "[\"front\",\"echo\",\"Echo.Say\",\"$BATS_FILE_TMPDIR/app.toml\",$line]"
    # The same for people, and on hostd's own terminal.
    run events
    sentence="'front' called Echo.Say of 'echo'( \\(2 times\\))?, which the link does not allow"
    assert_line --regexp "^20[0-9-]{8}T[0-9:.]{12}Z denied   $sentence \\($BATS_FILE_TMPDIR/app.toml:$line\\)$"
    run -0 grep -cE "^hostd: denied: $sentence \\(line $line\\)$" "$LOG"
}

@test "a service that is killed: why it ended, when it starts again, that it is ready" {
    kill -KILL "$(service_pid echo)"
    wait_until 10 has_event ready '.service == "echo" and .generation == 2'
    run events_of ended '[.service, .text]'
    assert_output "[\"echo\",\"service 'echo' was killed by signal 9 (Killed)\"]"
    run events_of restart .service
    assert_output '"echo"'
}

@test "a peer that breaks the protocol, and packets that a wire's filter drops" {
    address=$(link_field echo front in .address)
    as_host_in front timeout 5 bash -c "exec 3<>/dev/tcp/$address/7000; echo 'GET / HTTP/1.0' >&3; cat <&3" || true
    wait_until 10 has_event broken '.caller == "front" and .callee == "echo" and .count == 1'
    echo "udp $address 53" | in_service front "$TOOLS/netprobe" 100
    noticed() { "$HOSTD" ps --app "$APP" >/dev/null && has_event packets '.service == "echo" and .count > 0'; }
    wait_until 10 noticed
    before=$(events_of packets . | wc -l)
    "$HOSTD" ps --app "$APP" >/dev/null
    assert_equal "$(events_of packets . | wc -l)" "$before" # told once
    # What was tried on a wire is told before the wire goes, though nobody looked.
    echo "udp $address 54" | in_service front "$TOOLS/netprobe" 100
    kill -KILL "$(service_pid front)"
    one_more() { [ "$(events_of packets . | wc -l)" -gt "$before" ]; }
    wait_until 10 one_more
}

@test "--follow shows what happens from then on, until it is ended; --since leaves out the past" {
    "$HOSTD" events --app "$APP" --follow --json >"$BATS_TEST_TMPDIR/followed" 3>&- & # no function: $! would be its shell
    follower=$!
    old() { [ -s "$BATS_TEST_TMPDIR/followed" ]; }
    wait_until 5 old
    kill -KILL "$(service_pid crash)"
    new() { grep -q '"service":"crash"' "$BATS_TEST_TMPDIR/followed"; }
    wait_until 10 new
    kill "$follower"
    wait "$follower" 2>/dev/null || true
    run -0 events --since 3600
    [ "${#lines[@]}" -ge 4 ]
    run -2 "$HOSTD" events --since soon
    run -1 "$HOSTD" events --app "$APP-2"
    assert_output --partial "does not run"
}

@test "methods that were denied together are events of their own" {
    calls='"echo Echo.Say text=a", "auth Auth.Register", "auth Auth.Check", "auth Auth.Check", "auth Auth.Logout"'
    app_stop
    cat >"$BATS_FILE_TMPDIR/many.toml" <<EOF
[app]
name = "events"
[service.front]
exec = "$TOOLS/rpcprobe"
[service.front.config]
calls = [$calls]
[service.echo]
exec = "echo"
[service.auth]
exec = "auth"
data = ["cred"]
[[link]]
from = "front"
to = "echo"
allow = []
[[link]]
from = "front"
to = "auth"
allow = ["Auth.Login"]
EOF
    app_start "$BATS_FILE_TMPDIR/many.toml"
    each() {
        [ "$(events --json | jq -s -c '[.[] | select(.type == "denied")] | group_by(.method) | map({(.[0].method): (map(.count) | add)}) | add')" = \
            '{"Auth.Check":2,"Auth.Logout":1,"Auth.Register":1,"Echo.Say":1}' ]
    }
    wait_until 10 each
}

@test "events outlive a hostd that is killed, and the next one goes on with them" {
    before=$(events --json | wc -l)
    [ "$before" -ge 4 ]
    kill -KILL "$(cat "$BATS_FILE_TMPDIR/hostd.pid")"
    wait_until 10 gone "$(cat "$BATS_FILE_TMPDIR/hostd.pid")"
    assert_equal "$(events --json | wc -l)" "$before" # nobody runs that could be asked
    app_start "$BATS_FILE_TMPDIR/many.toml"
    kill -KILL "$(service_pid auth)"
    later() { [ "$(events --json | wc -l)" -gt "$before" ] && [ -n "$(events_of ended .service)" ]; }
    wait_until 10 later
    assert_equal "$(events --json | head -n 1 | jq -r .type)" denied # the oldest is still there
}

@test "the files have a bound, and a torn or foreign line hides nothing" {
    for file in "/run/hostd/$APP/events".?; do [ "$(stat -c %s "$file")" -le 524288 ]; done
    before=$(events --json | wc -l)
    printf 'no object\n{"time_ms":1,"type"' >>"/run/hostd/$APP/events.1"
    assert_equal "$(events --json | wc -l)" "$before"
}
