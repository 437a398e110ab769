#!/usr/bin/env bats
# refuse.bats - a protection that cannot be had is a refusal to start that names it, never a weaker start.
# shellcheck shell=bash

load helpers

setup() {
    cat >"$BATS_TEST_TMPDIR/app.toml" <<EOF
[app]
name = "refuse"
[service.echo]
exec = "$BUILD/bin/echo"
EOF
    machine_state >"$BATS_TEST_TMPDIR/before"
}
teardown() {
    "$HOSTD" stop --app "$APP" 2>/dev/null || true
    [ ! -e "$BATS_TEST_TMPDIR/remove" ] || rm -r "$(cat "$BATS_TEST_TMPDIR/remove")"
    nothing_left "$BATS_TEST_TMPDIR/before"
}

# without_cgroups COMMAND...: in a mount namespace of its own that shows no control groups.
without_cgroups() { unshare --mount --propagation private sh -c 'umount -l /sys/fs/cgroup && exec "$0" "$@"' "$@"; }
start() { "$@" start "$BATS_TEST_TMPDIR/app.toml" --name "$APP" --state-dir "$BATS_TEST_TMPDIR/state" --detach; }

@test "no memory controller: the service, the stage, what is missing and how to accept it; nothing left" {
    run start without_cgroups "$HOSTD"
    assert_failure 1
    assert_equal "${#lines[@]}" 1
    assert_output --partial "service 'echo', stage cgroup"
    assert_output --partial 'no memory controller'
    assert_output --partial 'accept_missing = ["memory"]'
}

@test "what the list accepts to be missing is started without, and ps shows it" {
    echo 'accept_missing = ["memory", "pids"]' >>"$BATS_TEST_TMPDIR/app.toml"
    run start without_cgroups "$HOSTD"
    assert_success
    assert_equal "$(service echo '.accept_missing | join(" ")')" 'memory pids'
    assert_equal "$(service echo .state)" ready
}

@test "... where nothing is missing the same list has its limits" {
    run start "$HOSTD"
    assert_success
    assert_equal "$(service echo '.accept_missing | length')" 0
    run cat "/proc/$(service_pid echo)/cgroup"
    assert_output --partial "/hostd/$APP/echo"
}

@test "root of a user namespace without other ids: one line that says what is missing" {
    run start unshare --user --map-root-user "$HOSTD"
    assert_failure 1
    assert_equal "${#lines[@]}" 1
    assert_output --partial 'become nobody'
}

# ---- files of the host that would be a way around the links ----

# with_files FROM: q sees FROM; p, which it has no link to, has the data directory p.
with_files() {
    cat >"$BATS_TEST_TMPDIR/app.toml" <<TOML
[app]
name = "$APP"
[service.p]
exec = "$BUILD/bin/echo"
data = ["p"]
[service.q]
exec  = "$BUILD/bin/echo"
files = [{ from = "$1", to = "/seen" }]
TOML
}
# of_state TEXT: the start is refused in one line with these words.
of_state() {
    run start "$HOSTD"
    assert_failure 1
    assert_equal "${#lines[@]}" 1
    assert_output --partial "service 'q', stage mounts: $1 lies in the state directory $BATS_TEST_TMPDIR/state, or holds it"
}

@test "files and programs from the state directory: a start refuses them, by any name, from above and below" {
    local state=$BATS_TEST_TMPDIR/state from
    install -d -m 0700 "$state" "$state/p"
    mkdir "$state/p/below" "$BATS_TEST_TMPDIR/beside"
    ln -s "$state/p" "$BATS_TEST_TMPDIR/alias"
    touch "$state/p/file"
    for from in "$state" "$state/p" "$state/p/below" "$state/p/file" "$BATS_TEST_TMPDIR/alias" "$BATS_TEST_TMPDIR" \
        "$BATS_TEST_TMPDIR/beside/../state"; do
        with_files "$from"
        of_state "$from"
    done
    with_files "$BATS_TEST_TMPDIR/beside"
    cp "$BUILD/bin/echo" "$state/p/program"
    sed -i "/service.q/,\$s|^exec .*|exec = \"$state/p/program\"|" "$BATS_TEST_TMPDIR/app.toml"
    of_state "$state/p/program"
    with_files "$BATS_TEST_TMPDIR/beside"
    run start "$HOSTD"
    assert_success
    # What is put in its place while it runs is seen at the next start of the service.
    rmdir "$BATS_TEST_TMPDIR/beside"
    run "$HOSTD" restart --app "$APP" q
    assert_failure 1
    assert_output --partial "stage mounts: open $BATS_TEST_TMPDIR/beside: No such file or directory (see \`files\` and \`paths\`"
    ln -s "$state/p" "$BATS_TEST_TMPDIR/beside"
    run "$HOSTD" restart --app "$APP" q
    assert_failure 1
    assert_output --partial "lies in the state directory"
}

@test "... and check does where it can know: in the directory that a start would take" {
    local state=/var/lib/hostd/$APP
    install -d -m 0700 "$state" "$state/p"
    with_files "$state/p"
    run "$HOSTD" check "$BATS_TEST_TMPDIR/app.toml"
    rm -r "$state"
    assert_failure 2
    assert_output --partial "service 'q': $state/p lies in the state directory $state, or holds it"
    mkdir "$BATS_TEST_TMPDIR/beside"
    with_files "$BATS_TEST_TMPDIR/beside"
    run "$HOSTD" check "$BATS_TEST_TMPDIR/app.toml"
    assert_success
}

@test "a directory that holds a socket or a FIFO: check and start refuse it with line and caret, and say how to find it" {
    local folder
    folder=$(mktemp -d /var/tmp/hostd-test.XXXXXX) # a process has a /tmp of its own
    echo "$folder" >"$BATS_TEST_TMPDIR/remove"
    mkdir -p "$folder/deep/er"
    touch "$folder/file"
    with_files "$folder"
    "$HOSTD" check "$BATS_TEST_TMPDIR/app.toml"
    mkfifo "$folder/deep/er/fifo"
    run "$HOSTD" check "$BATS_TEST_TMPDIR/app.toml"
    assert_failure 2
    assert_line --regexp ":8:19: '$folder' holds a socket or FIFO, .*find $folder -type s -o -type p"
    assert_line --regexp '^ +\^$'
    rm "$folder/deep/er/fifo"
    python3 -c 'import os, socket, sys; os.chdir(sys.argv[1]); socket.socket(socket.AF_UNIX).bind("s")' "$folder/deep"
    run start "$HOSTD"
    assert_failure 2
    assert_output --partial "holds a socket or FIFO"
    with_files "$folder/deep/s" # by itself
    run start "$HOSTD"
    assert_failure 2
    assert_output --partial "'$folder/deep/s' is neither a file nor a directory"
    # Of a process the same, by files and by paths.
    for key in 'files = [{ from = "'"$folder"'", to = "/seen" }]' 'paths = ["'"$folder"'"]'; do
        printf '[app]\nname = "%s"\n[service.p]\nkind = "process"\nexec = "/bin/true"\n%s\n' "$APP" "$key" >"$BATS_TEST_TMPDIR/app.toml"
        run start "$HOSTD"
        assert_failure 2
        assert_line --regexp ":6:[0-9]+: '$folder' holds a socket or FIFO"
    done
}
