#!/usr/bin/env bats
# supervise.bats - what comes after the end of a service: its restart policy, the pause, failed, and why it ended.
# shellcheck shell=bash

load helpers

setup_file() {
    cat >"$BATS_FILE_TMPDIR/app.toml" <<EOF
[app]
name = "supervise"
[service.stays]
exec = "$BUILD/bin/echo"
[service.once]
exec    = "$BUILD/bin/echo"
restart = "never"
[service.well]
exec    = "$TOOLS/hog"
restart = "on-failure"
[service.well.config]
end = "well"
[service.badly]
exec    = "$TOOLS/hog"
restart = "on-failure"
[service.badly.config]
end = "badly"
[service.greedy]
exec   = "$TOOLS/hog"
memory = "8M"
EOF
    "$HOSTD" start "$BATS_FILE_TMPDIR/app.toml" --name "$APP" --state-dir "$STATE" >"$LOG" 2>&1 3>&- &
    HOSTD_PID=$!
    export HOSTD_PID
    is_up() { grep -q 'is ready:' "$LOG"; }
    wait_until 10 is_up
}
teardown_file() { app_stop; }

is_in() { [ "$(service "$1" .state)" = "$2" ]; }

@test "a service that is killed is started again, and ps says how it ended" {
    kill -KILL "$(service_pid stays)"
    again() { [ "$(service stays .generation)" = 2 ] && is_in stays ready; }
    wait_until 5 again
    assert_equal "$(service stays .last_end)" 'was killed by signal 9 (Killed)'
}

@test "restart = never: it stays failed, with its reason" {
    kill -KILL "$(service_pid once)"
    wait_until 5 is_in once failed
    assert_equal "$(service once .last_end)" 'was killed by signal 9 (Killed)'
    assert_equal "$(service once .service_pid)" null
    run cat "$LOG"
    assert_output --partial "service 'once' is not started again"
}

@test "restart = on-failure: exit code 0 is an end, another code is not" {
    wait_until 10 is_in well ended
    assert_equal "$(service well .generation) $(service well .last_end)" '1 exited with code 0'
    more() { [ "$(service badly .generation)" -ge 2 ]; }
    wait_until 10 more
    assert_equal "$(service badly .last_end)" 'exited with code 3'
}

@test "a service over its memory dies alone, and ps says why" {
    said() { service greedy .last_end | grep -q 'its memory limit was used up'; }
    wait_until 10 said
    is_in stays ready
}

@test "a service that ends again and again is left as failed, with pauses in between" {
    wait_until 60 is_in badly failed
    assert_equal "$(service badly .generation)" 10
    run cat "$LOG"
    assert_output --partial "service 'badly' has failed: it ended 10 times"
    # 100, 200, ... 4,000 ms, and up to a quarter more: never over five seconds.
    sed -nE "s/.*'badly' is started again in ([0-9]+) ms/\1/p" "$LOG" >"$BATS_TEST_TMPDIR/pauses"
    run awk 'BEGIN { least = 100 } $1 < least || $1 > least * 1.25 { print "pause " NR ": " $1 } { least *= 2; if (least > 4000) least = 4000 }' "$BATS_TEST_TMPDIR/pauses"
    assert_output ""
    is_in stays ready
}

@test "a stop with failed and ended services among them leaves nothing" {
    run timeout 10 "$HOSTD" stop --app "$APP"
    assert_success
    [ ! -e "/run/hostd/$APP" ]
    gone "$HOSTD_PID"
}
