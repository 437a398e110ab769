#!/usr/bin/env bats
# client.bats - what is the same for every command: exit codes, near names, output that is lost, who may see what.
# shellcheck shell=bash

load helpers

setup_file() {
    cat >"$BATS_FILE_TMPDIR/app.toml" <<TOML
[app]
name = "client"
[service.front]
exec = "$TOOLS/rpcprobe"
[service.front.config]
calls = ["echo Echo.Say text=hi"]
[service.echo]
exec = "echo"
operator = ["Echo.Say"]
[service.loud]
exec = "$TOOLS/chatter"
[[link]]
from = "front"
to = "echo"
allow = []
TOML
    app_start "$BATS_FILE_TMPDIR/app.toml"
    denied() { "$HOSTD" events --app "$APP" | grep -q denied; } # so that there is an event to show
    wait_until 10 denied
}
teardown_file() { app_stop; }

# words COMMAND...: hostd with --app put behind the command; sets status and output.
words() {
    local command=$1
    shift
    run "$HOSTD" "$command" --app "$APP" "$@"
}
# is STATUS: and one line, or two with the usage, that begin with the command's name.
is() {
    assert_equal "$1: status $status of $command $rest: $output" "$1: status $1 of $command $rest: $output"
    [[ $output == "hostd $command: "* ]] || { echo "$output"; return 1; }
    [ "${#lines[@]}" -le 2 ]
}

@test "one rule of exit codes over all commands: a wrong word is 2, what does not run is 1" {
    # STATUS|COMMAND|WORDS.  "-" in front of WORDS: without --app.
    while IFS='|' read -r expected command rest; do
        # shellcheck disable=SC2086 # words
        if [[ $rest == -\ * ]]; then run "$HOSTD" "$command" ${rest#- }; else words "$command" $rest; fi
        is "$expected"
    done <<TABLE
2|logs|ecko
2|stop|ecko
2|restart|ecko
2|exec|ecko -- true
2|call|ecko
2|call|--list ecko
2|call|ecko Echo.Say
2|explain|ecko echo
2|explain|front ecko
2|logs|Ecko_
2|stop|Ecko_
2|restart|Ecko_
2|exec|Ecko_ -- true
2|call|Ecko_
2|call|echo Echo.Sya
2|call|echo Echo.Say {"txt":"x"}
2|explain|front echo.Echo.Sya
2|exec|echo -- no-such-program
2|exec|echo -- ./no-such-program
2|exec|--tools echo -- no-such-program
2|check|- no-such.toml
2|plan|- no-such.toml
2|start|- no-such.toml
2|explain|- no-such.toml front echo
2|check|- /dev/null
2|plan|- /dev/null
2|start|- /dev/null
2|explain|- /dev/null front echo
2|check|- /
2|check|- --josn $BATS_FILE_TMPDIR/app.toml
2|start|- --plian $BATS_FILE_TMPDIR/app.toml
2|plan|- --jsn $BATS_FILE_TMPDIR/app.toml
2|ps|--jsn
2|top|--cuont 1
2|events|--sinc 1
2|logs|--sinc 1
2|explain|--jsno front echo
2|exec|--tols echo -- true
2|call|--lits
2|stop|--ap
2|restart|--ap
2|doctor|- --jsn
2|ps|- --app A_b
2|top|- --app A_b --count 1
2|events|- --app ../../etc
2|logs|- --app ../../etc
2|explain|- --app ../../etc front echo
2|exec|- --app ../../etc echo -- true
2|call|- --app ../../etc echo
2|stop|- --app ../../etc
2|restart|- --app ../../etc echo
1|ps|- --app no-such-app
1|top|- --app no-such-app --count 1
1|events|- --app no-such-app
1|logs|- --app no-such-app
1|explain|- --app no-such-app front echo
1|exec|- --app no-such-app echo -- true
1|call|- --app no-such-app echo
1|stop|- --app no-such-app
1|stop|- --app no-such-app echo
1|restart|- --app no-such-app echo
2|ps|- --app
2|logs|- --since
2|stop|one two
2|restart|
2|logs|one two
2|ps|one
2|top|one
2|events|one
2|doctor|- one
2|call|
2|exec|echo
2|explain|front
TABLE
}

@test "several applications run and none is named: 2 everywhere, and they are named" {
    sed 's/^name = .*/name = "another"/' "$BATS_FILE_TMPDIR/app.toml" >"$BATS_TEST_TMPDIR/another.toml"
    "$HOSTD" start "$BATS_TEST_TMPDIR/another.toml" --name "$APP-2" --state-dir "$BATS_TEST_TMPDIR/state" --detach >/dev/null
    while IFS='|' read -r command rest; do
        # shellcheck disable=SC2086 # words
        run "$HOSTD" "$command" $rest
        is 2
        assert_output --partial "several applications run ("
        assert_output --partial "$APP-2"
    done <<TABLE
logs|
events|
stop|
stop|echo
restart|echo
call|echo
call|--list
exec|echo -- true
explain|front echo
TABLE
    run -0 "$HOSTD" stop --app "$APP-2"
}

@test "near names: of services, of applications that run, of options" {
    while IFS='|' read -r near command rest; do
        # shellcheck disable=SC2086 # words
        run "$HOSTD" "$command" $rest
        assert_failure
        assert_output --partial "did you mean '$near'?"
        assert_equal "${#lines[@]}" 1
    done <<TABLE
echo|logs|--app $APP ecko
echo|stop|--app $APP ecko
echo|restart|--app $APP ecko
echo|exec|--app $APP ecko -- true
echo|call|--app $APP ecko
echo|explain|--app $APP front ecko
$APP|ps|--app x$APP
$APP|top|--app x$APP
$APP|logs|--app x$APP
$APP|events|--app x$APP
$APP|stop|--app x$APP
$APP|restart|--app x$APP echo
$APP|exec|--app x$APP echo -- true
$APP|call|--app x$APP echo
$APP|explain|--app x$APP front echo
--json|ps|--jsn
--json|ps|--j
--since|events|--sinc 1
--json|plan|--jso x.toml
--detach|start|--det x.toml
--app|stop|--ap $APP
TABLE
    assert_equal "$(service echo .generation)" 1
}

@test "a wrong option is said in hostd's words alone, and the option is named" {
    run -2 "$HOSTD" check --json "$ZOOBAR"
    assert_line --index 0 "hostd check: unknown option '--json'"
    assert_line --index 1 "usage: hostd check FILE"
    run -2 "$HOSTD" ps -x
    assert_line --index 0 "hostd ps: unknown option '-x'"
    run -2 "$HOSTD" ps --json=yes
    assert_line --index 0 "hostd ps: option '--json' takes no value"
    run -2 "$HOSTD" stop --app
    assert_line --index 0 "hostd stop: option '--app' lacks what belongs behind it"
    run -2 "$HOSTD" --version more
    assert_output "hostd: --version stands alone, without 'more'; see hostd --help"
    run -0 "$HOSTD" ps "--app=$APP"
    # What stands behind -- is the command's.
    run -0 "$HOSTD" exec --app "$APP" --tools loud -- echo --help --jsn
    assert_line -- '--help --jsn'
}

@test "-h and --help beside other words show the command's usage" {
    for command in start check plan ps events explain logs exec stop restart call doctor top help; do
        usage=$("$HOSTD" help "$command")
        for more in "-h" "--help" "one -h" "--json --help two"; do
            # shellcheck disable=SC2086 # words
            run -0 "$HOSTD" "$command" $more
            assert_output "$usage"
        done
    done
    wait_until 1 all_ready # nothing was stopped
}

@test "output that cannot be written is a failure that says why, whichever command it is" {
    app=(--app "$APP")
    while IFS='|' read -r name rest; do
        # shellcheck disable=SC2086 # words
        run bash -c '"$@" 2>&1 >/dev/full' - timeout 20 "$HOSTD" $rest
        assert_equal "$rest: $status" "$rest: 1"
        assert_line "hostd$name: cannot print: No space left on device"
    done <<TABLE
|--help
|--version
 help|help
 help|help ps
 ps|ps -h
 ps|ps ${app[*]}
 ps|ps ${app[*]} --json
 ps|ps ${app[*]} --links
 top|top ${app[*]} --count 1
 top|top ${app[*]}
 logs|logs ${app[*]}
 logs|logs ${app[*]} --json loud
 logs|logs ${app[*]} --follow
 events|events ${app[*]} --json
 events|events ${app[*]} --follow
 check|check $ZOOBAR
 plan|plan $ZOOBAR
 plan|plan --json $ZOOBAR
 plan|plan --dot $ZOOBAR
 explain|explain ${app[*]} front echo
 explain|explain ${app[*]} operator echo
 explain|explain --json $ZOOBAR dynamic bank
 call|call ${app[*]} --list
 call|call ${app[*]} echo
 call|call ${app[*]} echo Echo.Say {}
 exec|exec ${app[*]} --tools echo -- echo hi
 exec|exec ${app[*]} --tools echo -- yes
 doctor|doctor
TABLE
}

@test "a reader that has gone ends a command as it ends any filter" {
    run bash -c '"$HOSTD" plan --json "$ZOOBAR" | head -n 1; echo "${PIPESTATUS[0]}"'
    assert_line --index 1 --regexp '^(141|0)$' # 0: all of it was in the pipe already
    refute_output --partial 'cannot print'
}

@test "another user is not told that root's applications do not run" {
    local public
    public=$(mktemp -d /tmp/hostd-client.XXXXXX)
    chmod 755 "$public"
    cp -r "$BUILD/bin" "$public/"
    while IFS='|' read -r expected rest; do
        # shellcheck disable=SC2086 # words
        run env -u XDG_RUNTIME_DIR setpriv --reuid=65534 --regid=65534 --clear-groups "$public/bin/hostd" $rest
        [[ $status = "$expected" && $output == "hostd ${rest%% *}: "*"of user 65534"*"root runs some: sudo hostd ps shows them"* ]] || {
            echo "$rest: $status: $output"
            rm -rf "$public"
            return 1
        }
    done <<TABLE
0|ps
0|ps --json
1|ps --app $APP
0|top --count 1
1|top --app $APP
1|logs
1|logs --app $APP
1|events
1|events --app $APP
1|stop
1|stop --app $APP
1|restart --app $APP echo
1|call --app $APP echo
1|explain --app $APP front echo
TABLE
    rm -rf "$public"
}

@test "a list that another build of hostd wrote: services are still found, and wrong ones are still wrong words" {
    list=/run/hostd/$APP/manifest
    cp "$list" "$BATS_TEST_TMPDIR/manifest"
    head -c 100 "$BATS_TEST_TMPDIR/manifest" >"$list"
    run -2 "$HOSTD" stop --app "$APP" ecko
    assert_output "hostd stop: application '$APP' has no service 'ecko'"
    run -2 "$HOSTD" exec --app "$APP" ecko -- true
    run -2 "$HOSTD" logs --app "$APP" Ecko_
    run -0 "$HOSTD" restart --app "$APP" loud
    run -1 "$HOSTD" call --app "$APP" echo
    cp "$BATS_TEST_TMPDIR/manifest" "$list"
    run -0 "$HOSTD" call --app "$APP" echo
}
