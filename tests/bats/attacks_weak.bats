#!/usr/bin/env bats
# attacks_weak.bats - every row of tests/attacks/README.md succeeds in the test build with its own switch, and only there.
# shellcheck shell=bash

load helpers
load attacks

setup_file() {
    place_make
    # hostd with a key in its session, for the row that looks for it.
    printf '#!/bin/sh\nexec "%s" --with-key "%s" "$@"\n' "$ATTACK" "$WEAK/bin/hostd" >"$PLACE/hostd"
    chmod 755 "$PLACE/hostd"
}
teardown_file() { place_remove; }
# In each test anew: helpers.bash is loaded for each.
setup() {
    HOSTD=$PLACE/hostd STATE=$PLACE/state
    export HOSTD STATE
}
teardown() { if [ -s "$BATS_FILE_TMPDIR/hostd.pid" ]; then app_stop; fi; }

# tried_with SWITCHES: all rows of the table that have them, in $BATS_TEST_TMPDIR/results.
tried_with() {
    export HOSTD_WEAKEN=$1
    # shellcheck disable=SC2046 # words
    attacks_toml "$WEAK/test-bin/witness" "$1" "$(toml_list $(rows bare "$1"))" "$(toml_list $(rows data "$1"))"
    app_start "$PLACE/attacks.toml"
    place_after_start
    # shellcheck disable=SC2046
    { try_as root $(rows root "$1"); try_as wire $(rows wire "$1"); } >"$BATS_TEST_TMPDIR/results" 2>&1
    grep -E '^(bare|keeper) +\| ' "$LOG" >>"$BATS_TEST_TMPDIR/results" || true
    app_stop
    rm -rf "$STATE/box/program" "$STATE/box/deep" "$STATE/box/deeper"
    install -m 0777 "$ATTACK" "$PLACE/launcher"
}

# succeed WHAT: every set of switches of the rows whose id begins so.
succeed() {
    local switches id refused succeeds got wrong=0 count=0
    for switches in $(table | awk -F'\t' -v group="^[$1]" '$1 ~ group && $2 != "test" && $4 ~ /^[a-z0-9_,-]+$/ && $4 != "-" {print $4}' |
        sort -u); do
        tried_with "$switches"
        while IFS=$'\t' read -r id _ refused _ succeeds; do
            got=$(result_in "$BATS_TEST_TMPDIR/results" "$id")
            count=$((count + 1))
            if [[ $got != "SUCCEEDED: "*"$succeeds"* ]]; then
                echo "$id without $switches: $got; the table says: SUCCEEDED: $succeeds"
                wrong=$((wrong + 1))
            fi
        done < <(table | awk -F'\t' -v switches="$switches" -v group="^[$1]" '$1 ~ group && $2 != "test" && $4 == switches')
    done
    [ $count -gt 0 ] && [ $wrong = 0 ]
}

@test "identity and calls: each row succeeds with its switch" {
    run succeed I
    assert_success
}

@test "namespaces and processes: each row succeeds with its switch" {
    run succeed E
    assert_success
}

@test "files: each row succeeds with its switch" {
    run succeed F
    assert_success
}

@test "network: each row succeeds with its switch" {
    EXTRA=patient=1 run succeed N
    assert_success
}

@test "kernel: each row succeeds with its switch" {
    run succeed K
    assert_success
}

@test "with no switch the test build refuses every row as the other one does" {
    export HOSTD_WEAKEN=
    # shellcheck disable=SC2046 # words
    attacks_toml "$WEAK/test-bin/witness" '' "$(toml_list $(rows bare))" "$(toml_list $(rows data | grep -v F09$) F09)"
    app_start "$PLACE/attacks.toml"
    place_after_start
    # shellcheck disable=SC2046
    { try_as root $(rows root); try_as wire $(rows wire); } >"$BATS_TEST_TMPDIR/results" 2>&1
    grep -E '^(bare|keeper) +\| ' "$LOG" >>"$BATS_TEST_TMPDIR/results"
    local id as refused wrong=0
    while IFS=$'\t' read -r id as refused _; do
        [ "$as" != test ] || continue
        [ "$(result_in "$BATS_TEST_TMPDIR/results" "$id")" = "refused: $refused" ] || {
            echo "$id: $(result_in "$BATS_TEST_TMPDIR/results" "$id")"
            wrong=1
        }
    done < <(table)
    [ $wrong = 0 ]
}

@test "I02: a callee that trusts pids is fooled" {
    run "$ATTACK" I02b
    assert_failure 10
    assert_output "I02b SUCCEEDED: a callee that trusts pids sees 'bank'"
}
