#!/usr/bin/env bats
# ps.bats - what hostd ps and hostd top say a service uses, did, and was refused.
# shellcheck shell=bash

load helpers

setup_file() {
    cat >"$BATS_FILE_TMPDIR/app.toml" <<EOF
[app]
name = "ps"
[service.front]
exec = "$TOOLS/rpcprobe"
memory = "48M"
pids = 9
[service.front.config]
calls = ["echo Echo.Say text=1", "echo Bank.Balance username=a", "echo Echo.Say text=2", "echo Echo.Say text=3", "echo Bank.Balance username=b",
         "other Echo.Say text=4", "other Echo.Say text=5", "other Echo.Say text=6"]
[service.echo]
exec = "echo"
operator = ["Echo.Say"]
[service.other]
exec = "echo"
[service.flood]
exec = "$TOOLS/chatter"
[service.flood.config]
flood = 200000
[service.gone]
exec = "$TOOLS/chatter"
restart = "never"
[[link]]
from = "front"
to = "echo"
allow = ["Echo.Say"]
[[link]]
from = "front"
to = "other"
allow = []
EOF
    app_start "$BATS_FILE_TMPDIR/app.toml"
}
teardown_file() { app_stop; }

@test "memory and processes, with their limits" {
    run service front '[.memory_limit_bytes, .pids_limit, .pids]'
    assert_equal "$(jq -c . <<<"$output")" "[$((48 << 20)),9,2]"
    [ "$(service front .memory_bytes)" -gt 100000 ]
    [ "$(service front .memory_bytes)" -lt $((48 << 20)) ]
}

@test "cpu time is of the processes that run" {
    burnt() { [ "$(service flood '.cpu_s > 0.02 and .cpu_percent > 0')" = true ]; }
    wait_until 10 burnt
    kill -KILL "$(service_pid flood)"
    back() { [ "$(service flood '.generation == 2 and .state == "ready"')" = true ]; }
    wait_until 10 back
}

@test "calls that were served, denied calls and dropped packets, each of its own" {
    counts() { service "$1" '[.calls, .denied_calls, .operator.calls, .operator.denied_calls]' | jq -c .; }
    are() { [ "$(counts echo) $(counts other)" = "$1 $2" ]; }
    wait_until 10 are '[3,2,0,0]' '[0,3,0,0]' || { counts echo; counts other; return 1; }
    "$HOSTD" call --app "$APP" echo Echo.Say '{}' >/dev/null
    "$HOSTD" call --app "$APP" other Echo.Say '{}' >/dev/null 2>&1 && return 1
    wait_until 10 are '[4,2,1,0]' '[0,4,0,1]' || { counts echo; counts other; return 1; }
    # Its log names the first of those that come quickly, and counts the others though no more follow.
    logged() { "$HOSTD" logs --app "$APP" other | grep -q 'denied: [12] more calls of front, not shown one by one'; }
    wait_until 10 logged
    assert_equal "$(service echo .denied_packets)" 0
    echo "udp $(link_field echo front in .address) 53" | in_service front "$TOOLS/netprobe" 100
    [ "$(service echo .denied_packets)" -gt 0 ]
}

@test "what does not run uses nothing, and why it ended is said" {
    kill -TERM "$(service_pid gone)"
    ended() { [ "$(service gone .init_pid)" = null ]; }
    wait_until 10 ended
    assert_equal "$(service gone '[.memory_bytes, .pids, .cpu_s]' | jq -c .)" '[null,null,null]'
    run -0 "$HOSTD" ps --app "$APP"
    assert_line --regexp '^  last end: was killed by signal 15'
    assert_line --regexp "^$APP +gone +failed +1 +- +- +0s "
}

@test "the table is readable: one row each, at most 110 columns" {
    run -0 "$HOSTD" ps --app "$APP"
    assert_line --index 0 --regexp '^APP +SERVICE +STATE +GEN +INIT +SERVICE +UPTIME +CPU% +CPU +MEMORY +PIDS +CALLS +DENIED +DROPPED$'
    for row in "${lines[@]}"; do [ "${#row}" -le 110 ] || { echo "$row"; return 1; }; done
    assert_line --regexp "^$APP +front +ready +1 +[0-9]+ +[0-9]+ .*/48M +2/9 +0 +0 +0$"
}

@test "top shows the same again, with the cpu of the interval" {
    run -0 "$HOSTD" top --app "$APP" --count 2 --interval 1
    assert_equal "$(grep -c '^APP' <<<"$output")" 2
    assert_equal "$(grep -c ' front ' <<<"$output")" 2
    run -2 "$HOSTD" top --interval 0
    run -2 "$HOSTD" top --count x
    run -1 "$HOSTD" top --app "$APP-2"
}

@test "top cuts lines at the terminal's width; elsewhere they are whole" {
    on_terminal() { script -qec "stty cols $1; $HOSTD top --app $APP --count 1" /dev/null </dev/null | tr -d '\r'; }
    run -0 on_terminal 60
    assert_line --regexp 'APP +SERVICE +STATE '
    for row in "${lines[@]#$'\e[H\e[J'}"; do [ "$(wc -L <<<"$row")" -le 60 ] || { echo "$row"; return 1; }; done
    run -0 on_terminal 200
    assert_line --partial DROPPED
    run -0 "$HOSTD" top --app "$APP" --count 1
    assert_line --partial DROPPED
}
