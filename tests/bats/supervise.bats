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
[service.usual]
exec = "$TOOLS/hog"
[service.usual.config]
end = "well"
[service.always]
exec    = "$TOOLS/hog"
restart = "always"
[service.always.config]
end = "well"
[service.badly]
exec    = "$TOOLS/hog"
restart = "on-failure"
[service.badly.config]
end = "badly"
[service.greedy]
exec   = "$TOOLS/hog"
memory = "8M"
[service.spins]
exec     = "$TOOLS/hog"
watchdog = "1s"
[service.spins.config]
end = "hang"
[service.deaf]
exec         = "$TOOLS/hog"
watchdog     = "off"
stop_timeout = "200ms"
[service.deaf.config]
end = "hang"
[service.quiet]
exec     = "$TOOLS/hog"
watchdog = "1s"
[service.quiet.config]
end = "stay"
EOF
    "$HOSTD" start "$BATS_FILE_TMPDIR/app.toml" --name "$APP" --state-dir "$STATE" >"$LOG" 2>&1 3>&- &
    HOSTD_PID=$!
    echo "$HOSTD_PID" >"$BATS_FILE_TMPDIR/hostd.pid" # teardown_file ends it, also when it is not up in time
    export HOSTD_PID
    is_up() { grep -q 'is ready:' "$LOG"; }
    wait_until 30 is_up
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

@test "restart = always, which is the default: an end is followed by a start, though it ended well" {
    for name in usual always; do
        more() { [ "$(service "$name" .generation)" -ge 2 ]; }
        wait_until 10 more
        assert_equal "$(service "$name" .last_end)" 'exited with code 0'
    done
}

@test "a service over its memory dies alone, and ps says why" {
    said() { service greedy .last_end | grep -q 'its memory limit was used up'; }
    wait_until 10 said
    is_in stays ready
}

@test "a ring that turns no more: the service is ended and started again, ps says why; one that only idles is not" {
    said() { service spins .last_end | grep -qE '^was killed by signal 9 \(Killed\): its ring did not turn for [0-9]{4} ms$'; }
    wait_until 20 said
    more() { [ "$(service spins .generation)" -ge 3 ]; }
    wait_until 30 more
    # In all that time it was asked several times, and answered.
    assert_equal "$(service quiet '"\(.generation) \(.state)"')" '1 ready'
    # Switched off: nobody asks.
    assert_equal "$(service deaf '"\(.generation) \(.state)"')" '1 ready'
}

@test "stop SERVICE: that one alone, within its stop_timeout, and it stays so; restart SERVICE: ready again" {
    run "$HOSTD" stop --app "$APP" deaf
    assert_success
    assert_equal "$(service deaf '"\(.state) \(.last_end)"')" 'ended was killed by signal 9 (Killed): it did not stop in time'
    run "$HOSTD" stop --app "$APP" quiet
    assert_success
    assert_equal "$(service quiet '"\(.state) \(.last_end)"')" 'ended exited with code 0: stopped by the operator'
    run "$HOSTD" stop --app "$APP" quiet # it is
    assert_success
    run "$HOSTD" restart --app "$APP" quiet
    assert_success
    assert_equal "$(service quiet '"\(.generation) \(.state)"')" '2 ready'
    run "$HOSTD" restart --app "$APP" quiet # one that runs
    assert_success
    assert_equal "$(service quiet '"\(.generation) \(.state) \(.last_end)"')" '3 ready exited with code 0: restarted by the operator'
    run "$HOSTD" restart --app "$APP" once # one that its policy left failed
    assert_success
    assert_equal "$(service once '"\(.generation) \(.state)"')" '2 ready'
    is_in deaf ended
    # Each of them is told: who asked, and what came of it.
    told() { "$HOSTD" events --app "$APP" --json | jq -r --arg name "$1" 'select(.service == $name and (.type | IN("ended", "restart", "ready"))) | "\(.type): \(.text)"'; }
    run told quiet
    assert_output "ended: service 'quiet' exited with code 0: stopped by the operator
restart: service 'quiet' is not started again: hostd stop
restart: service 'quiet' is started again: hostd restart
ready: service 'quiet' is ready again, generation 2
ended: service 'quiet' exited with code 0: restarted by the operator
restart: service 'quiet' is started again: hostd restart
ready: service 'quiet' is ready again, generation 3"
    run told deaf
    assert_output "ended: service 'deaf' was killed by signal 9 (Killed): it did not stop in time
restart: service 'deaf' is not started again: hostd stop"
    run told once
    assert_output --partial "restart: service 'once' is started again: hostd restart"
    for command in stop restart; do
        run "$HOSTD" "$command" --app "$APP" nobody
        assert_failure 2
        assert_output --partial "has no service 'nobody'"
        run "$HOSTD" "$command" --app "$APP" 'No Body'
        assert_failure 2
    done
    run "$HOSTD" restart --app "$APP"
    assert_failure 2
}

@test "a service that is late: its ready_timeout decides" {
    cat >"$BATS_TEST_TMPDIR/late.toml" <<EOF
[app]
name = "late"
[service.late]
exec          = "$TOOLS/hog"
ready_timeout = "300ms"
[service.late.config]
end  = "stay"
late = 60000
EOF
    run "$HOSTD" start "$BATS_TEST_TMPDIR/late.toml" --name "$APP-b" --state-dir "$BATS_TEST_TMPDIR/state" 3>&-
    assert_failure 1
    assert_output --partial 'not ready after 300 ms'
    sed -i 's/^late = .*/late = 500/; s/^ready_timeout.*/ready_timeout = "1m"/' "$BATS_TEST_TMPDIR/late.toml"
    run "$HOSTD" start "$BATS_TEST_TMPDIR/late.toml" --name "$APP-b" --state-dir "$BATS_TEST_TMPDIR/state" --detach 3>&-
    assert_success
    # One that is stopped before it is ready was asked to: its start has not failed.
    of_late() { "$HOSTD" ps --app "$APP-b" --json | jq -r ".services[0] | $1"; }
    "$HOSTD" restart --app "$APP-b" late 3>&- &
    restart_pid=$!
    is_coming() { [ "$(of_late '.generation == 2 and .state != "ready"')" = true ]; }
    wait_until 5 is_coming
    run "$HOSTD" stop --app "$APP-b" late
    assert_success
    wait "$restart_pid" || true # it was told that the service is ended
    assert_equal "$(of_late '"\(.state) \(.last_end)"')" 'ended ended with its PID 1: stopped by the operator'
    run "$HOSTD" stop --app "$APP-b"
    assert_success
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
    # By chance: that every one of nine has none of it happens once in 10^20 times.
    run awk 'BEGIN { least = 100 } $1 != least { more++ } { least *= 2; if (least > 4000) least = 4000 } END { print NR, (more > 0) }' "$BATS_TEST_TMPDIR/pauses"
    assert_output '9 1'
    is_in stays ready
    # With the last lines of its log, shown and kept.
    run cat "$LOG"
    assert_output --partial "the last lines of 'badly': last words, line 7"
    refute_output --partial "the last lines of 'badly': last words, line 2"
    assert_equal "$(service badly '.last_log | join("; ")')" \
        'last words, line 3; last words, line 4; last words, line 5; last words, line 6; last words, line 7'
    run "$HOSTD" ps --app "$APP"
    assert_output --partial 'last line: last words, line 7'
}

@test "a stop with failed and ended services among them leaves nothing" {
    run timeout 10 "$HOSTD" stop --app "$APP"
    assert_success
    [ ! -e "/run/hostd/$APP" ]
    wait_until 5 gone "$HOSTD_PID"
    assert_equal "$(grep -cx 'hostd: stopping' "$LOG")" 1
}

@test "a stop is in order: no callee is asked before the last of its callers has ended" {
    PYTHON=$(readlink -f /usr/bin/python3)
    MODULES=$("$PYTHON" -c 'import os; print(os.path.dirname(os.__file__))')
    cat >"$BATS_TEST_TMPDIR/leave.py" <<'EOF'
import os, signal, socket, sys, time
def leave(*_):
    asked = time.monotonic_ns()
    time.sleep(0.2)
    open(sys.argv[1], "w").write(f"{asked} {time.monotonic_ns()}\n")
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    time.sleep(1000)
EOF
    # front calls middle, middle calls back: the list has them in no such order.
    {
        printf '[app]\nname = "order"\n'
        for name in middle back front; do
            printf '[service.%s]\nkind = "process"\nexec = "%s"\nargs = ["/leave.py", "/%s/left"]\n' "$name" "$PYTHON" "$name"
            printf 'paths = ["%s"]\nready = "notify"\ndata = ["%s"]\nfiles = [{ from = "leave.py", to = "/leave.py" }]\n' "$MODULES" "$name"
        done
        printf '[[link]]\nfrom = "%s"\nto = "%s"\nport = 80\n' middle back front middle
    } >"$BATS_TEST_TMPDIR/order.toml"
    run "$HOSTD" start "$BATS_TEST_TMPDIR/order.toml" --name "$APP-c" --state-dir "$BATS_TEST_TMPDIR/state" --detach 3>&-
    assert_success
    run "$HOSTD" stop --app "$APP-c"
    assert_success
    read -r _ front <"$BATS_TEST_TMPDIR/state/front/left"
    read -r middle_asked middle <"$BATS_TEST_TMPDIR/state/middle/left"
    read -r back_asked _ <"$BATS_TEST_TMPDIR/state/back/left"
    echo "front left at $front; middle was asked at $middle_asked, left at $middle; back was asked at $back_asked"
    [ "$front" -lt "$middle_asked" ]
    [ "$middle" -lt "$back_asked" ]
}
