#!/usr/bin/env bats
# stages.bats - every stage of the start handshake made to fail, in a start and in the restart of a running service.
#
# In a start: one line that names service, stage, error and what to do, exit code 1, nothing left.  In a restart: the
# same line, the others go on answering, and the service comes back when the fault is gone.
# shellcheck shell=bash

load helpers

INJECT=$TOOLS/inject

# STAGE  SERVICE  ERROR  TEXT OF IT  PROCESS  CALL  ITS ARGUMENT
#
# SERVICE: the one that restarts and that the line names; ends in "up" where its listener matters.  PROCESS: hostd
# itself, the PID 1 of the service (whose libc, musl, has words of its own), or the child that becomes the service.
# CALL: "a:b" is the first b behind an a.
TABLE="
netns        s1  ENOSPC     No_space            hostd    unshare                 -
links        s2  ENOBUFS    No_buffer_space     hostd    unshare:sendto          -
cgroup       s3  ENOSPC     No_space            hostd    mkdir                   /s3
clone        s4  EAGAIN     temporarily         hostd    clone3                  -
idmap        s5  EPERM      not_permitted       hostd    openat                  uid_map
mounts       s6  ENOMEM     Cannot_allocate     hostd    open_tree               -
setup        s7  ENOMEM     Cannot_allocate     hostd    memfd_create            setup
setup        s8  ENOMEM     Out_of_memory       init     recvmsg                 -
ids          s9  EAGAIN     temporarily         init     setresuid               -
parent       s10 EPERM      not_permitted       init     sethostname             -
root         s11 ENOMEM     Out_of_memory       init     pivot_root              -
listen       s12 EADDRINUSE Address_in_use      init     bind                    -
connect      s13 ECONNREFUSED refused           init     connect                 -
ring         s14 EPERM      not_permitted       init     io_uring_setup          -
contract     s15 ENOMEM     Out_of_memory       service  memfd_create            contract
limits       s16 EPERM      not_permitted       service  prlimit64               -
capabilities s17 EPERM      not_permitted       service  capset                  -
landlock     s18 ENOMEM     Out_of_memory       service  landlock_add_rule       -
seccomp      s19 ENOMEM     Out_of_memory       service  seccomp                 -
exec         s20 ENOENT     No_such_file        service  execveat                -
confine      s21 EPERM      not_permitted       init     capset                  -
"
READY=s22 # its stage fails for a reason of its own: a file in its data

# rows FUNCTION: calls it with the columns of each row; says which rows it failed for.
rows() {
    local function=$1 bad=0 stage service error text process call argument after
    while read -r stage service error text process call argument; do
        [ -n "$stage" ] || continue
        [ "$argument" = - ] && argument=
        after=
        [[ $call == *:* ]] && after=${call%:*}
        call=${call#*:}
        "$function" "$stage" "$service" "$error" "${text//_/ }" "$process" "$call" "$argument" ||
            { echo "^ stage $stage ($process: $call)"; bad=1; }
    done <<<"$TABLE"
    return $bad
}

# service_list NAME...: each calls "back" and is called by "other", and neither does so often.
service_list() {
    local name
    printf '[app]\nname = "stages"\n[service.back]\nexec = "%s/bin/echo"\n' "$BUILD"
    printf '[service.other]\nexec = "%s/bin/echo"\n' "$BUILD"
    printf '[service.asks]\nexec = "%s/asker"\n[[link]]\nfrom = "asks"\nto = "back"\nallow = ["Echo.Say"]\n' "$TOOLS"
    for name; do
        printf '[service.%s]\n' "$name"
        if [ "$name" = $READY ]; then
            printf 'exec = "%s/hog"\ndata = ["%s"]\n[service.%s.config]\nrefuse = "/%s/broken"\n' "$TOOLS" "$name" "$name" "$name"
        else
            printf 'exec = "%s/bin/echo"\n' "$BUILD"
            printf '[[link]]\nfrom = "other"\nto = "%s"\nallow = ["Echo.Say"]\n' "$name"
        fi
        printf '[[link]]\nfrom = "%s"\nto = "back"\nallow = ["Echo.Say"]\n' "$name"
    done
}

# explains LINE STAGE SERVICE TEXT: service, stage, error, and what to do in parentheses at its end.
explains() {
    [[ $1 =~ ^"hostd: service '$3', stage $2: ".*"$4".*\ \(.*\)$ ]] || { echo "not a line of its kind: $1"; return 1; }
}

setup_file() {
    # The services in the order of the table: of those that are started one by one, it is the first.
    service_list s{1..21} $READY >"$BATS_FILE_TMPDIR/all.toml"
    machine_state >"$BATS_FILE_TMPDIR/nothing"
}
teardown() { app_stop; }

@test "the table has every stage of the contract" {
    grep -oE '\] = "[a-z]+"' "$ROOT/initsvc/stage.c" | grep -oE '[a-z]+' | grep -vx none | sort >"$BATS_TEST_TMPDIR/stages"
    { awk 'NF {print $1}' <<<"$TABLE"; echo ready; } | sort -u | diff "$BATS_TEST_TMPDIR/stages" -
}

# The service of a row alone among those that it needs.  PID 1s are numbered as they are started.
fails_to_start() {
    local stage=$1 service=$2 error=$3 text=$4 process=$5 call=$6 argument=$7 role=start.2 line said code=0
    service_list "$service" >"$BATS_TEST_TMPDIR/app.toml"
    [ "$process" = init ] && role=start.2.init4
    [ "$process" = service ] && role=start.2.init4.service
    case $stage in
    clone | idmap | mounts | setup) [ "$process" != hostd ] || service=back ;; # the first that comes to it
    netns) service=back ;;
    links) service=asks ;;
    esac
    said=$("$INJECT" --role "$role" ${after:+--after "$after"} --call "$call" ${argument:+--text "$argument"} --error "$error" -- \
        "$HOSTD" start "$BATS_TEST_TMPDIR/app.toml" --name "$APP" --state-dir "$STATE" --detach 2>&1 3>&-) || code=$?
    # Besides it only what services wrote into their logs.
    line=$(grep -v '^[a-z0-9]* *| ' <<<"$said")
    [ "$code" = 1 ] || { echo "exit code $code: $said"; return 1; }
    explains "$line" "$stage" "$service" "$text" || return 1
    nothing_left "$BATS_FILE_TMPDIR/nothing"
}

@test "a start: one line with service, stage, error and hint, exit code 1, nothing left" {
    rows fails_to_start
    mkdir -p "$STATE/$READY"
    chmod 0700 "$STATE/$READY"
    touch "$STATE/$READY/broken"
    service_list $READY >"$BATS_TEST_TMPDIR/app.toml"
    run "$HOSTD" start "$BATS_TEST_TMPDIR/app.toml" --name "$APP" --state-dir "$STATE" --detach 3>&-
    assert_failure 1
    explains "$(grep -v '^[a-z0-9]* *| ' <<<"$output")" ready $READY 'exited with code 1 before it was ready'
    assert_line --regexp "^$READY +\| .*broken is there" # and its own log says why
    rm "$STATE/$READY/broken"
    nothing_left "$BATS_FILE_TMPDIR/nothing"
}

answers() { grep -c 'asker: answered' "$LOG"; }
comes_back() { [ "$(service "$1" '"\(.generation) \(.state)"')" = "$2 ready" ]; }

fails_to_restart() {
    local stage=$1 service=$2 error=$3 text=$4 process=$5 call=$6 argument=$7 role=hostd answered line
    [ "$process" = init ] && role=hostd.init1
    [ "$process" = service ] && role=hostd.init1.service
    answered=$(answers)
    "$INJECT" --attach "$HOSTD_PID" --role "$role" ${after:+--after "$after"} --call "$call" \
        ${argument:+--text "$argument"} --error "$error" --seconds 10 -- kill -KILL "$(service_pid "$service")" || { echo "not met"; return 1; }
    wait_until 5 comes_back "$service" 3 || { "$HOSTD" ps --app "$APP"; tail -n 5 "$LOG"; return 1; }
    line=$(grep "^hostd: service '$service', stage" "$LOG")
    explains "$line" "$stage" "$service" "$text" || return 1
    more() { [ "$(answers)" -gt "$answered" ]; }
    wait_until 5 more
}

@test "a restart: the same line, the others go on answering, and it comes back" {
    app_start "$BATS_FILE_TMPDIR/all.toml"
    rows fails_to_restart
    touch "$STATE/$READY/broken"
    kill -KILL "$(service_pid $READY)"
    said() { grep -q "^hostd: service '$READY', stage ready: exited with code 1 before it was ready (.*)$" "$LOG"; }
    wait_until 5 said
    rm "$STATE/$READY/broken"
    up() { [ "$(service $READY .state)" = ready ]; }
    wait_until 5 up
    # Nobody else was started again, no call of theirs failed.
    assert_equal "$("$HOSTD" ps --app "$APP" --json | jq -r '[.services[] | select(.generation == 1) | .name] | join(" ")')" 'back other asks'
    run grep -c 'asker: failed' "$LOG"
    assert_output 0
    app_stop
    nothing_left "$BATS_FILE_TMPDIR/nothing"
}
