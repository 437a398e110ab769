#!/usr/bin/env bats
# exec.bats - `hostd exec`: a program of the host runs under the whole confinement of a service, and leaves nothing.
# shellcheck shell=bash

load helpers

setup_file() { app_start; }
teardown_file() { app_stop; }

exec_in() { run "$HOSTD" exec --app "$APP" "$@"; }

@test "a static program runs in a service, with its arguments, and its exit code is the command's" {
    exec_in echo -- "$TOOLS/netprobe"
    assert_failure 2
    assert_output --partial 'usage: netprobe'
}

@test "a dynamic program, a script and what is no program are refused by name" {
    exec_in echo -- /bin/ls
    assert_failure 2
    assert_output --partial "/bin/ls needs shared libraries, and the service's root has none"
    printf '#!/bin/sh\n' >"$BATS_TEST_TMPDIR/script"
    chmod 755 "$BATS_TEST_TMPDIR/script"
    exec_in echo -- "$BATS_TEST_TMPDIR/script"
    assert_failure 2
    assert_output --partial 'is a script'
    exec_in echo -- /etc/hostname
    assert_failure 2
    exec_in echo -- "$BATS_TEST_TMPDIR/none"
    assert_failure 2
    assert_output --partial 'No such file'
}

@test "a service that is not there is named, with the near name" {
    exec_in ecko -- "$TOOLS/netprobe"
    assert_failure 1
    assert_output --partial "no service 'ecko' (did you mean 'echo'?)"
}
