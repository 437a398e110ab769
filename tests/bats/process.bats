#!/usr/bin/env bats
# Programs that were not written for hostd (nginx, Redis, Python) as services: they work on their declared links, by name,
# and can do no more than that.
#
# The first application is the demo, apps/demos/process.toml.  The second has a program that tries what it should not
# be able to do (probe), one that says late that it is ready (late), and one that does not listen to SIGTERM (deaf).
load helpers

# Debian's, whatever else PATH finds first.
PYTHON=$(readlink -f /usr/bin/python3)
MODULES=$("$PYTHON" -c 'import os; print(os.path.dirname(os.__file__))')

# Debian's next release has another version of Python.
demo() { sed -e "s|/usr/lib/python3.11|$MODULES|" -e "s|from = \"process/|from = \"$ROOT/apps/demos/process/|g" "$ROOT/apps/demos/process.toml"; }

# said SERVICE TEXT: how many lines of the log are that.
said() { grep -cxE "$1 +\| $2" "$LOG"; }
has_said() { [ "$(said "$1" "$2")" -ge "${3:-1}" ]; }

setup_file() {
    machine_state >"$BATS_FILE_TMPDIR/before"
    demo >"$BATS_FILE_TMPDIR/app.toml"
    app_start "$BATS_FILE_TMPDIR/app.toml"
}
teardown_file() { app_stop; }

@test "nginx, Redis and a sealed service answer a Python program that calls them by name" {
    has_said job 'web: 200 hello from nginx'
    has_said job 'store: \$1 1'
    has_said job 'echo: type 2 status 0 +hi +job *'
}

@test "a process that calls a sealed service is held to its list of methods, and named to it" {
    has_said job 'echo, a method that the link does not allow: type 3 status 7 job may not call this method'
    assert [ "$(link_field echo job in .denied_calls)" -ge 1 ]
}

@test "ps and plan tell what is a process, and by which profile it is confined" {
    assert_equal "$(service web '[.kind, .profile] | join(" ")')" "process process"
    assert_equal "$(service echo '[.kind, .profile] | join(" ")')" "sealed bare"
    run "$HOSTD" ps --app "$APP"
    assert_equal "$(grep -cx '  kind: process, profile: process' <<<"$output")" 3
    run "$HOSTD" plan "$BATS_FILE_TMPDIR/app.toml"
    assert_line --regexp '^process web +\(/usr/sbin/nginx\)'
    assert_line --regexp '^ +library .*/libpcre2-8\.so\.0$'
    assert_line --regexp '10\.0\.0\.1:80$'
}

@test "the library closure is what ldd says, of all three programs" {
    for program in /usr/sbin/nginx "$(command -v redis-server)" "$PYTHON"; do
        list=$BATS_TEST_TMPDIR/list.toml
        printf '[app]\nname = "a"\n[service.a]\nkind = "process"\nexec = "%s"\n' "$program" >"$list"
        "$HOSTD" plan --json "$list" | jq -r '.services[0] | (.libraries + .loader)[]' | sort -u >"$BATS_TEST_TMPDIR/ours"
        ldd "$program" | sed -nE 's,^.*[[:space:]](/[^ ]+) \(.*,\1,p' | sort -u >"$BATS_TEST_TMPDIR/theirs"
        assert [ "$(wc -l <"$BATS_TEST_TMPDIR/theirs")" -ge 3 ]
        # The loader is a library of libc's too, under its other name.
        run diff <(grep -v ld-linux "$BATS_TEST_TMPDIR/theirs") <(grep -v ld-linux "$BATS_TEST_TMPDIR/ours")
        assert_success
    done
}

@test "undeclared ports and the reverse direction are dropped and counted, the declared one is open" {
    web=$(link_field web job in .address) job=$(link_field job web out .address)
    before=$(link_field web job in .denied)
    run in_service job "$TOOLS/netprobe" 1000 <<<"tcp $web 80
tcp $web 81
tcp $web 7000
udp $web 80"
    assert_output "tcp $web 80 open
tcp $web 81 timeout
tcp $web 7000 timeout
udp $web 80 timeout"
    assert [ "$(link_field web job in .denied)" -gt "$before" ]
    run in_service web "$TOOLS/netprobe" 1000 <<<"tcp $job 80
tcp $job 7000"
    assert_output "tcp $job 80 timeout
tcp $job 7000 timeout"
}

@test "callees that share no link share no wire" {
    run in_service web "$TOOLS/netprobe" 1000 <<<"tcp $(link_field store job in .address) 6379"
    assert_output --partial ENETUNREACH
}

@test "not even root of a process's user namespace, with every capability, changes wires or filters" {
    wire=$(link_field web job in .interface)
    for command in "ip link set $wire down" "ip addr add 10.9.9.9/32 dev $wire" "ip route add 10.9.9.0/24 dev $wire" \
        "nft flush ruleset" "nft delete table netdev hostd" "ip link set lo up"; do
        # shellcheck disable=SC2086 # words
        run in_service web $command
        assert_failure
        assert_output --partial 'Operation not permitted'
    done
}

@test "a process and its PID 1 have no capability, no new privileges, a filter; PID 1 may send it a signal by its real user" {
    for name in web store job; do
        for pid in $(service_pid "$name") $(init_pid "$name"); do
            for set in CapInh CapPrm CapEff CapAmb CapBnd; do
                assert_equal "$name $set $(awk "/^$set:/ {print \$2}" "/proc/$pid/status")" "$name $set 0000000000000000"
            done
            assert_equal "$(awk '/^(NoNewPrivs|Seccomp):/ {print $2}' "/proc/$pid/status" | paste -sd' ')" "1 2"
        done
        base=$(service_uid_base "$name")
        assert_equal "$(awk '/^Uid:/ {print $2, $3, $4, $5}' "/proc/$(service_pid "$name")/status")" \
            "$((base + 1000)) $((base + 1000)) $((base + 1000)) $((base + 1000))"
        assert_equal "$(awk '/^Uid:/ {print $2, $3, $4}' "/proc/$(init_pid "$name")/status")" "$((base + 1000)) $base $base"
    done
}
service_uid_base() { awk '$1 == 0 {print $2}' "/proc/$(init_pid "$1")/uid_map"; }

@test "it starts with three descriptors: an empty input and its log" {
    for fd in 0 1 2; do readlink "/proc/$(service_pid store)/fd/$fd"; done >"$BATS_TEST_TMPDIR/fds"
    assert_regex "$(paste -sd' ' "$BATS_TEST_TMPDIR/fds")" '^/dev/null pipe:\[[0-9]+\] pipe:\[[0-9]+\]$'
    # Whatever else it has is its own doing: no ring, no memfd, nothing of hostd's.
    for name in web store job; do
        run bash -c "for fd in /proc/$(service_pid "$name")/fd/*; do readlink \$fd; done"
        refute_output --partial io_uring
        refute_output --partial memfd
    done
}

@test "its root holds its program, libraries and files, and a few lines in /etc; only /tmp and data are writable" {
    root=/proc/$(service_pid web)/root
    assert_equal "$(find "$root/" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | paste -sd' ')" \
        "dev etc lib lib64 nginx.conf run site tmp usr"
    assert_equal "$(find "$root/usr" -type f -printf '%P\n')" "sbin/nginx"
    assert_equal "$(find "$root/etc" "$root/dev" ! -type d -printf '%f\n' | sort | paste -sd' ')" \
        "full group hosts nsswitch.conf null passwd random urandom zero"
    assert_equal "$(awk '$6 ~ /^rw/ {print $5}' "/proc/$(service_pid web)/mountinfo")" "/tmp"
    assert_equal "$(awk '$6 ~ /^rw/ {print $5}' "/proc/$(service_pid store)/mountinfo" | sort | paste -sd' ')" "/store /tmp"
    # Nothing that can be written to can be executed.
    assert_equal "$(awk '$6 ~ /^rw/ && $6 !~ /noexec/' "/proc/$(service_pid store)/mountinfo")" ""
    assert_equal "$(awk '$6 !~ /nosuid/ || ($6 !~ /nodev/ && $5 !~ "^/dev/")' "/proc/$(service_pid store)/mountinfo")" ""
}

@test "a callee that died comes back on another wire, and its caller reaches it again by the same name" {
    address=$(link_field web job in .address) store=$(link_field store job in .address)
    kill -KILL "$(service_pid web)"
    back() { [ "$(service web '[.state, .generation] | join(" ")')" = "ready 2" ]; }
    wait_until 10 back
    new=$(link_field web job in .address)
    assert [ "$new" != "$address" ]
    wait_until 10 has_said job 'web: 200 hello from nginx' 2
    assert_equal "$(cat "/proc/$(service_pid job)/root/etc/hosts")" "$(printf '%-15s %s\n' 127.0.0.1 localhost "$new" web \
        "$store" store "$(link_field echo job in .address)" echo)"
}

@test "a caller that died comes back and finds every name" {
    kill -KILL "$(service_pid job)"
    back() { [ "$(service job '[.state, .generation] | join(" ")')" = "ready 2" ]; }
    wait_until 10 back # it says READY when all three have answered
    # The count was appended to a file of the store's own: it would still be there after a restart of both.
    assert [ -s "$STATE/store/appendonlydir/appendonly.aof.1.incr.aof" ]
}

@test "hostd dies: processes go on, the next hostd takes them over, and names follow as before" {
    before=$(service_pid web),$(service_pid store),$(service_pid job)
    kill -KILL "$(cat "$BATS_FILE_TMPDIR/hostd.pid")"
    app_start "$BATS_FILE_TMPDIR/app.toml"
    assert_equal "$(service_pid web),$(service_pid store),$(service_pid job)" "$before"
    kill -KILL "$(service_pid web)"
    back() { [ "$(service web '[.state, .generation] | join(" ")')" = "ready 3" ]; }
    wait_until 10 back
    named() { grep -qE "^$(link_field web job in .address) +web$" "/proc/$(service_pid job)/root/etc/hosts"; }
    wait_until 10 named
    wait_until 10 has_said job 'web: 200 hello from nginx'
}

@test "a stop asks with SIGTERM: nginx and Redis end as they want to, and nothing is left" {
    app_stop
    assert [ "$(said web '.*signal 15 \(SIGTERM\) received from 1, exiting')" -ge 1 ]
    assert [ "$(said store '.*Redis is now ready to exit, bye bye.*')" -ge 1 ]
    nothing_left "$BATS_FILE_TMPDIR/before"
}

# ---- the second application ----

# A program that tries things and prints what it got: a word, or the name of the errno.
write_probe() {
    cat >"$BATS_FILE_TMPDIR/probe.py" <<'EOF'
import ctypes, errno, mmap, os, signal, socket, sys, time

ONLY = os.environ.get("ONLY", "").split() # outside: what does no harm there

def attempt(name, what):
    if ONLY and name not in ONLY:
        return
    try:
        got = what()
        print(name, "OK" if got is None or hasattr(got, "close") else got, flush=True)
    except OSError as error:
        print(name, errno.errorcode.get(error.errno, error.errno), flush=True)

libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    if libc.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), "")

def bind(family, address, kind=socket.SOCK_STREAM):
    s = socket.socket(family, kind)
    s.bind(address)
    return s

def connect(address):
    s = socket.socket()
    s.settimeout(1)
    s.connect(address)

def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def write(path):
    with open(path, "w") as file:
        file.write("x")

for name in ("AF_INET", "AF_UNIX", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG"):
    kind = socket.SOCK_SEQPACKET if name == "AF_ALG" else socket.SOCK_RAW if name in ("AF_NETLINK", "AF_PACKET") else socket.SOCK_STREAM
    attempt(name, lambda: socket.socket(getattr(socket, name), kind))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
attempt("ping", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP))
attempt("mptcp", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))
attempt("bind-declared", lambda: bind(socket.AF_INET, ("0.0.0.0", 81)))
attempt("bind-undeclared", lambda: bind(socket.AF_INET, ("0.0.0.0", 82)))
attempt("bind-unix", lambda: bind(socket.AF_UNIX, "/tmp/own"))
attempt("connect-undeclared", lambda: connect(("late", 83)))
attempt("exec", lambda: os.execv(sys.executable, ["python3", "-c", "0"]))
attempt("exec-of-tmp", lambda: (write("/tmp/x"), os.chmod("/tmp/x", 0o755), os.execv("/tmp/x", ["x"])))
attempt("fork", fork)
attempt("unshare", lambda: call(272, 0x10000000))
attempt("mount", lambda: call(165, b"none", b"/tmp", b"tmpfs", 0, None))
attempt("ptrace", lambda: call(101, 0, 0, 0, 0))
attempt("bpf", lambda: call(321, 0, None, 0))
attempt("keyctl", lambda: call(250, 0, 0))
attempt("io_uring_setup", lambda: call(425, 8, None))
attempt("memfd_create", lambda: os.close(os.memfd_create("x")))
attempt("writable-code", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
attempt("write-tmp", lambda: write("/tmp/file"))
attempt("write-root", lambda: write("/file"))
attempt("write-hosts", lambda: write("/etc/hosts"))
attempt("write-run", lambda: write("/run/hostd/file"))
attempt("write-null", lambda: write("/dev/null"))
attempt("read-urandom", lambda: len(open("/dev/urandom", "rb").read(8)))
attempt("read-shadow", lambda: open("/etc/shadow"))
attempt("remount", lambda: call(442, -100, b"/", 0, None, 0))
attempt("kill-1", lambda: os.kill(1, signal.SIGKILL))
attempt("proc", lambda: ",".join(sorted(n for n in os.listdir("/proc") if n not in ("self", "thread-self"))))
attempt("proc-of-1", lambda: os.listdir("/proc/1"))
attempt("write-proc", lambda: write("/proc/self/comm"))
attempt("sys", lambda: os.listdir("/sys"))
attempt("uid", lambda: "%d,%d" % (os.getuid(), os.geteuid()))
attempt("environment", lambda: ",".join(sorted(os.environ)))
attempt("argument", lambda: sys.argv[1])
attempt("pid-1", os.getppid)
print("end", flush=True)
if not ONLY:
    time.sleep(1000)
EOF
    cat >"$BATS_FILE_TMPDIR/late.py" <<'EOF'
import os, socket, time
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b"STATUS=READY=1 is not said yet\nXREADY=1", os.environ["NOTIFY_SOCKET"])
print("waits", flush=True)
while not os.path.exists("/gate/open"):
    time.sleep(0.02)
notify.sendto(b"STATUS=open\nREADY=1\n", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
EOF
    cat >"$BATS_FILE_TMPDIR/deaf.py" <<'EOF'
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: print("hears it, and goes on", flush=True))
os.fork()
while True:
    time.sleep(1000)
EOF
    cat >"$BATS_FILE_TMPDIR/second.toml" <<EOF
[app]
name = "second"
[service.probe]
kind  = "process"
exec  = "$PYTHON"
args  = ["/probe.py", "an argument"]
env   = { ONE = "1", TWO = "2" }
paths = ["$MODULES"]
files = [{ from = "probe.py", to = "/probe.py" }]
proc  = true
[service.late]
kind  = "process"
exec  = "$PYTHON"
args  = ["/late.py"]
paths = ["$MODULES"]
files = [{ from = "late.py", to = "/late.py" }]
data  = ["gate"]
ready = "notify"
[service.deaf]
kind  = "process"
exec  = "$PYTHON"
args  = ["/deaf.py"]
paths = ["$MODULES", "$(dirname "$PYTHON")"] # the program lies below a path that is there as a whole
files = [{ from = "deaf.py", to = "/deaf.py" }]
[[link]]
from = "late"
to   = "probe"
port = 81
EOF
}

# got NAME: what the probe printed for it.
got() { sed -nE "s/^probe +\| $1 (.*)$/\1/p" "$LOG"; }

@test "sd_notify: a program that says READY late is ready late, and nothing else that it says counts" {
    write_probe
    mkdir -p "$STATE"
    "$HOSTD" start "$BATS_FILE_TMPDIR/second.toml" --name "$APP" --state-dir "$STATE" >"$LOG" 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/hostd.pid"
    wait_until 10 has_said late waits
    is_connecting() { [ "$(service late .state) $(service probe .state)" = "connecting ready" ]; }
    wait_until 5 is_connecting
    run grep 'is ready' "$LOG"
    assert_failure
    touch "$STATE/gate/open"
    wait_until 5 all_ready
    wait_until 5 grep -q 'is ready: 3 services' "$LOG"
    wait_until 10 has_said probe end
}

@test "sockets: IPv4 TCP and UDP and unix ones, on the ports of its links, no others" {
    assert_equal "$(got AF_INET) $(got AF_UNIX) $(got bind-declared) $(got bind-unix)" "OK OK OK OK"
    assert_equal "$(got AF_INET6)" EAFNOSUPPORT
    for name in AF_NETLINK AF_PACKET AF_VSOCK AF_ALG raw ping mptcp; do assert_equal "$name $(got "$name")" "$name EPERM"; done
    assert_equal "$(got bind-undeclared)" EACCES
}

@test "it may fork, but start no other program, and has none of the calls that change the machine" {
    assert_equal "$(got fork)" 7
    for name in exec exec-of-tmp unshare mount ptrace bpf keyctl io_uring_setup memfd_create writable-code remount kill-1; do
        assert_equal "$name $(got "$name")" "$name EPERM"
    done
}

@test "... the same program does all of that where nothing confines it" {
    : >"$BATS_TEST_TMPDIR/outside"
    ONLY="AF_INET6 AF_NETLINK AF_PACKET raw bind-undeclared unshare memfd_create writable-code" \
        timeout 5 unshare --net "$PYTHON" "$BATS_FILE_TMPDIR/probe.py" outside >"$BATS_TEST_TMPDIR/outside" 3>&- || true
    for name in AF_INET6 AF_NETLINK AF_PACKET raw bind-undeclared unshare memfd_create writable-code; do
        assert_equal "$(grep "^$name " "$BATS_TEST_TMPDIR/outside")" "$name OK"
    done
}

@test "files: its own, and those of nobody else" {
    assert_equal "$(got write-tmp) $(got write-null) $(got read-urandom)" "OK OK 8"
    for name in write-root write-hosts write-run write-proc; do assert_regex "$name $(got "$name")" "^$name (EACCES|EROFS)$"; done
    assert_equal "$(got read-shadow) $(got sys)" "ENOENT ENOENT"
}

@test "its /proc shows its own processes only; it is user 1000 with the list's arguments and environment" {
    assert_equal "$(got proc)" 2
    assert_equal "$(got proc-of-1)" ENOENT
    assert_equal "$(got uid)" 1000,1000
    assert_equal "$(got argument)" "an argument"
    assert_equal "$(got environment)" ONE,TWO
    assert_equal "$(got pid-1)" 1
}

@test "hostd exec runs a program beside a process, in its root and under its confinement" {
    run "$HOSTD" exec --app "$APP" probe -- "$TOOLS/scprobe" paths /probe.py /tmp/file /etc/hosts /etc/shadow
    assert_success
    assert_line "/probe.py: read yes list ENOTDIR write EACCES"
    assert_line "/tmp/file: read yes list ENOTDIR write yes" # the probe's own
    assert_line "/etc/hosts: read yes list ENOTDIR write EACCES"
    assert_line "/etc/shadow: read ENOENT list ENOENT write ENOENT"
    run "$HOSTD" exec --app "$APP" probe -- "$TOOLS/scprobe" one i386
    assert_failure
}

@test "hostd call of a process says that it has no methods" {
    run "$HOSTD" call --app "$APP" probe Any.Method '{}'
    assert_failure
    assert_output --partial "service 'probe' is a process: it has no methods to call"
}

@test "a program that does not listen to SIGTERM is ended at the deadline, with all that it started" {
    SECONDS=0
    app_stop
    assert [ "$SECONDS" -ge 2 ]
    assert [ "$SECONDS" -le 6 ]
    has_said deaf 'hears it, and goes on'
    nothing_left "$BATS_FILE_TMPDIR/before"
}

# ---- lists that are refused ----

# wrong EXPRESSION PATTERN...: the demo, changed by sed, is exit code 2 with these words, a line and a caret.
wrong() {
    demo | sed -E "$1" >"$BATS_TEST_TMPDIR/wrong.toml"
    run "$HOSTD" check "$BATS_TEST_TMPDIR/wrong.toml"
    assert_failure 2
    shift
    for pattern; do assert_line --regexp "$pattern"; done
    assert_line --regexp '^ +\^$'
}

@test "what a process service cannot have is refused with line, caret and reason" {
    wrong 's/^kind  = "process"/&\ningress = [{ name = "h", listen = "127.0.0.1:80" }]/;t' ":[0-9]+:1: a process service cannot have an 'ingress': "
    wrong '/^\[service.store\]/,/^data/s/^kind.*/&\noperator = ["A.B"]/' ":[0-9]+:1: a process service has no 'operator': "
    wrong '/"job"/{n;n;s/^port = 80/allow = ["A.B"]/}' ":[0-9]+:1: 'allow' is for links to sealed services: "
    wrong 's/^allow.*/port = 7000/' "'port' is for links to process services: 'echo' is sealed"
    wrong 's/^port = 80/port = 0/' "'port' is between 1 and 65535"
    wrong '/^port = 80/d' "this link has no 'port': "
    wrong 's/^from = "job"/from = "echo"/' "'echo' is sealed: it speaks to sealed services only, and 'web' is a process"
    wrong 's/^exec = "echo"/&\nargs = ["x"]/' "'args' is a key of process services: "
    wrong 's/^kind  = "process"/kind = "proces"/' "no kind 'proces'; did you mean 'process'\?"
    wrong "s|/usr/sbin/nginx|/usr/sbin/ngnix|" "there is no program '/usr/sbin/ngnix'"
    wrong "s|/usr/sbin/nginx|$ROOT/apps/demos/process/job.py|" "may not be executed"
    wrong "s|^paths = .*|paths = [\"/etc\"]|" "'/etc' cannot be taken from the host: the root has its own"
}

@test "a program that needs a library that is nowhere is refused, by the name of the library" {
    # The same program, asking for another library: the names have the same length.
    # Not below /tmp: a process has a /tmp of its own.
    folder=$(mktemp -d /var/tmp/hostd-test.XXXXXX)
    sed 's/libpcre2-8\.so\.0/libnowhere.so.0/g' /usr/sbin/nginx >"$folder/nginx"
    chmod 755 "$folder/nginx"
    demo | sed "s|/usr/sbin/nginx|$folder/nginx|" >"$BATS_TEST_TMPDIR/wrong.toml"
    run "$HOSTD" check "$BATS_TEST_TMPDIR/wrong.toml"
    rm -r "$folder"
    assert_failure 2
    assert_line --partial "needs the library 'libnowhere.so.0', which is not to be found"
}

@test "a program that ends at once was never ready: the start is refused, with what it said" {
    demo | sed 's|"-c", "/nginx.conf"|"-c", "/none.conf"|' >"$BATS_TEST_TMPDIR/app.toml"
    run "$HOSTD" start "$BATS_TEST_TMPDIR/app.toml" --name "$APP" --state-dir "$STATE"
    assert_failure 1
    assert_output --partial 'open() "/none.conf" failed'
    assert_output --partial "service 'web', stage ready: exited with code 1 before it was ready"
    nothing_left "$BATS_FILE_TMPDIR/before"
}

@test "plain mode refuses a process service: it would get the host's network" {
    run "$HOSTD" start --plain "$BATS_FILE_TMPDIR/app.toml" --name "$APP" --state-dir "$STATE"
    assert_failure 2
    assert_output --partial "'web' is a process service"
}
