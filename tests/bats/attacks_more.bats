#!/usr/bin/env bats
# attacks_more.bats - the rows of tests/attacks/README.md that need more than one try: a restart, a flood, a terminal.
#
# Each test does it twice: with the build that is installed, where it must fail, and in the test build with the row's
# switch, where it must succeed.
# shellcheck shell=bash

load helpers
load attacks

setup() {
    place_make
    TOML=$PLACE/app.toml
}
teardown() {
    # shellcheck disable=SC2046 # pids
    kill $(cat "$BATS_TEST_TMPDIR"/*.pid 2>/dev/null) 2>/dev/null || true
    if [ -s "$BATS_FILE_TMPDIR/hostd.pid" ]; then app_stop; fi
    place_remove
}

# The switches of the row that is being tried.
switches_of() { table | awk -F'\t' -v id="$1" '$1 == id {print $4}'; }
# installed: from here on the build that is installed; weak SWITCHES: the test build without these defences.
installed() {
    HOSTD=$BUILD/bin/hostd WITNESS=$TOOLS/witness
    unset HOSTD_WEAKEN
}
weak() {
    HOSTD=$WEAK/bin/hostd WITNESS=$WEAK/test-bin/witness
    export HOSTD_WEAKEN=$1
}

# One attacker that tries rows as a service, with a data directory.
keeper_toml() {
    cat >"$TOML" <<TOML
[app]
name = "attacks"
[service.keeper]
exec = "$ATTACK"
data = ["box"]
[service.keeper.config]
rows = [$([ $# = 0 ] || toml_list "$@")]
TOML
}
keeper_says() { result_in "$LOG" "$1"; }

# ---- identity ----

# stale: what a caller left behind before its end, and how much of it was served after its successor was known.
stale() {
    local before
    cat >"$TOML" <<TOML
[app]
name = "attacks"
[service.flooder]
exec = "$ATTACK"
[service.witness]
exec = "$WITNESS"
[[link]]
from = "flooder"
to = "witness"
allow = ["Witness.Note"]
TOML
    app_start "$TOML"
    rm -f "$PLACE/go"
    : >"$PLACE/said" # what the first try said would be taken for the second one's
    mkfifo "$PLACE/go"
    "$ATTACK" --enter "$(init_pid flooder)" I07 "peer=$(link_field witness flooder in .address)" \
        <>"$PLACE/go" >"$PLACE/said" 2>&1 3>&- &
    echo $! >"$BATS_TEST_TMPDIR/enter.pid"
    wait_until 10 grep -q 'I07 connected' "$PLACE/said"
    kill -STOP "$(service_pid witness)"
    echo go >"$PLACE/go"
    wait_until 10 grep -qE 'I07 sent [0-9]{3,}' "$PLACE/said"
    kill -KILL "$(init_pid flooder)"
    again() { [ "$(service flooder '"\(.generation) \(.state)"')" = "2 ready" ]; }
    wait_until 10 again
    kill -CONT "$(service_pid witness)"
    "$ATTACK" --enter "$(init_pid flooder)" honest "peer=$(link_field witness flooder in .address)" >/dev/null || true
    # What is served is served within a moment; then the count stands.
    stands() {
        before=${now-}
        now=$("$ATTACK" --enter "$(init_pid flooder)" I07b "peer=$(link_field witness flooder in .address)")
        [ "$now" = "$before" ]
    }
    now='' && wait_until 10 stands
    app_stop
    echo "${now#I07b }"
}

@test "I07: requests that a caller left behind are not served once it was started again" {
    installed
    assert_equal "$(stale)" 'refused: at most one read of them was served'
    weak stale
    assert_regex "$(stale)" '^SUCCEEDED: [0-9]{3,} requests of a dead generation were served$'
}

@test "I07c: a connection from before its callee's restart reaches nobody" {
    installed
    attacks_toml "$WITNESS" '' '' ''
    app_start "$PLACE/attacks.toml"
    mkfifo "$PLACE/go"
    : >"$PLACE/said"
    "$ATTACK" --enter "$(init_pid keeper)" I07c "peer=$(link_field witness keeper in .address)" \
        <>"$PLACE/go" >"$PLACE/said" 2>&1 3>&- &
    echo $! >"$BATS_TEST_TMPDIR/enter.pid"
    wait_until 10 grep -q 'I07c connected' "$PLACE/said"
    kill -KILL "$(service_pid witness)"
    wait_until 10 generation_is witness 2
    echo go 1<>"$PLACE/go"
    wait_until 10 grep -q 'I07c .*:' "$PLACE/said"
    # The end of the callee's process arrives, or its wire is gone before.
    assert_regex "$(result_in "$PLACE/said" I07c)" '^refused: (closed|no answer)$'
    # And there was somebody who could have: by the link's new wire.
    run "$HOSTD" exec --app "$APP" --as-root keeper -- "$ATTACK" honest "peer=$(link_field witness keeper in .address)"
    assert_output "honest SUCCEEDED: answered, as 'keeper'"
}

# bank_says CALL ...: what an rpcprobe in the place of dynamic gets from the bank, for these calls.
bank_says() {
    cat >"$TOML" <<TOML
[app]
name = "attacks"
[service.auth]
exec = "auth"
data = ["cred"]
memory = "192M"
[service.bank]
exec = "bank"
data = ["bank"]
config.opening_balance = 1000
[service.dynamic]
exec = "$TOOLS/rpcprobe"
[service.dynamic.config]
calls = [$(toml_list "auth Auth.Register username=bob password=secret" "bank Bank.Open username=bob token=\$token" \
        "auth Auth.Register username=alice password=secret" "bank Bank.Open username=alice token=\$token" "$@")]
[service.static]
exec = "$TOOLS/rpcprobe"
[service.static.config]
calls = ["bank Bank.Balance username=bob"]
[[link]]
from = "dynamic"
to = "auth"
allow = ["Auth.Register"]
[[link]]
from = "dynamic"
to = "bank"
allow = ["Bank.Open", "Bank.Balance", "Bank.Transfer"]
[[link]]
from = "bank"
to = "auth"
allow = ["Auth.Check"]
TOML
    rm -rf "$STATE/cred" "$STATE/bank"
    app_start "$TOML"
    both_done() { [ "$(grep -c 'rpcprobe: done' "$LOG")" = 2 ]; }
    wait_until 30 both_done
    # Really sent, by who may do more than the service: there it is only librpc that knows of no link.
    in_service static "$TOOLS/forge" --timeout 500 "$(link_field bank dynamic in .address)" 7000 Bank.Balance username=bob |
        sed 's/^/static by root: /'
    app_stop
    sed -nE 's/^(dynamic|static) +\| rpcprobe: /\1 /p' "$LOG"
}

@test "I08: nobody moves another's money with a token of one's own, or without a link" {
    local steal='bank Bank.Transfer sender=bob recipient=alice zoobars=5 token=$token key=deputy-deputy---'
    installed
    run bank_says "$steal"
    assert_output --regexp 'dynamic Bank.Transfer (PERMISSION_DENIED|UNAUTHENTICATED)'
    assert_output --partial 'static Bank.Balance NO_LINK'
    assert_output --partial 'static by root: connect: ENETUNREACH'
    weak token
    run bank_says "$steal"
    assert_output --partial 'dynamic Bank.Transfer OK'
}

@test "I09: a captured transfer that is sent again moves money once" {
    local transfer='bank Bank.Transfer sender=alice recipient=bob zoobars=5 token=$token key=replay-replay---'
    installed
    run bank_says "$transfer" "$transfer" 'bank Bank.Balance username=alice'
    assert_equal "$(grep -c 'dynamic Bank.Transfer OK zoobars=995' <<<"$output")" 2
    assert_output --partial 'dynamic Bank.Balance OK zoobars=995'
    weak replay
    run bank_says "$transfer" "$transfer" 'bank Bank.Balance username=alice'
    assert_output --partial 'dynamic Bank.Balance OK zoobars=990'
}

# ---- processes ----

daemons() { ps -e -o pid=,comm= | awk '$2 == "attack-daemon" {print $1}'; }

@test "E08: a daemon that a service left behind ends with it" {
    installed
    keeper_toml E08
    app_start "$TOML"
    assert_equal "$(keeper_says E08)" 'refused: EPERM'
    # As root of the service, without a filter, it can be made; it ends with the command.
    run "$HOSTD" exec --app "$APP" --as-root keeper -- "$ATTACK" E08
    assert_output 'E08 SUCCEEDED: a daemon'
    none() { [ -z "$(daemons)" ]; }
    wait_until 5 none
    # Whoever ends just then: parents that are gone before their children were looked at hide nobody.
    local loops=()
    for _ in 1 2 3 4; do
        for _ in {1..25}; do "$HOSTD" exec --app "$APP" --as-root keeper -- "$ATTACK" E08 || true; done >>"$PLACE/daemons" 3>&- &
        loops+=($!)
    done
    wait "${loops[@]}"
    assert_equal "$(grep -c 'E08 SUCCEEDED' "$PLACE/daemons")" 100
    wait_until 5 none
    app_stop

    weak seccomp
    app_start "$TOML"
    assert_equal "$(keeper_says E08)" 'SUCCEEDED: a daemon'
    [ -n "$(daemons)" ]
    app_stop
    wait_until 5 none

    weak seccomp,pid-namespace
    app_start "$TOML"
    app_stop
    left=$(daemons)
    # shellcheck disable=SC2086 # pids
    kill -KILL $left
    wait_until 5 none
    find /sys/fs/cgroup -depth -type d -path "*/hostd/$APP*" -exec rmdir {} \; 2>/dev/null || true
    find /sys/fs/cgroup -depth -type d -name hostd -empty -exec rmdir {} \; 2>/dev/null || true
    [ -n "$left" ]
}

@test "E11: there is no terminal to push characters into" {
    installed
    keeper_toml E11
    app_start "$TOML"
    assert_equal "$(keeper_says E11)" 'refused: EPERM ENOENT'
    app_stop
    # hostd on a terminal, and a process that would read from it.
    printf '[app]\nname = "attacks"\n[service.keeper]\nkind = "process"\nexec = "%s"\nargs = ["E11"]\nrestart = "never"\n' \
        "$ATTACK" >"$TOML"
    on_a_terminal() { script -qec "'$HOSTD' start '$TOML' --name '$APP' --state-dir '$STATE'" /dev/null </dev/null; }
    run on_a_terminal
    assert_output --partial 'E11 refused: EPERM ENOENT'
    weak "$(switches_of E11)"
    run on_a_terminal
    assert_output --partial 'E11 SUCCEEDED: TIOCSTI'
    local switches=$HOSTD_WEAKEN one fewer
    for one in ${switches//,/ }; do
        fewer=,$switches, fewer=${fewer/,$one,/,}
        weak "$fewer"
        run on_a_terminal
        refute_output --partial SUCCEEDED
    done
}

# by_exec ROW ...: what the rows come to under the keeper's confinement.
by_exec() {
    "$HOSTD" exec --app "$APP" keeper -- "$ATTACK" "$@" >"$PLACE/said" 2>&1 || true
    result_in "$PLACE/said" "$1"
}

@test "E09c: a setuid file gives a service nothing, were everything else away that stops it before" {
    keeper_toml
    sed -i "s|^data = .*|&\nfiles = [{ from = \"$PLACE/setuid\", to = \"/setuid\" }]|" "$TOML"
    installed
    app_start "$TOML"
    powerful_files
    assert_equal "$(by_exec E09c)" 'refused: EACCES'
    app_stop
    # No defence but the one.
    weak seccomp,landlock,noexec,nosuid
    app_start "$TOML"
    powerful_files
    assert_equal "$(by_exec E09c)" 'refused: user id 1000'
    app_stop
    weak "$(switches_of E09c)"
    app_start "$TOML"
    powerful_files
    assert_equal "$(by_exec E09c)" 'SUCCEEDED: user id 0'
    app_stop
    # That one alone cannot be left out: what comes after it needs it.
    weak no-new-privs
    starts_refused 'landlock_restrict_self: Operation not permitted'
}

@test "E12b: a crash leaves no core file" {
    keeper_toml
    ulimit -c unlimited # ours, which a service must not inherit
    installed
    app_start "$TOML"
    cores() { find "$STATE/box" -name '*core*' | wc -l; }
    run "$HOSTD" exec --app "$APP" keeper -- "$ATTACK" E12b
    assert_failure 132
    assert_equal "$(cores)" 0
    app_stop
    weak "$(switches_of E12b)"
    app_start "$TOML"
    run "$HOSTD" exec --app "$APP" keeper -- "$ATTACK" E12b
    assert_failure 132
    assert_equal "$(cores)" 1
}

# starts_refused TEXT: hostd start fails with one line that holds TEXT.
starts_refused() {
    run "$HOSTD" start "$TOML" --name "$APP" --state-dir "$STATE" 3>&-
    assert_failure
    assert_output --partial "$1"
}

# killed_or_says ROW: a service that tries it either dies of it before it is ready, or says what came of it.
killed_or_says() {
    keeper_toml "$1"
    "$HOSTD" start "$TOML" --name "$APP" --state-dir "$STATE" --detach >"$LOG" 2>&1 3>&- || {
        sed -nE 's/.*was (killed by signal [0-9]+).*/\1/p' "$LOG" | head -n 1
        return
    }
    "$HOSTD" logs --app "$APP" keeper | sed -nE "s/.*$1 ((refused|SUCCEEDED): .*)/\1/p"
    "$HOSTD" stop --app "$APP"
}

@test "K02b: a 32-bit system call ends who makes it" {
    installed
    assert_equal "$(killed_or_says K02b)" 'killed by signal 31'
    weak seccomp
    assert_equal "$(killed_or_says K02b)" 'SUCCEEDED: getpid by int 0x80'
}

@test "K02c: so does one of x32, which the kernel does not have anyway" {
    installed
    assert_equal "$(killed_or_says K02c)" 'killed by signal 31'
    weak seccomp
    assert_equal "$(killed_or_says K02c)" 'refused: ENOSYS'
}

# ---- files ----

outside_instead() {
    mkdir -p "$PLACE/outside"
    chmod 700 "$PLACE/outside"
    echo outside >"$PLACE/outside/marker"
    ln -s "$PLACE/outside" "$STATE/elsewhere"
}

@test "F02: a data directory that is swapped for a link while services start is never mounted outside" {
    outside_instead
    keeper_toml F02
    "$ATTACK" --swap "$STATE/box" "$STATE/elsewhere" >"$PLACE/swaps" 3>&- &
    local swapper=$! started=0 refused=0
    echo $swapper >"$BATS_TEST_TMPDIR/swap.pid"
    installed
    # As many starts as give both outcomes several times.
    until [ $((started + refused)) -ge 20 ] && [ $started -ge 3 ] && [ $refused -ge 3 ]; do
        [ $((started + refused)) -lt 200 ]
        if "$HOSTD" start "$TOML" --name "$APP" --state-dir "$STATE" --detach >"$LOG" 2>&1 3>&-; then
            started=$((started + 1))
            run "$HOSTD" logs --app "$APP" keeper
            "$HOSTD" stop --app "$APP"
            assert_output --partial 'F02 refused: its own data'
            refute_output --partial SUCCEEDED
        else
            refused=$((refused + 1))
            grep -q "$STATE/box" "$LOG"
        fi
    done
    rm "$BATS_TEST_TMPDIR/swap.pid"
    kill $swapper
    wait $swapper
    echo "started $started, refused $refused, swapped $(cat "$PLACE/swaps") times"
    [ "$(cat "$PLACE/swaps")" -ge 10000 ]
    # The link left in its place: refused, and followed without the defence.
    [ ! -L "$STATE/box" ] || rm "$STATE/box"
    rm -rf "$STATE/box"
    ln -s "$PLACE/outside" "$STATE/box"
    starts_refused "$STATE/box"
    weak nofollow
    app_start "$TOML"
    assert_equal "$(keeper_says F02)" 'SUCCEEDED: a directory outside was mounted'
}

@test "F03: something else in the place of /dev/null is refused" {
    keeper_toml F02
    install -m 0666 /dev/null "$PLACE/null"
    installed
    printf '#!/bin/sh\nexec unshare --mount --propagation private sh -c '\''mount --bind "%s" /dev/null; exec "%s" "$@"'\'' sh "$@"\n' \
        "$PLACE/null" "$HOSTD" >"$PLACE/hostd"
    chmod 755 "$PLACE/hostd"
    HOSTD=$PLACE/hostd
    starts_refused '/dev/null is not the null device'
    weak null-check
    sed -i "s|$BUILD/bin/hostd|$HOSTD|" "$PLACE/hostd"
    HOSTD=$PLACE/hostd
    app_start "$TOML"
    assert_equal "$(stat -Lc %F "/proc/$(init_pid keeper)/fd/0")" 'regular empty file'
}

@test "F03b: something else in the place of /proc is refused" {
    keeper_toml F02
    installed
    mkdir "$PLACE/proc"
    # Empty; and with hostd's own entries, the machine's, but no service's.
    cat >"$PLACE/hostd" <<SCRIPT
#!/bin/sh
exec unshare --mount --propagation private sh -c '
    mount --bind /proc "$PLACE/proc"
    mount -t tmpfs none /proc
    [ ! -e "$PLACE/more" ] || ln -s "$PLACE"/proc/self "$PLACE"/proc/thread-self "$PLACE"/proc/sys /proc
    exec "$HOSTD" "\$@"' sh "\$@"
SCRIPT
    chmod 755 "$PLACE/hostd"
    HOSTD=$PLACE/hostd
    starts_refused 'No such file or directory'
    touch "$PLACE/more"
    starts_refused "service 'keeper', stage idmap"
    assert_output --regexp 'write /proc/[0-9]+/uid_map: No such file or directory'
}

@test "F05b: what a service mounts does not appear on the host" {
    mkdir "$PLACE/flow/out"
    seen() { grep -c " $PLACE/flow/out " /proc/self/mountinfo || true; }
    keeper_toml
    installed
    app_start "$TOML"
    run "$HOSTD" exec --app "$APP" --as-root keeper -- "$ATTACK" F05b "flow=$PLACE/flow/out"
    assert_output 'F05b refused: ENOENT'
    assert_equal "$(seen)" 0
    app_stop
    # Where it can be mounted, it is in the service's own tree; without that it is in everybody's.
    for switches in old-root,user-namespace "$(switches_of F05b)"; do
        weak "$switches"
        app_start "$TOML"
        run "$ATTACK" --enter "$(init_pid keeper)" F05b "flow=$PLACE/flow/out"
        assert_output 'F05b SUCCEEDED: mounted'
        echo "$switches $(seen)" >>"$PLACE/seen"
        umount "$PLACE/flow/out" 2>/dev/null || true
        app_stop
    done
    assert_equal "$(paste -sd' ' "$PLACE/seen")" "old-root,user-namespace 0 $(switches_of F05b) 1"
}

@test "F13: no other service shares the directory in which something could be planted" {
    keeper_toml F13
    printf '[service.planter]\nexec = "%s"\ndata = ["box"]\n' "$ATTACK" >>"$TOML"
    mkfifo "$STATE/box/fifo"
    python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$STATE/box/socket"
    installed
    run "$HOSTD" check "$TOML"
    assert_failure 2
    assert_output --partial "data directory 'box' is there already"
    weak data-exclusive
    app_start "$TOML"
    assert_equal "$(keeper_says F13)" 'SUCCEEDED: a FIFO of another service, a socket of another service'
}

@test "F13b: nor is one shown to another service as a file of its list" {
    keeper_toml
    printf '[service.reader]\nexec = "%s"\nfiles = [{ from = "%s", to = "/box" }]\n' "$ATTACK" "$STATE/box" >>"$TOML"
    installed
    starts_refused 'lies in the state directory'
    weak "$(switches_of F13b)"
    app_start "$TOML"
    mkfifo "$STATE/box/fifo"
    chmod 755 "$STATE/box" # as hostd never makes it
    run "$HOSTD" exec --app "$APP" reader -- "$ATTACK" F13
    assert_output 'F13 SUCCEEDED: a FIFO of another service'
}

# ---- floods ----

@test "N09c: a flood of SYNs on one link leaves the others their answers, and that link its own afterwards" {
    local arguments answers=0
    installed
    attacks_toml "$TOOLS/witness" '' '' ''
    app_start "$PLACE/attacks.toml"
    read -ra arguments <<<"$(attack_arguments | tr '\n' ' ')"
    received() { awk '$1 == "Tcp:" {received = $11} END {print received}' "/proc/$(init_pid witness)/net/snmp"; }
    before=$(received)
    "$ATTACK" --wire "$(init_pid keeper)" N09c ms=3000 "${arguments[@]}" >"$PLACE/flood" 3>&- &
    local flood=$!
    while ! gone $flood; do
        run "$HOSTD" exec --app "$APP" --as-root bare -- "$ATTACK" honest "peer=$(link_field witness bare in .address)"
        assert_output "honest SUCCEEDED: answered, as 'bare'"
        answers=$((answers + 1))
    done
    [ $answers -ge 3 ]
    run cat "$PLACE/flood"
    assert_output --regexp 'N09c refused: [0-9]+ SYNs, [0-9]+ a second'
    # All of them passed the filter and were the callee's to refuse.
    sent=$(sed -E 's/.*refused: ([0-9]+) SYNs.*/\1/' "$PLACE/flood")
    [ "$sent" -ge 30000 ] && [ $(($(received) - before)) -ge "$sent" ]
    run try_as root honest
    assert_output "honest SUCCEEDED: answered, as 'keeper'"
    all_ready
}

# chatter_toml FLOOD: a service that prints what it should not, and FLOOD lines.
chatter_toml() {
    printf '[app]\nname = "attacks"\n[service.odd]\nexec = "%s"\nconfig.flood = %s\n' "$TOOLS/chatter" "$1" >"$TOML"
}

@test "K05: a flood of log lines is capped, and what was dropped is said" {
    chatter_toml 20000
    installed
    app_start "$TOML"
    "$HOSTD" logs --app "$APP" odd >"$PLACE/logs"
    [ "$(grep -c '| flood ' "$PLACE/logs")" -lt 15000 ]
    grep -q 'lines dropped: more than 1000 a second' "$PLACE/logs"
    app_stop
    weak log-cap
    app_start "$TOML"
    all_kept() { [ "$("$HOSTD" logs --app "$APP" odd | grep -c '| flood ')" = 20000 ]; }
    wait_until 10 all_kept
}

@test "K05b: what a service prints is no order to the terminal" {
    chatter_toml 0
    installed
    app_start "$TOML"
    assert_equal "$(grep -ac $'\033' "$LOG")" 0
    grep -qF 'three \x1b[2J' "$LOG"
    app_stop
    weak log-escape
    app_start "$TOML"
    escaped() { grep -qa $'\033' "$LOG"; }
    wait_until 5 escaped
}

@test "K08: hostd goes on though nobody reads what it prints" {
    chatter_toml 100000
    mkfifo "$PLACE/out"
    exec 8<>"$PLACE/out" # open, and never read
    unread() {
        "$HOSTD" start "$TOML" --name "$APP" --state-dir "$STATE" >"$PLACE/out" 2>&1 3>&- 8>&- &
        HOSTD_PID=$!
        echo $HOSTD_PID >"$BATS_FILE_TMPDIR/hostd.pid"
        shown() { timeout 5 "$HOSTD" ps --app "$APP" --json | jq -r "$1" 2>/dev/null; }
        is_at() { [ "$(shown '.services[0] | "\(.generation) \(.state)"')" = "$1 ready" ]; }
        wait_until 15 is_at 1 || return 1
        # More than the pipe holds; then the service ends, and has to be started again.
        for round in 1 2 3; do
            kill -KILL "$(shown '.services[0].service_pid')" || return 1
            wait_until 15 is_at $((round + 1)) || return 1
        done
    }
    installed
    unread
    app_stop
    weak outlet
    run unread
    kill -KILL "$(cat "$BATS_FILE_TMPDIR/hostd.pid")"
    wait_until 5 gone "$(cat "$BATS_FILE_TMPDIR/hostd.pid")"
    rm "$BATS_FILE_TMPDIR/hostd.pid"
    exec 8>&-
    assert_failure
    # What it left behind is taken over, and ended, by the next one.
    installed
    app_start "$TOML"
}

@test "F12b and the rest: a process service, whose filter is wider, is refused what matters all the same" {
    cat >"$TOML" <<TOML
[app]
name = "attacks"
[service.keeper]
kind = "process"
exec = "$(readlink -f "$(command -v sleep)")"
args = ["1000"]
data = ["box"]
files = [{ from = "$PLACE/launcher", to = "/launcher" }]
proc = true
[service.witness]
exec = "$TOOLS/witness"
[[link]]
from = "keeper"
to = "witness"
allow = ["Witness.Note", "Witness.Hold"]
TOML
    installed
    app_start "$TOML"
    local id rows='E01 E02 E03 E04 E04b E05 E06 E06b E10 E11 E12 E13 E14 E15 F01 F01b F02 F04 F04b F05 F06 F07 F08 F09 F09b
        F10b F10c F11 F12b I01b I04 I05 I10 I10d I12 K01 K02 N01 N02 N03 N04 N05 N07 N08b N08c N09 N10'
    # shellcheck disable=SC2086 # words
    run "$HOSTD" exec --app "$APP" keeper -- "$ATTACK" $rows "hostd=$HOSTD_PID" "sibling=$(service_pid witness)" \
        "shm=$HOST_PORT" "port=$HOST_PORT" "name=$(basename "$PLACE")" "control=/run/hostd/$APP/control" \
        "own=$(link_field keeper witness out .address)" "dev=$(link_field keeper witness out .interface)" \
        "peer=$(link_field witness keeper in .address)" other=10.0.0.99 back=10.0.0.99 \
        "place=$PLACE" "toml=$TOML" "state=$STATE" "run=/run/hostd/$APP" "flow=$PLACE/flow" "hostname=$(uname -n)"
    assert_success
    for id in $rows; do assert_line --regexp "^$id refused: "; done
    # What is not held, as the table says; a process has flock, too.
    assert_line "F12b refused: $(table | awk -F'\t' '$1 == "F12b" {print $3}')"
    assert_line "F10b refused: $(table | awk -F'\t' '$1 == "F10b" {print $3}' | sed 's/flock: EPERM/flock: yes/')"
    # And it is the wire that it has, not none.
    run "$HOSTD" exec --app "$APP" keeper -- "$ATTACK" honest "peer=$(link_field witness keeper in .address)"
    assert_output "honest SUCCEEDED: answered, as 'keeper'"
}
