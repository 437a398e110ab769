#!/usr/bin/env bats
# sealed.bats - a sealed service cannot make a socket, a ring or a descriptor, nor turn its listener into a connection.
# shellcheck shell=bash

load helpers

setup_file() {
    cat >"$BATS_FILE_TMPDIR/app.toml" <<EOF
[app]
name = "sealed"
[service.probe]
exec = "$BUILD/test-bin/ringprobe"
[service.caller]
exec = "$BUILD/bin/echo"
[[link]]
from  = "caller"
to    = "probe"
allow = ["Echo.Say"]
EOF
    app_start "$BATS_FILE_TMPDIR/app.toml"
    probed() { grep -q 'ringprobe: done' "$LOG"; }
    wait_until 10 probed
    "$TOOLS/ringprobe" unsealed >"$BATS_FILE_TMPDIR/unsealed"
}
teardown_file() { app_stop; }

# result NAME: what the sealed service got; of_unsealed NAME: what the same attempt got without a seal.
result() { sed -nE "s/^probe +\| ringprobe: $1 ([A-Z]+)$/\1/p" "$LOG"; }
of_unsealed() { sed -nE "s/^ringprobe: $1 ([A-Z]+)$/\1/p" "$BATS_FILE_TMPDIR/unsealed"; }

@test "operations that are not listed are refused by the ring" {
    for name in OPENAT SOCKET SENDMSG SPLICE URING_CMD MSG_RING CONNECT SHUTDOWN; do
        assert_equal "$name $(result "$name")" "$name EACCES"
    done
}

@test "an operation on a plain descriptor is refused: only slots" {
    assert_equal "$(result RECV-of-a-descriptor)" EACCES
}

@test "a slot cannot become a descriptor: neither FIXED_FD_INSTALL nor an ordinary accept" {
    assert_regex "$(result FIXED_FD_INSTALL)" '^(EACCES|EINVAL)$' # EINVAL where the kernel has no such operation
    assert_equal "$(result ACCEPT-to-a-descriptor)" EMFILE
}

@test "... both work where nothing is sealed" {
    assert_equal "$(of_unsealed ACCEPT-to-a-descriptor)" OK
    assert_regex "$(of_unsealed FIXED_FD_INSTALL)" '^(OK|EINVAL)$'
}

@test "a listener cannot become a connection: no SHUTDOWN, and no SEND with MSG_FASTOPEN" {
    assert_equal "$(result SHUTDOWN)" EACCES
    assert_regex "$(result SEND-with-FASTOPEN)" '^E[A-Z]+$'
}

@test "... where nothing is sealed it becomes one, and reaches who never called it" {
    assert_equal "$(of_unsealed SHUTDOWN)" OK
    assert_regex "$(of_unsealed SEND-with-FASTOPEN)" "^(OK|EINPROGRESS)$"
    assert_equal "$(of_unsealed the-victim-was-reached)" OK
}

@test "of the registrations only the freeing of a slot is left" {
    for name in register-RESTRICTIONS register-ENABLE_RINGS register-EVENTFD register-PERSONALITY unregister-FILES; do
        assert_equal "$name $(result "$name")" "$name EPERM"
    done
    assert_equal "$(result register-FILES_UPDATE)" OK
}

@test "system calls that would make rings, sockets, files, namespaces or descriptors are refused" {
    for name in io_uring_setup socket socketpair openat unshare-NEWUSER ptrace dup; do
        assert_equal "$name $(result "$name")" "$name EPERM"
    done
}

@test "the service that tried all of this holds no socket" {
    run ls -l "/proc/$(service_pid probe)/fd"
    assert_success
    refute_output --partial 'socket:'
}
