#!/usr/bin/env bats
# limits.bats - what a service may use, read back from the kernel, and what happens to one that wants more.
#
# A memory limit that is hit is in supervise.bats, the bound of log files in logs.bats, a controller that is missing in
# refuse.bats, version 2 of control groups in unit/cgroup.
load helpers

# Debian's, whatever else PATH finds first.
PYTHON=$(readlink -f /usr/bin/python3)
MODULES=$("$PYTHON" -c 'import os; print(os.path.dirname(os.__file__))')

setup_file() {
    cat >"$BATS_FILE_TMPDIR/bomb.py" <<'BOMB'
# Every process makes others for as long as it is given any, and each of them does the same.
import os
import time
refused = False
while True:
    try:
        if os.fork() > 0:
            continue
    except OSError as error:
        if not refused:
            print("refused:", error.strerror, flush=True)
        refused = True
        time.sleep(0.05)
BOMB
    cat >"$BATS_FILE_TMPDIR/app.toml" <<TOML
[app]
name = "limits"
[service.threads]
exec = "$TOOLS/hog"
data = ["threads"]
pids = 8
[service.threads.config]
end = "threads"
[service.spins]
exec = "$TOOLS/hog"
data = ["spins"]
cpu = 20
[service.spins.config]
end = "spin"
[service.grows]
exec = "$TOOLS/hog"
data = ["grow"]
file_size = "3M"
[service.grows.config]
end = "grow"
[service.forks]
kind = "process"
exec = "$PYTHON"
args = ["-S", "/bomb.py"]
files = [{ from = "$BATS_FILE_TMPDIR/bomb.py", to = "/bomb.py" }]
paths = ["$MODULES"]
pids = 12
[service.small]
exec = "$BUILD/bin/echo"
memory = "12M"
pids = 5
[service.back]
exec = "$BUILD/bin/echo"
[service.asks]
exec = "$TOOLS/asker"
[[link]]
from = "asks"
to = "back"
allow = ["Echo.Say"]
TOML
    machine_state >"$BATS_FILE_TMPDIR/before"
    app_start "$BATS_FILE_TMPDIR/app.toml"
}
# What a test that failed in the middle left.
teardown() { [ -z "${second:-}" ] || "$HOSTD" stop --app "$second" >/dev/null 2>&1 || true; }
teardown_file() {
    app_stop
    nothing_left "$BATS_FILE_TMPDIR/before"
}

# group SERVICE CONTROLLER FILE: of the service's control group, whichever version there is.
group() {
    local tree=/sys/fs/cgroup/$2
    [ -d "$tree" ] || tree=/sys/fs/cgroup
    cat "$tree/hostd/$APP/$1/$3"
}
is_v2() { [ -e /sys/fs/cgroup/cgroup.controllers ]; }
answers() { grep -c 'asker: answered' "$LOG"; }
others_answer() {
    local before
    before=$(answers)
    more() { [ "$(answers)" -gt "$before" ]; }
    wait_until 5 more
}

@test "threads: a service gets no more than its list says, lives, and others go on answering" {
    said() { grep -q 'hog: [0-9]* threads, then' "$LOG"; }
    wait_until 10 said
    # Eight tasks are all of it: PID 1, its first thread, and what it took.
    [ "$(group threads pids pids.max)" = 8 ]
    [ "$(group threads pids pids.current)" -le 8 ]
    count=$(find "/proc/$(service_pid threads)/task" -mindepth 1 -maxdepth 1 | wc -l)
    [ "$count" -le 7 ] && [ "$count" -ge 5 ]
    [ "$(group threads pids pids.events | awk '{print $2}')" -ge 1 ] # the kernel has refused one
    assert_equal "$(service threads .state) $(service threads .generation)" "ready 1"
    others_answer
}

@test "processes: a fork bomb fills its own group and nothing else" {
    full() { [ "$(group forks pids pids.current)" = 12 ]; }
    wait_until 10 full
    said() { grep -q '^forks *| refused: Resource temporarily unavailable' "$LOG"; }
    wait_until 10 said
    for _ in {1..20}; do [ "$(group forks pids pids.current)" -le 12 ]; done
    assert_equal "$(service forks .state) $(service forks .generation)" "ready 1"
    others_answer
}

@test "cpu: the quota is the list's, the one that never waits is held back, others go on answering" {
    if is_v2; then
        assert_equal "$(group spins cpu cpu.max)" '20000 100000'
    else
        assert_equal "$(group spins cpu cpu.cfs_quota_us) $(group spins cpu cpu.cfs_period_us)" '20000 100000'
    fi
    held_back() { group spins cpu cpu.stat | awk '$1 == "nr_throttled" {print $2}'; }
    before=$(held_back)
    more_often() { [ "$(held_back)" -gt $((before + 3)) ]; }
    wait_until 10 more_often
    # Of one CPU it had no more than a fifth since it began, and some for the time before it was placed.
    begin=$(date +%s%N) used=$(cpu_ticks)
    wait_ticks() { [ $(($(cpu_ticks) - used)) -ge 20 ]; }
    wait_until 10 wait_ticks
    spent_ms=$((($(date +%s%N) - begin) / 1000000))
    [ "$spent_ms" -ge 700 ] || { echo "200 ms of cpu in $spent_ms ms"; return 1; }
    assert_equal "$(service spins .state) $(service spins .generation)" "ready 1"
    others_answer
}
cpu_ticks() { awk '{print $14 + $15}' "/proc/$(service_pid spins)/stat"; }

@test "memory: the list's, swap and the kernel's share included" {
    if is_v2; then
        assert_equal "$(group small memory memory.max)" 12582912
        [ ! -e "/sys/fs/cgroup/hostd/$APP/small/memory.swap.max" ] || assert_equal "$(group small memory memory.swap.max)" 0
        return
    fi
    assert_equal "$(group small memory memory.limit_in_bytes)" 12582912
    # Where the kernel counts swap, memory and swap together may be no more.
    if [ -e /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes ]; then
        assert_equal "$(group small memory memory.memsw.limit_in_bytes)" 12582912
    fi
    # What the kernel holds for it is in the same sum.
    kernel=$(group small memory memory.kmem.usage_in_bytes)
    [ "$kernel" -gt 0 ] && [ "$(group small memory memory.usage_in_bytes)" -ge "$kernel" ]
}

limit() { awk -v name="$2" 'index($0, name) == 1 {sub(name, ""); print $1 ":" $2}' "/proc/$(service_pid "$1")/limits"; }

@test "file size: no file grows over what the list says, by writing or by a size alone, and the service hears of it and lives" {
    grown() { grep -q 'hog: file of' "$LOG"; }
    wait_until 10 grown
    run grep 'hog: file of' "$LOG"
    assert_output --regexp '^grows +\| hog: file of 3145728 bytes, then File too large; 1 TiB: File too large$'
    assert_equal "$(service grows '"\(.state) \(.generation)"')" 'ready 1'
    assert_equal "$(stat -c %s "$STATE/grow/file")" 3145728
    assert_equal "$(limit grows 'Max file size')" 3145728:3145728
    assert_equal "$(limit threads 'Max file size')" 1073741824:1073741824 # what is not said
    assert_equal "$(limit forks 'Max file size')" 1073741824:1073741824
    assert_equal "$(limit small 'Max file size')" 0:0 # it has none that it could write
}

@test "resource limits, soft and hard: no core, no locked memory, no queues, as many tasks and files as the list and the contract say" {
    for name in threads spins small back asks; do
        assert_equal "$name $(limit $name 'Max core file size')" "$name 0:0"
        assert_equal "$name $(limit $name 'Max locked memory')" "$name 0:0"
        assert_equal "$name $(limit $name 'Max msgqueue size')" "$name 0:0"
        hard=$(limit $name 'Max open files')
        assert_equal "$name ${hard%:*}" "$name ${hard#*:}"
        [ "${hard%:*}" -le 64 ]
    done
    assert_equal "$(limit small 'Max processes')" 5:5
    assert_equal "$(limit threads 'Max processes')" 8:8
    assert_equal "$(limit small 'Max open files')" 6:6
}

@test "a limit that the kernel does not take is a refusal that names service and file, whatever is accepted to be missing" {
    printf '[app]\nname = "x"\n[service.one]\nexec = "%s/bin/echo"\nmemory = "12M"\npids = 4\ncpu = 10\naccept_missing = ["memory", "pids", "cpu"]\n' "$BUILD" >"$BATS_TEST_TMPDIR/one.toml"
    files=(memory.limit_in_bytes pids.max cpu.cfs_quota_us "memory/hostd/$APP-one/one/tasks")
    if is_v2; then files=(memory.max pids.max cpu.max cgroup.subtree_control); fi
    for file in "${files[@]}"; do
        run "$TOOLS/inject" --role start.2 --call openat --text "$file" --error EACCES -- \
            "$HOSTD" start "$BATS_TEST_TMPDIR/one.toml" --detach --name "$APP-one" --state-dir "$BATS_TEST_TMPDIR/state" 3>&-
        assert_failure 1
        assert_equal "${#lines[@]}" 1
        assert_output --partial "service 'one', stage cgroup: "
        assert_output --partial "$file: Permission denied ("
        [ ! -e "/run/hostd/$APP-one" ]
    done
}

@test "a service that writes notes without end keeps its PID 1 neither from its other work nor from ending it" {
    cat >"$BATS_TEST_TMPDIR/notes.toml" <<TOML
[app]
name = "notes"
[service.notes]
exec = "$TOOLS/hog"
watchdog = "off"
stop_timeout = "200ms"
[service.notes.config]
end = "notes"
TOML
    second=$APP-notes
    export APP=$second
    "$HOSTD" start "$BATS_TEST_TMPDIR/notes.toml" --name "$APP" --state-dir "$BATS_TEST_TMPDIR/state" --detach 3>&-
    : >"$BATS_TEST_TMPDIR/calls"
    # Watched call by call it is slower than the service: the pipe is always full.
    strace -qq -e trace=poll,ppoll,read -o "$BATS_TEST_TMPDIR/calls" -p "$(init_pid notes)" 3>&- &
    turns() { [ "$(grep -cE '^p?poll\(' "$BATS_TEST_TMPDIR/calls")" -ge 4 ]; }
    wait_until 10 turns
    reads_in_a_turn=$(awk '/^p?poll\(/ {n = 0} /^read\(/ && ++n > most {most = n} END {print most + 0}' "$BATS_TEST_TMPDIR/calls")
    [ "$reads_in_a_turn" -ge 64 ] && [ "$reads_in_a_turn" -le 80 ]
    run "$HOSTD" stop --app "$APP" notes
    assert_success
    assert_equal "$(service notes .last_end)" 'was killed by signal 9 (Killed): it did not stop in time'
}
