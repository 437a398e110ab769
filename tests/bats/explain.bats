#!/usr/bin/env bats
# explain.bats - hostd explain: may FROM call TO, by which line of the list; from a file and from what runs.
# shellcheck shell=bash

load helpers

setup_file() {
    cp "$ZOOBAR" "$BATS_FILE_TMPDIR/list.toml"
    zoobar_toml "$BATS_FILE_TMPDIR/list.toml"
    app_start "$BATS_FILE_TMPDIR/list.toml"
    # Edited after the start: what runs is what was started.
    sed -i '/^to    = "echo"/,/^allow/s/^allow.*/allow = []/' "$BATS_FILE_TMPDIR/list.toml"
}
teardown_file() { app_stop; }

# line FROM TO: where the list has that link.
line() { awk -v from="\"$1\"" -v to="\"$2\"" '/^\[\[link\]\]/{n=NR} /^from/{f=$3} /^to/{if (f==from && $3==to) print n}' "$ZOOBAR"; }

@test "what runs is explained, as it was started, with the line of its list" {
    run "$HOSTD" explain --app "$APP" dynamic echo.Echo.Say
    assert_success
    assert_line --index 0 "allowed: 'dynamic' may call Echo.Say of 'echo'"
    assert_line --partial "the link at $BATS_FILE_TMPDIR/list.toml:$(line dynamic echo)"
    run "$HOSTD" explain "$BATS_FILE_TMPDIR/list.toml" dynamic echo.Echo.Say
    assert_failure 1
    assert_line --partial "Echo.Say is not on its list, which has nothing"
}

@test "every pair of services: allowed where the list has a link, denied where it has none" {
    for from in "${SERVICES[@]}"; do
        for to in "${SERVICES[@]}"; do
            expected=1
            [[ " ${LINKS[*]} " == *" $from:$to "* ]] && expected=0
            run -"$expected" "$HOSTD" explain "$ZOOBAR" "$from" "$to"
        done
    done
}

@test "a method that is on no list, and who may call it" {
    run "$HOSTD" explain "$ZOOBAR" dynamic bank.Bank.TransferAsOwner
    assert_failure 1
    assert_line --index 0 "denied: 'dynamic' may not call Bank.TransferAsOwner of 'bank'"
    assert_line --partial "wire: the link at $ZOOBAR:$(line dynamic bank)"
    assert_line "  'profile' may ($ZOOBAR:$(line profile bank))"
    run "$HOSTD" explain "$ZOOBAR" --json dynamic bank.Bank.TransferAsOwner
    assert_failure 1
    assert_equal "$(jq -c '[.allowed, .layer, .line]' <<<"$output")" "[false,\"method\",$(line dynamic bank)]"
}

@test "the operator and the ingress are callers too" {
    run -0 "$HOSTD" explain "$ZOOBAR" operator bank.Bank.Balance
    run -1 "$HOSTD" explain "$ZOOBAR" operator bank.Bank.Transfer
    run -0 "$HOSTD" explain "$ZOOBAR" http dispatcher
    run -1 "$HOSTD" explain "$ZOOBAR" http bank
    assert_line --partial "'http' is of service 'dispatcher'"
}

@test "names that are none: exit 2 and the near one" {
    run -2 "$HOSTD" explain "$ZOOBAR" dynmic bank
    assert_output --partial "did you mean 'dynamic'?"
    run -2 "$HOSTD" explain "$ZOOBAR" dynamic bank.Bank.Balanse
    assert_output --partial "did you mean 'Bank.Balance'?"
    run -2 "$HOSTD" explain "$ZOOBAR"
    assert_output --partial "usage: hostd explain"
    run -2 "$HOSTD" explain /nowhere/list.toml dynamic bank
    assert_output --partial "the first of three words is FILE, and there is no file '/nowhere/list.toml'"
    run -1 "$HOSTD" explain --app "$APP-2" dynamic bank
    assert_output --partial "does not run"
}

@test "a service and itself; a process, which has no methods; a first word that is no file" {
    run -1 "$HOSTD" explain "$ZOOBAR" bank bank
    assert_line --index 0 "denied: 'bank' may not call 'bank'"
    assert_line --index 1 "  wire: that is one service, and no link leads from a service to itself"
    cat >"$BATS_TEST_TMPDIR/process.toml" <<TOML
[app]
name = "process"
[service.job]
exec = "/bin/true"
kind = "process"
[service.store]
exec = "/bin/true"
kind = "process"
[[link]]
from = "job"
to = "store"
port = 6379
TOML
    run -0 "$HOSTD" explain "$BATS_TEST_TMPDIR/process.toml" job store
    run -2 "$HOSTD" explain "$BATS_TEST_TMPDIR/process.toml" job store.Store.Get
    assert_output --partial "service 'store' is a process: it has no methods (ask for 'store' alone)"
    run -1 "$HOSTD" explain "$BATS_TEST_TMPDIR/process.toml" operator store
    assert_line --index 1 "  operator: 'store' is a process: it has no methods that anybody could call"
    run -2 "$HOSTD" explain dynamic bank bank
    assert_output "hostd explain: the first of three words is FILE, and there is no file 'dynamic'"
}
