#!/usr/bin/env bats
# exec.bats - `hostd exec`: a program of the host runs under the whole confinement of a service, and leaves nothing.
# shellcheck shell=bash

load helpers

setup_file() { app_start; }
teardown_file() { app_stop; }
# What a test left that failed in its middle must not count in the next one.
teardown() { [ -z "${client:-}" ] || kill -9 "$client" 2>/dev/null || true; }

exec_in() { run "$HOSTD" exec --app "$APP" "$@"; }
# How many processes the control group of a service holds.
processes_of() {
    local group=/sys/fs/cgroup/pids/hostd/$APP/$1
    [ -d "$group" ] || group=/sys/fs/cgroup/hostd/$APP/$1
    wc -l <"$group/cgroup.procs"
}
alone() { [ "$(processes_of "$1")" = 2 ]; }
says() { grep -q "$1" "$2"; }
# Starts a command in the background; its output in $out, the client's pid in $client.
exec_behind() {
    out=$BATS_TEST_TMPDIR/out
    : >"$out" # here: what the one before said must not be taken for its word
    "$HOSTD" exec --app "$APP" "$@" >"$out" 2>&1 3>&- &
    client=$!
}
# The process that the client's command is, as the host sees it: the deepest of its descendants.
command_pid() {
    local pid=$client below
    while below=$(pgrep -n -P "$pid"); do pid=$below; done
    echo "$pid"
}

# ---- the command ----

@test "a static program runs in a service: its arguments, its output, its exit code" {
    run --separate-stderr "$HOSTD" exec --app "$APP" echo -- "$TOOLS/scprobe" one exit
    assert_success
    assert_output 'exit does not end the caller'
    run --separate-stderr "$HOSTD" exec --app "$APP" echo -- "$TOOLS/netprobe"
    assert_failure 2
    assert_output ''
    # shellcheck disable=SC2154 # run sets it
    assert_equal "$stderr" 'usage: netprobe TIMEOUT_MS <probes'
    exec_in echo -- "$TOOLS/scprobe" one exit_group
    assert_failure 77
}

@test "a command that a signal ended: 128 and its number" {
    exec_in echo -- "$TOOLS/scprobe" one i386
    assert_failure 159 # SIGSYS, of the service's filter
}

@test "what it may do is to the row what the service may do, but for the program that it is" {
    for name in echo bank dispatcher; do
        exec_behind "$name" -- "$TOOLS/scprobe" wait
        wait_until 5 says waiting "$out"
        "$ROOT/tests/confinement/observe" "$APP" "$name" | sed '/^other architectures/,/^ids/{/^ids/!d}' |
            grep -v "^  and /" >"$BATS_TEST_TMPDIR/service"
        "$ROOT/tests/confinement/observe" "$APP" "$name" --pid "$(command_pid)" >"$BATS_TEST_TMPDIR/command"
        kill -9 "$client"
        diff -u "$BATS_TEST_TMPDIR/service" "$BATS_TEST_TMPDIR/command"
    done
}

@test "limits that the seal does not set are the service's, not the caller's" {
    out=$BATS_TEST_TMPDIR/out
    bash -c 'ulimit -S -v 9000000 -s 4096; exec "$@"' - \
        "$HOSTD" exec --app "$APP" echo -- "$TOOLS/scprobe" wait >"$out" 2>&1 3>&- &
    client=$!
    wait_until 5 says waiting "$out"
    diff "/proc/$(service_pid echo)/limits" "/proc/$(command_pid)/limits"
}

@test "it has no terminal of the caller's, and what it prints there is escaped; elsewhere it is as it was" {
    run script -qec "'$HOSTD' exec --app '$APP' --tools echo -- sh -c 'tty; tty <&2; printf \"\\033]0;x\\007\\tü\\n\"'" /dev/null
    assert_output --partial 'not a tty'
    refute_output --partial '/dev/pts'
    assert_output --partial '\x1b]0;x\x07'
    assert_output --partial $'\tü'
    run --separate-stderr "$HOSTD" exec --app "$APP" --tools echo -- printf '\033]0;x\007'
    assert_output $'\033]0;x\007'
}

@test "nothing of the service changes while commands run beside it" {
    "$ROOT/tests/confinement/observe" "$APP" bank >"$BATS_TEST_TMPDIR/before"
    before=$(service bank '[.generation, .init_pid, .service_pid, .namespaces] | tostring')
    exec_behind --tools bank -- sleep 1000
    wait_until 5 pgrep -P "$client"
    "$HOSTD" exec --app "$APP" --as-root bank -- "$TOOLS/scprobe" last
    "$HOSTD" exec --app "$APP" --wires bank -- "$TOOLS/rpcprobe" 'auth Auth.None'
    "$ROOT/tests/confinement/observe" "$APP" bank | diff -u "$BATS_TEST_TMPDIR/before" -
    kill -9 "$client"
    assert_equal "$(service bank '[.generation, .init_pid, .service_pid, .namespaces] | tostring')" "$before"
}

# ---- --as-root ----

@test "--as-root: user id 0 with every capability of the user namespace, no filter; the network is the host's all the same" {
    exec_in --tools --as-root bank -- grep -E '^(Uid|CapEff|CapBnd|Seccomp|NoNewPrivs):' /proc/self/status
    assert_success
    all=$(printf '%016x' $(((1 << ($(cat /proc/sys/kernel/cap_last_cap) + 1)) - 1)))
    assert_line --regexp "^Uid:	0	0	0	0$"
    assert_line "CapEff:	$all"
    assert_line "Seccomp:	0"
    exec_in --tools --as-root bank -- ip link set lo up
    assert_failure
    assert_output --partial 'Operation not permitted'
    exec_in --tools --as-root bank -- nft list tables
    assert_failure
}

@test "... and the namespaces are the service's" {
    exec_behind --as-root echo -- "$TOOLS/scprobe" wait
    wait_until 5 says waiting "$out"
    for kind in user mnt net pid ipc uts cgroup; do
        assert_equal "$kind $(readlink "/proc/$(command_pid)/ns/$kind")" "$kind $kind:[$(service echo ".namespaces.$kind")]"
    done
    kill -9 "$client"
}

@test "keys of the caller's session stay outside" {
    cat >"$BATS_TEST_TMPDIR/keys.py" <<'END'
import ctypes, os, platform, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
ADD, CONTROL = (248, 250) if platform.machine() == "x86_64" else (217, 219)
def find(): return libc.syscall(CONTROL, 10, -3, b"user", b"of-the-test", 0) >= 0
if len(sys.argv) > 1:
    libc.syscall(CONTROL, 1, 0)  # a session of our own
    libc.syscall(ADD, b"user", b"of-the-test", b"x", 1, -3)
    print("outside", find(), flush=True)
    subprocess.run(sys.argv[1:] + ["python3", "-c", open(sys.argv[0]).read()])
else:
    print("inside", find())
END
    run python3 "$BATS_TEST_TMPDIR/keys.py" "$HOSTD" exec --app "$APP" --tools --as-root echo --
    assert_output $'outside True\ninside False'
}

# ---- --wires ----

@test "--wires: its calls come in as the service's, over the service's links and with its rights" {
    exec_in --wires dynamic -- "$TOOLS/rpcprobe" 'echo Echo.Say text=hi' 'bank Bank.TransferAsOwner'
    assert_success
    assert_line --partial 'Echo.Say OK'
    assert_line --regexp 'caller=dynamic|from dynamic'
    assert_line --partial 'Bank.TransferAsOwner PERMISSION_DENIED'
}

@test "... without it there are no wires" {
    exec_in dynamic -- "$TOOLS/rpcprobe" 'echo Echo.Say text=hi'
    refute_output --partial OK
    assert_output --partial 'Echo.Say UNAVAILABLE'
}

# ---- --tools ----

@test "--tools: the host's programs, read-only; the service's user, its data, its processes; said loudly" {
    run --separate-stderr "$HOSTD" exec --app "$APP" --tools bank -- sh -c 'id -u; ls /bank | head -n 1; echo a | tr a b; exit 5'
    assert_failure 5
    assert_output $'1000\nbank.db\nb'
    assert_equal "$stderr" 'hostd exec: --tools: a wider filter of system calls than that of bank, and the host'"'"'s /usr'
    exec_in --tools bank -- sh -c 'echo x >/usr/bin/x || echo x >/bin/x || echo x >/x || echo none'
    assert_output --partial none
    run --separate-stderr "$HOSTD" exec --app "$APP" --tools bank -- ps -A -o comm=
    assert_equal "$(sort <<<"$output")" $'bank\ninitsvc\ninitsvc\nps'
}

@test "--tools gives no new powers: no capability, namespace, mount, ring, other family of sockets, TCP" {
    exec_in --tools bank -- python3 -c '
import ctypes, socket, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    if getattr(libc, name)(*args) < 0: print(name, os.strerror(ctypes.get_errno()))
    else: print(name, "WORKS")
call("unshare", 0x10000000)
call("mount", b"x", b"/tmp", b"tmpfs", 0, None)
call("setns", 0, 0)
call("syscall", 425, 1, None)
call("ptrace", 16, 1, 0, 0)
for family in "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK":
    try: socket.socket(getattr(socket, family)); print(family, "WORKS")
    except OSError as e: print(family, e.strerror)
s = socket.socket()
try: s.connect(("127.0.0.1", 7000)); print("connect WORKS")
except OSError as e: print("connect", e.strerror)
print(*[l.strip() for l in open("/proc/self/status") if l.startswith(("CapEff", "CapBnd", "NoNewPrivs"))])'
    assert_success
    refute_output --partial WORKS
    assert_line 'connect Permission denied'
    assert_line --regexp $'CapEff:\t0+ CapBnd:\t0+ NoNewPrivs:\t1'
}

# ---- what is left ----

# In the bank: echo has room for eight processes, and what was just ended may count for a moment longer.

@test "what a command leaves running ends with it" {
    exec_in --tools bank -- sh -c 'setsid sleep 1000 & (setsid sh -c "sleep 1001 & exec sleep 1002" &) ; exit 3'
    assert_failure 3
    assert_equal "$(processes_of bank)" 2
}

@test "hostd exec killed with -9, or by Ctrl-C: nothing is left" {
    for options in '--tools --as-root' '--tools' ''; do
        for signal in KILL INT TERM; do
            command=(sh -c '(setsid sleep 1000 &); setsid sleep 1001 & echo waiting; sleep 1002')
            [ -n "$options" ] || command=("$TOOLS/scprobe" wait)
            # shellcheck disable=SC2086 # words
            exec_behind $options bank -- "${command[@]}"
            wait_until 5 says waiting "$out"
            # A background job of a shell ignores SIGINT: its default is set again by env.
            if [ $signal = INT ]; then
                kill -9 $client
                wait_until 5 alone bank
                : >"$out"
                # shellcheck disable=SC2086
                env --default-signal=INT "$HOSTD" exec --app "$APP" $options bank -- "${command[@]}" >"$out" 2>&1 3>&- &
                client=$!
                wait_until 5 says waiting "$out"
            fi
            kill -s $signal $client
            wait_until 5 alone bank
        done
    done
}

@test "a fork bomb in a command meets the service's limit and is ended" {
    exec_behind --tools --as-root echo -- sh -c 'f() { f | f & }; echo waiting; (f) & exec sleep 1000'
    wait_until 5 says waiting "$out"
    kill -9 $client || true # the shell gives up when it cannot fork: then all has ended before
    wait_until 10 alone echo
    assert_equal "$(service echo .state)" ready
}

@test "the service ends: the command ends with it, says so, and holds nothing up" {
    exec_behind profile -- "$TOOLS/scprobe" wait
    wait_until 5 says waiting "$out"
    kill -STOP $client # nobody reads, nobody waits
    kill -9 "$(service_pid profile)"
    again() { [ "$(service profile .generation)" -gt 1 ] && all_ready; }
    wait_until 10 again
    kill -CONT $client
    code=0
    wait $client || code=$?
    assert_equal "$code" 1
    run cat "$out"
    assert_line "hostd exec: service 'profile' ended, and the command with it"
}

@test "no room is left by the service's limit of processes: it says so, and the service stays" {
    # Eight: PID 1, the service, our initsvc, the shell, and these.
    exec_behind --tools echo -- sh -c 'for i in 1 2 3 4; do sleep 1000 & done; echo waiting; wait'
    wait_until 5 says waiting "$out"
    exec_in echo -- "$TOOLS/scprobe" one exit
    kill -9 $client
    assert_failure 1
    assert_output \
        "hostd exec: service 'echo', stage exec: fork: Resource temporarily unavailable (pids in the list leaves no room for another process)"
    wait_until 5 alone echo
}

# ---- refusals ----

@test "a dynamic program, a script and what is no program are refused by name" {
    exec_in echo -- /bin/ls
    assert_failure 2
    assert_output "hostd exec: /bin/ls needs shared libraries, and the service's root has none (link it with -static, or use --tools, which adds the host's /usr)"
    printf '#!/bin/sh\n' >"$BATS_TEST_TMPDIR/script"
    chmod 755 "$BATS_TEST_TMPDIR/script"
    exec_in echo -- "$BATS_TEST_TMPDIR/script"
    assert_failure 2
    assert_output --partial 'is a script (run its interpreter'
    printf 'x' >"$BATS_TEST_TMPDIR/text"
    chmod 755 "$BATS_TEST_TMPDIR/text"
    exec_in echo -- "$BATS_TEST_TMPDIR/text"
    assert_failure 2
    assert_output --partial 'is not a program of this machine'
    exec_in echo -- "$BATS_TEST_TMPDIR/none"
    assert_failure 2
    assert_output --partial 'No such file'
    exec_in --tools echo -- no-such-program
    assert_failure 2
    assert_output --partial "no program 'no-such-program' in /usr/local/sbin"
    exec_in echo -- sh
    assert_failure 2
    assert_output --partial "open sh: No such file or directory (programs of the host's /usr come with --tools)"
    exec_in --tools echo -- ''
    assert_failure 2
    assert_output --partial 'which CMD?'
    exec_in echo -- "$BATS_TEST_TMPDIR"
    assert_failure 2
    install -m 700 "$TOOLS/scprobe" "$BATS_TEST_TMPDIR/private"
    exec_in echo -- "$BATS_TEST_TMPDIR/private"
    assert_failure 2
    assert_output --partial 'chmod o+rx'
}

@test "a service or an application that is not there is named, with the near name" {
    exec_in ecko -- "$TOOLS/scprobe" calls
    assert_failure 2
    assert_output "hostd exec: application '$APP' has no service 'ecko' (did you mean 'echo'?)"
    run "$HOSTD" exec --app no-such-app echo -- "$TOOLS/scprobe" calls
    assert_failure 1
    assert_output "hostd exec: application 'no-such-app' does not run"
}

@test "wrong usage says how it is used, exit code 2" {
    for words in '' 'echo' 'echo --' '-- true' "echo $TOOLS/scprobe" '--no-such echo -- true'; do
        # shellcheck disable=SC2086 # words
        exec_in $words
        assert_equal "'$words' $status" "'$words' 2"
        assert_output --partial 'usage: hostd exec [--app NAME]'
    done
}

@test "without root it says so" {
    run setpriv --reuid 65534 --clear-groups /proc/self/fd/9 exec --app "$APP" echo -- true 9<"$HOSTD"
    assert_failure 1
    assert_output --partial 'hostd exec: needs root'
}

one_service() {
    cat >"$BATS_TEST_TMPDIR/one.toml" <<END
[app]
name = "one"
[service.echo]
exec = "$BUILD/bin/echo"
END
}

@test "the application is stopped: the command ends with it, and nothing is left" {
    one_service
    machine_state >"$BATS_TEST_TMPDIR/before"
    "$HOSTD" start "$BATS_TEST_TMPDIR/one.toml" --name "$APP-one" --state-dir "$BATS_TEST_TMPDIR/state" --detach >/dev/null
    out=$BATS_TEST_TMPDIR/out
    "$HOSTD" exec --app "$APP-one" --tools --as-root echo -- sh -c '(setsid sleep 1000 &); echo waiting; sleep 1000' >"$out" 2>&1 3>&- &
    client=$!
    wait_until 5 says waiting "$out"
    "$HOSTD" stop --app "$APP-one"
    code=0
    wait $client || code=$?
    assert_equal "$code" 1
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "plain mode has nothing to run under: it says so" {
    one_service
    "$HOSTD" start "$BATS_TEST_TMPDIR/one.toml" --plain --name "$APP-one" --state-dir "$BATS_TEST_TMPDIR/state" --detach >/dev/null
    run "$HOSTD" exec --app "$APP-one" echo -- "$TOOLS/scprobe" calls
    "$HOSTD" stop --app "$APP-one"
    assert_failure 1
    assert_output --partial "service 'echo' runs in the host's user namespace (plain mode?): nothing confines it"
}

@test "hostd is dead: it says so" {
    one_service
    "$HOSTD" start "$BATS_TEST_TMPDIR/one.toml" --name "$APP-one" --state-dir "$BATS_TEST_TMPDIR/state" >/dev/null 2>&1 3>&- &
    local hostd=$!
    one_is_ready() { "$HOSTD" ps --app "$APP-one" 2>/dev/null | grep -q ready; }
    wait_until 10 one_is_ready
    kill -9 $hostd
    wait_until 5 gone $hostd
    run "$HOSTD" exec --app "$APP-one" echo -- "$TOOLS/scprobe" calls
    assert_failure 1
    assert_output --partial 'its hostd has died'
    "$HOSTD" start "$BATS_TEST_TMPDIR/one.toml" --name "$APP-one" --state-dir "$BATS_TEST_TMPDIR/state" --detach >/dev/null
    "$HOSTD" stop --app "$APP-one"
}

@test "a process service, too: a static program under its filter; tools reach whom it may call, by name, and nobody else" {
    cat >"$BATS_TEST_TMPDIR/process.toml" <<END
[app]
name = "process"
[service.sleeper]
kind = "process"
exec = "/usr/bin/sleep"
args = ["1000"]
[service.web]
kind  = "process"
exec  = "/usr/sbin/nginx"
args  = ["-e", "stderr", "-c", "/nginx.conf"]
files = [{ from = "$ROOT/apps/demos/process/nginx.conf", to = "/nginx.conf" }, { from = "$ROOT/apps/demos/process/site", to = "/site" }]
[[link]]
from = "sleeper"
to   = "web"
port = 80
END
    "$HOSTD" start "$BATS_TEST_TMPDIR/process.toml" --name "$APP-process" --state-dir "$BATS_TEST_TMPDIR/state" --detach >/dev/null
    beside() { "$HOSTD" exec --app "$APP-process" "$@" 2>&1 || echo "exit code $?"; }
    local paths shown fetched other wires
    paths=$(beside sleeper -- "$TOOLS/scprobe" paths /usr/bin/sleep /usr/bin/id)
    shown=$(beside --tools sleeper -- ps -A -o comm=)
    fetched=$(beside --tools sleeper -- curl -sS http://web/)
    other=$(beside --tools sleeper -- curl -sS http://web:81/)
    wires=$(beside --wires sleeper -- "$TOOLS/scprobe" last)
    "$HOSTD" stop --app "$APP-process"
    assert_equal "$paths" "/usr/bin/sleep: read yes list ENOTDIR write EACCES
/usr/bin/id: read ENOENT list ENOENT write ENOENT"
    assert_equal "$(tail -n +2 <<<"$shown" | sort)" $'initsvc\ninitsvc\nps\nsleep'
    assert_equal "$(tail -n +2 <<<"$fetched")" "$(cat "$ROOT/apps/demos/process/site/index.html")"
    assert_regex "$other" 'exit code 7$'
    assert_equal "$wires" "hostd exec: service 'sleeper' is a process: it has no ring that --wires could fill (with --tools a command connects by itself, to the names in /etc/hosts)
exit code 2"
}
