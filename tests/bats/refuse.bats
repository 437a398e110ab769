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
