#!/usr/bin/env bats
# Plain mode: the same binaries and the same list without any isolation.  It works, restarts and ends like the other, the
# list's methods still bind, and it never lets anybody believe that a caller's name is true.
load helpers

setup() { machine_state >"$BATS_TEST_TMPDIR/before"; }
teardown() { app_stop; }

everything_answers() {
    fetch "$Z/echo?s=here" && [ "$code" = 200 ] && [[ $body == *'from dynamic'* ]] &&
        register "u$RANDOM$RANDOM" secret && [ "$code" = 302 ] && fetch "$URL/zoobar/media/zoobar.css" && [ "$code" = 200 ]
}
generation_is() { [ "$(service "$1" .generation) $(service "$1" .state)" = "$2 ready" ]; }
ports_of() { service "$1" '[.links[].port] | sort | map(tostring) | join(" ")'; }

# calls_toml: dynamic calls echo and profile; Auth.Register is not on its list.
calls_toml() {
    cat <<TOML
[app]
name = "calls"
[service.dynamic]
exec = "$1/rpcprobe"
[service.dynamic.config]
calls = ["profile Profile.Render owner=x", "echo Echo.Say text=hi", "auth Auth.Register username=x password=secret"]
[service.profile]
exec = "$1/rpcprobe"
[service.echo]
exec = "$2/echo"
[service.auth]
exec = "$2/auth"
data = ["cred"]
memory = "192M"
[[link]]
from = "dynamic"
to = "profile"
allow = ["Profile.Render"]
[[link]]
from = "dynamic"
to = "echo"
allow = ["Echo.Say"]
[[link]]
from = "dynamic"
to = "auth"
allow = ["Auth.Check"]
TOML
}

@test "zoobar runs plain, restarts like the other, and its data serve the isolated one afterwards" {
    app_start "$ZOOBAR" --plain
    everything_answers
    register alice secret
    register bob secret
    transfer alice bob 3
    assert_equal "$(balance alice)" 7

    # One listener of 127.0.0.1 per link, and nothing of what isolates.
    assert_equal "$("$HOSTD" ps --app "$APP" --json | jq '[.services[].links[] | select(.direction == "in") | .port] | unique | length')" \
        "${#LINKS[@]}"
    assert_equal "$(service bank '[.links[] | .interface + " " + .address] | unique | join(",")')" "lo 127.0.0.1"
    assert_equal "$(readlink "/proc/$(service_pid bank)/ns/net")" "$(readlink /proc/self/ns/net)"
    assert_regex "$(grep -E '^Seccomp:' "/proc/$(service_pid bank)/status")" '0$'

    # A service, then a parent of one, is killed: both come back with new wires, and nothing is lost.
    ports=$(ports_of bank)
    kill -KILL "$(service_pid bank)"
    wait_until 15 generation_is bank 2
    [ "$(ports_of bank)" != "$ports" ]
    wait_until 15 everything_answers
    pid=$(service_pid auth)
    kill -KILL "$(init_pid auth)"
    wait_until 15 generation_is auth 2
    [ ! -e "/proc/$pid" ] # it went with its parent
    wait_until 15 everything_answers
    transfer alice bob 1
    assert_equal "$(balance alice)" 6
    app_stop
    nothing_left "$BATS_TEST_TMPDIR/before"

    app_start "$ZOOBAR"
    log_in alice secret
    assert_equal "$(balance alice)" 6
    app_stop
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "the list's methods bind and names are given, but never as verified; isolated, the same list verifies" {
    calls_toml "$TOOLS" "$BUILD/bin" >"$BATS_TEST_TMPDIR/calls.toml"
    for mode in plain isolated; do
        option=(--plain)
        [ $mode = plain ] || option=()
        app_start "$BATS_TEST_TMPDIR/calls.toml" "${option[@]}"
        done_there() { grep -qE '^dynamic .*rpcprobe: done' "$LOG"; }
        wait_until 20 done_there
        said=$(sed -n 's/.*rpcprobe: //p' "$LOG")
        if [ $mode = plain ]; then
            assert_regex "$said" 'Profile.Render OK html=called by dynamic, not verified'
        else
            assert_regex "$said" 'Profile.Render OK html=called by dynamic'
            refute_regex "$said" 'not verified'
        fi
        assert_regex "$said" 'Echo.Say OK.* caller=dynamic'
        assert_regex "$said" 'Auth.Register PERMISSION_DENIED'
        denied() { grep -q "denied: 'dynamic' called Auth.Register of 'auth'" "$LOG"; }
        wait_until 10 denied
        app_stop
    done
}

@test "it says loudly that callers are not verified: at the start, in each log, in ps" {
    app_start "$ZOOBAR" --plain
    grep -qx 'hostd: PLAIN MODE: services are not isolated, and callers are not verified' "$LOG"
    for name in "${SERVICES[@]}"; do
        assert_regex "$("$HOSTD" logs --app "$APP" "$name")" "$name +! PLAIN MODE: .*callers are not verified"
    done
    assert_regex "$("$HOSTD" ps --app "$APP")" "PLAIN MODE: services of '$APP' are not isolated"
    assert_equal "$(service bank .mode)" plain
    # A terminal's Ctrl-C reaches hostd only: nothing of the application is in its session.
    sessions=$(for name in "${SERVICES[@]}"; do ps -o sid= -p "$(service_pid "$name")"; done)
    refute_regex " $sessions " "[[:space:]]$(ps -o sid= -p "$HOSTD_PID" | tr -d ' ')[[:space:]]"
    app_stop
    app_start "$ZOOBAR"
    refute_regex "$(cat "$LOG"; "$HOSTD" ps --app "$APP"; "$HOSTD" logs --app "$APP" bank)" 'PLAIN MODE.*|not verified'
    assert_equal "$(service bank .mode)" isolated
}

@test "hostd killed: the application answers; the next start, plain or not, ends what was left" {
    app_start "$ZOOBAR" --plain
    for next in plain isolated; do
        old=$(for name in "${SERVICES[@]}"; do service_pid "$name"; done)
        kill -KILL "$HOSTD_PID"
        wait_until 5 gone "$HOSTD_PID"
        everything_answers
        option=(--plain)
        [ $next = plain ] || option=()
        app_start "$ZOOBAR" "${option[@]}"
        everything_answers
        for pid in $old; do wait_until 5 gone "$pid"; done
    done
    app_stop
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "a user who is not root starts it, with run files and data of his own, and leaves nothing but data" {
    place=$(mktemp -d /tmp/plain-user.XXXXXX)
    cp "$BUILD/bin/"{hostd,initsvc,echo,auth} "$TOOLS/rpcprobe" "$place/"
    mkdir "$place/home" "$place/run"
    calls_toml "$place" "$place" >"$place/calls.toml"
    chmod -R a+rX "$place"
    chown nobody "$place/home" "$place/run"
    chmod 0700 "$place/run"
    as_nobody() {
        setpriv --reuid nobody --regid nogroup --clear-groups \
            env -i PATH="$PATH" HOME="$place/home" XDG_RUNTIME_DIR="$place/run" "$place/hostd" "$@" 3>&-
    }
    run as_nobody start "$place/calls.toml" --name "$APP"
    assert_failure 1
    assert_output --partial '--plain'
    as_nobody start "$place/calls.toml" --name "$APP" --plain --detach
    run as_nobody ps --app "$APP"
    assert_output --partial 'not isolated'
    pid=$(as_nobody ps --app "$APP" --json | jq '.services[] | select(.name == "auth").service_pid')
    assert_equal "$(stat -c %U "/proc/$pid")" nobody
    assert [ -f "$place/home/.local/state/hostd/$APP/cred/cred.db" ]
    as_nobody stop --app "$APP"
    [ ! -e "/proc/$pid" ]
    assert_equal "$(ls -A "$place/run")" ""
    rm -rf "$place"
    nothing_left "$BATS_TEST_TMPDIR/before"
}
