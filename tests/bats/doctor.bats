#!/usr/bin/env bats
# doctor.bats - hostd doctor: what a start needs of a machine is tried, and what is missing is named with what to do.
# Each row is seen to fail for real, on a machine that lacks just that.
# shellcheck shell=bash

load helpers

ROWS=(root kernel programs 'host ids' namespaces 'wires and filters' 'sealed rings' Landlock seccomp 'control groups'
    'run directory' 'data directories')
EPERM=1 ENOSYS=38 EOPNOTSUPP=95

# A system call's number here, by the kernel's own headers.
number() { printf '#include <sys/syscall.h>\nSYS_%s\n' "$1" | cc -E -P - | tail -n 1; }
# changed COMMANDS: doctor in a mount namespace of its own after COMMANDS.
changed() { unshare --mount --propagation private sh -ec "$1"' && exec "$0" doctor' "$HOSTD"; }

# missing ROW: that row and no other fails, and says what to do.
missing() {
    assert_failure 1
    assert_equal "$(grep -c '^MISSING' <<<"$output")" 1
    assert_line --regexp "^MISSING  $1 .+"
    ! grep -qE '^MISSING .*\(.*(enable it|put it on|run as root)' <<<"$output" # advice stands in one place
    remedy=$(grep -A 1 '^MISSING' <<<"$output" | tail -n 1)
    [[ $remedy =~ ^\ +to\ do:\ +.{10,} ]] || { echo "$output"; return 1; }
}

@test "a machine that has everything: each row says what was found, exit code 0, nothing left" {
    machine_state >"$BATS_TEST_TMPDIR/before"
    run "$HOSTD" doctor
    assert_success
    for row in "${ROWS[@]}"; do assert_line --regexp "^ok +$row +.+"; done
    assert_equal "${#lines[@]}" "${#ROWS[@]}"
    nothing_left "$BATS_TEST_TMPDIR/before"
    [ -z "$(find /sys/fs/cgroup /run /var/lib -maxdepth 3 -name '*doctor*' 2>/dev/null)" ]
    run "$HOSTD" doctor more
    assert_failure 2
}

@test "another user than root: said, and what needs root is not guessed" {
    local public
    public=$(mktemp -d /tmp/hostd-doctor.XXXXXX)
    chmod 755 "$public"
    cp -r "$BUILD/bin" "$public/"
    run setpriv --reuid=65534 --regid=65534 --clear-groups "$public/bin/hostd" doctor
    rm -rf "$public"
    missing root
    assert_line --regexp '^\? +wires and filters +not tried without root'
}

@test "an old kernel" {
    run setarch --uname-2.6 "$HOSTD" doctor
    missing kernel
    assert_output --partial '6.1 or newer'
}

@test "a hostd without its PID 1" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    cp "$HOSTD" "$BATS_TEST_TMPDIR/bin/"
    run "$BATS_TEST_TMPDIR/bin/hostd" doctor
    missing programs
    assert_output --partial "$BATS_TEST_TMPDIR/bin/initsvc"
}

@test "no right to new user namespaces" {
    run unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" doctor' "$HOSTD"
    assert_failure 1
    assert_output --regexp 'MISSING +namespaces '
    assert_output --partial 'sysctl -w user.max_user_namespaces='
}

@test "root of a user namespace that has one id, and no right over the network" {
    run unshare --user --map-root-user "$HOSTD" doctor
    assert_failure 1
    assert_output --regexp "MISSING +host ids +become user [0-9]+: "
    assert_output --partial 'one that maps all ids'
    assert_output --regexp 'MISSING +wires and filters '
    assert_equal "$(grep -c '^MISSING' <<<"$output")" "$(grep -c 'to do:' <<<"$output")"
}

@test "a chroot" {
    mkdir "$BATS_TEST_TMPDIR/root"
    run unshare --mount --propagation private sh -ec 'mount --rbind / "$1" && exec chroot "$1" "$0" doctor' \
        "$HOSTD" "$BATS_TEST_TMPDIR/root"
    assert_failure 1
    assert_output --regexp 'MISSING +namespaces '
    assert_output --partial 'do not run hostd in a chroot'
}

@test "no capability over the network" {
    run setpriv --bounding-set=-net_admin "$HOSTD" doctor
    missing 'wires and filters'
    assert_output --partial CAP_NET_ADMIN
}

@test "io_uring switched off by the kernel's switch, and by a container's profile" {
    for value in 1 2; do
        echo "$value" >"$BATS_TEST_TMPDIR/switch"
        run changed "mount --bind '$BATS_TEST_TMPDIR/switch' /proc/sys/kernel/io_uring_disabled"
        missing 'sealed rings'
        assert_output --partial "kernel.io_uring_disabled is $value"
        assert_output --partial 'sysctl -w kernel.io_uring_disabled=0'
    done
    for code in $EPERM $ENOSYS; do
        run "$TOOLS/without" "$code" "$(number io_uring_setup)" "$HOSTD" doctor
        missing 'sealed rings'
        assert_output --partial 'seccomp profile'
    done
    run "$TOOLS/without" 22 "$(number io_uring_register)" "$HOSTD" doctor
    missing 'sealed rings'
}

@test "no Landlock" {
    for code in $ENOSYS $EOPNOTSUPP; do
        run "$TOOLS/without" "$code" "$(number landlock_create_ruleset)" "$HOSTD" doctor
        missing Landlock
        assert_output --partial 'lsm=landlock'
        assert_output --partial 'accept_missing = ["landlock"]'
    done
}

@test "no seccomp" {
    run "$TOOLS/without" $EPERM "$(number seccomp)" "$HOSTD" doctor
    missing seccomp
}

@test "control groups hidden, one controller hidden, one not writable" {
    run changed 'umount -l /sys/fs/cgroup'
    missing 'control groups'
    assert_output --partial 'no memory controller'
    assert_output --partial 'accept_missing'
    # Version 1: the tree of one controller; version 2 has one tree for all.
    tree=$(awk '$3 == "cgroup" && $4 ~ /(^|,)pids(,|$)/ {print $2}' /proc/self/mounts | tail -n 1)
    if [ -n "$tree" ]; then
        run changed "umount -l '$tree'"
        missing 'control groups'
        assert_output --partial 'no pids controller'
    else
        tree=$(awk '$3 == "cgroup2" {print $2}' /proc/self/mounts | tail -n 1)
    fi
    run changed "mount -o remount,bind,ro '$tree'"
    missing 'control groups'
    assert_output --partial 'Read-only file system'
    assert_output --partial 'must be writable'
}

@test "a run directory and a state directory that cannot be written, or not be idmapped" {
    run changed 'mount --bind /run /run && mount -o remount,bind,ro /run'
    missing 'run directory'
    run changed 'mount -t tmpfs -o ro tmpfs /var/lib'
    missing 'data directories'
    assert_output --partial 'make a directory below /var/lib'
    run changed 'mount -t ramfs ramfs /var/lib'
    missing 'data directories'
    assert_output --partial 'cannot be idmapped'
    assert_output --partial 'ext4'
}
