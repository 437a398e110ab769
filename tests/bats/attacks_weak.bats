#!/usr/bin/env bats
# attacks_weak.bats - every row of tests/attacks/README.md succeeds in the test build with its own switches, and is
# refused there with one of them fewer: each is a defence, and none is there for nothing.
# shellcheck shell=bash

load helpers
load attacks

setup_file() {
    RESULTS=$BATS_FILE_TMPDIR/results
    export RESULTS
    mkdir "$RESULTS"
    wanted >"$RESULTS/wanted"
    awk -F'\t' '{ids[$1] = ids[$1] " " $2} END {for (s in ids) print s "\t" ids[s]}' "$RESULTS/wanted" | sort >"$RESULTS/runs"
    printf 'none\t%s\n' "$(table | awk -F'\t' '$2 != "test" {print $1}' | tr '\n' ' ')" >>"$RESULTS/runs"
    # Two at a time: most of it is waiting for answers that do not come.
    local streams=() status=0
    for number in 0 1; do
        stream $number 3>&- &
        streams+=($!)
    done
    for pid in "${streams[@]}"; do wait "$pid" || status=1; done
    return $status
}
teardown_file() {
    local number files=$BATS_FILE_TMPDIR
    for number in 0 1; do BATS_FILE_TMPDIR=$files/$number app_stop; done
}

# stream NUMBER: every second set of switches, one start for each, in an application and a place of its own.
stream() {
    local number=$1 switches ids
    APP=$APP-$number BATS_FILE_TMPDIR=$BATS_FILE_TMPDIR/$number LOG=$BATS_FILE_TMPDIR/$number.log
    mkdir "$BATS_FILE_TMPDIR"
    place_make
    # hostd with a key in its session, for the row that looks for it.
    printf '#!/bin/sh\nexec "%s" --with-key "%s" "$@"\n' "$ATTACK" "$WEAK/bin/hostd" >"$PLACE/hostd"
    chmod 755 "$PLACE/hostd"
    export HOSTD=$PLACE/hostd
    while IFS=$'\t' read -r -u 7 switches ids; do
        # shellcheck disable=SC2086 # words
        tried_with "$switches" $ids >"$RESULTS/$switches" || {
            echo "with switches $switches:" >&2
            cat "$LOG" >&2
            place_remove
            return 1
        }
    done 7< <(awk -v number="$number" 'NR % 2 == number' "$RESULTS/runs")
    place_remove
}

# Which rows are tried with which switches, SWITCHES<TAB>ID<TAB>succeeds or refused: each with its own; and of several,
# with all but one, for each one.
wanted() {
    local id as switches one fewer
    while IFS=$'\t' read -r id as _ switches _; do
        [[ $as != test && $switches =~ ^[a-z0-9_,-]+$ && $switches != - ]] || continue
        printf '%s\t%s\tsucceeds\n' "$switches" "$id"
        for one in ${switches//,/ }; do
            fewer=,$switches,
            fewer=${fewer/,$one,/,} fewer=${fewer#,} fewer=${fewer%,}
            [ -z "$fewer" ] || printf '%s\t%s\trefused\n' "$fewer" "$id"
        done
    done < <(table)
}

# of_these AS ID ...: those of the rows that are tried so.
of_these() {
    local as=$1
    shift
    rows "$as" | grep -xF "$(printf '%s\n' "$@")"
}

# tried_with SWITCHES ID ...: these rows, without those defences.
tried_with() {
    export HOSTD_WEAKEN=$1
    shift
    umount "$PLACE/flow/sub" 2>/dev/null || true
    # shellcheck disable=SC2046 # words
    attacks_toml "$WEAK/test-bin/witness" "$HOSTD_WEAKEN" "$(toml_list $(of_these bare "$@"))" "$(toml_list $(of_these data "$@"))"
    app_start "$PLACE/attacks.toml" || return 1
    place_after_start
    # shellcheck disable=SC2046
    { EXTRA=patient=1 try_as root $(of_these root "$@"); try_as wire $(of_these wire "$@"); } 2>&1
    grep -E '^(bare|keeper) +\| ' "$LOG" || true
    sibling_stop
    app_stop
    rm -rf "$STATE/box/program" "$STATE/box/deep" "$STATE/box/deeper"
    install -m 0777 "$ATTACK" "$PLACE/launcher"
}

# succeed GROUP: the rows whose id begins so.
succeed() {
    local switches id what got expected wrong=0 count=0
    while IFS=$'\t' read -r switches id what; do
        [[ $id == "$1"* && $what = succeeds ]] || continue
        count=$((count + 1))
        got=$(result_in "$RESULTS/$switches" "$id")
        expected=$(table | awk -F'\t' -v id="$id" '$1 == id {print $5}')
        [[ $got == "SUCCEEDED: "*"$expected"* ]] || {
            echo "$id without $switches: $got; the table says: SUCCEEDED: $expected"
            wrong=1
        }
    done <"$RESULTS/wanted"
    [ $count -gt 0 ] && [ $wrong = 0 ]
}

@test "identity and calls: each row succeeds with its switches" {
    run succeed I
    assert_success
}

@test "namespaces and processes: each row succeeds with its switches" {
    run succeed E
    assert_success
}

@test "files: each row succeeds with its switches" {
    run succeed F
    assert_success
}

@test "network: each row succeeds with its switches" {
    run succeed N
    assert_success
}

@test "kernel: each row succeeds with its switches" {
    run succeed K
    assert_success
}

@test "with one switch fewer each row is refused: none of its defences is there for nothing" {
    local switches id what wrong=0
    while IFS=$'\t' read -r switches id what; do
        [ "$what" = refused ] || continue
        [[ $(result_in "$RESULTS/$switches" "$id") == "refused: "* ]] || {
            echo "$id without $switches: $(result_in "$RESULTS/$switches" "$id")"
            wrong=1
        }
    done <"$RESULTS/wanted"
    [ $wrong = 0 ]
}

@test "with no switch the test build refuses every row as the other one does" {
    local id as refused wrong=0
    while IFS=$'\t' read -r id as refused _; do
        [ "$as" != test ] || continue
        [ "$(result_in "$RESULTS/none" "$id")" = "refused: $refused" ] || {
            echo "$id: $(result_in "$RESULTS/none" "$id")"
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

@test "I10f: the generator refuses a message type that contains itself" {
    run "$WEAK/nested/rpcgen" "$BATS_TEST_TMPDIR/witness.rpc"
    assert_failure
    assert_output --partial 'method Nest: message WitnessNest contains itself'
    [ ! -e "$BATS_TEST_TMPDIR/witness.rpc.h" ]
}
