#!/usr/bin/env bats
# attacks.bats - every row of tests/attacks/README.md is refused, by what the table says.
# shellcheck shell=bash

load helpers
load attacks

setup_file() {
    sha256sum "$BUILD"/bin/* "$ATTACK" >"$BATS_FILE_TMPDIR/binaries"
    place_make
    # Every switch there is: the build that is installed must not care.
    HOSTD_WEAKEN=$(table | awk -F'\t' '$4 ~ /^[a-z0-9_,-]+$/ && $4 != "-" {print $4}' | paste -sd,)
    export HOSTD_WEAKEN
    # shellcheck disable=SC2046 # words
    attacks_toml "$TOOLS/witness" '' "$(toml_list $(rows bare))" "$(toml_list $(rows data))"
    app_start "$PLACE/attacks.toml"
    place_after_start
    RESULTS=$BATS_FILE_TMPDIR/results
    export RESULTS
    # shellcheck disable=SC2046
    { try_as root $(rows root); try_as wire $(rows wire); } >"$RESULTS" 2>&1
    grep -E '^(bare|keeper) +\| ' "$LOG" >>"$RESULTS"
}
setup() { STATE=$PLACE/state; }
teardown_file() {
    sibling_stop
    app_stop
    place_remove
}

# as_pinned FILE AS ...: what every row of the table that is tried so came to.
as_pinned() {
    local file=$1 id as refused wrong=0 count=0
    shift
    while IFS=$'\t' read -r id as refused _; do
        [[ " $* " == *" $as "* ]] || continue
        count=$((count + 1))
        if [ "$(result_in "$file" "$id")" != "refused: $refused" ]; then
            echo "$id ($as): $(result_in "$file" "$id"); the table says: refused: $refused"
            wrong=$((wrong + 1))
        fi
    done < <(table)
    [ $count -gt 0 ] && [ $wrong = 0 ]
}

@test "the table, the program and the tests name the same rows" {
    assert_equal "$(table | awk -F'\t' '$2 != "test" {print $1}' | sort)" \
        "$("$ATTACK" --list | grep -vxE "honest|$(table | awk -F'\t' '$2 == "test" {print $1}' | paste -sd'|')|I02b|I07b|E09b" | sort)"
    [ "$(table | wc -l)" -ge 70 ]
    assert_equal "$(table | cut -f 1 | sort | uniq -d)" ""
    for id in $(rows test); do
        grep -qE "^@test \"${id}[: ]" "$BATS_TEST_DIRNAME"/attacks_more.bats || { echo "no test for $id"; return 1; }
    done
    # Each switch is in the sources, at the defence that it leaves out.
    for name in $(table | awk -F'\t' '$4 ~ /^[a-z0-9_,-]+$/ && $4 != "-" {print $4}' | tr , '\n' | sort -u); do
        grep -rqE "weakened\(\"$name\"\)|\{\"$name\"|[/\"]$name\"" "$ROOT"/{hostd,initsvc,netconf,rootfs,rpc,apps/zoobar/bank} ||
            { echo "no switch $name"; return 1; }
    done
    # And each that the sources have belongs to a row.
    while read -r name; do
        table | cut -f 4 | tr , '\n' | grep -qx "$name" || grep -q "\`$name\`, .* has no row" "$TABLE" ||
            { echo "no row has switch $name"; return 1; }
    done < <(grep -rhoE 'weakened\("[a-z0-9_-]+"\)' "$ROOT"/{hostd,initsvc,netconf,rootfs,rpc,apps} | cut -d '"' -f 2 | sort -u)
}

@test "the build that is installed knows no switch" {
    for program in "$BUILD"/bin/*; do
        run grep -c -a HOSTD_WEAKEN "$program"
        assert_output 0
    done
    [ "$(grep -c -a HOSTD_WEAKEN "$WEAK/bin/hostd")" -gt 0 ]
    # And hands nothing on of its environment, that variable included, which is set here.
    for name in bare keeper witness; do assert_equal "$(wc -c <"/proc/$(service_pid "$name")/environ")" 0; done
}

@test "a sealed service, from inside: every row is refused as pinned" {
    run as_pinned "$RESULTS" bare data
    assert_success
}

@test "root with every capability of the service's user namespace, by hostd exec: every row is refused as pinned" {
    run as_pinned "$RESULTS" root
    assert_success
}

@test "root of the host on the service's wire: every row is refused as pinned" {
    run as_pinned "$RESULTS" wire
    assert_success
}

@test "by hostd exec, under the service's confinement: the same rows are refused the same way" {
    local arguments
    read -ra arguments <<<"shm=$HOST_PORT name=$(basename "$PLACE") hostname=$(uname -n) toml=$PLACE/attacks.toml state=$STATE run=/run/hostd"
    # shellcheck disable=SC2046 # words; a listener's rows are the service's alone
    run "$HOSTD" exec --app "$APP" keeper -- "$ATTACK" $(rows data | grep -vxE 'I03c|K01b|K01d|F09') F09 "${arguments[@]}"
    assert_success
    printf '%s\n' "$output" >"$BATS_TEST_TMPDIR/results"
    # shellcheck disable=SC2046
    run "$HOSTD" exec --app "$APP" --wires bare -- "$ATTACK" $(rows bare | grep -vxE 'I03|N08')
    assert_success
    printf '%s\n' "$output" >>"$BATS_TEST_TMPDIR/results"
    local id wrong=0
    for id in $(rows data | grep -vxE 'I03c|K01b|K01d') $(rows bare | grep -vxE 'I03|N08'); do
        [ "$(result_in "$BATS_TEST_TMPDIR/results" "$id")" = "$(result_in "$RESULTS" "$id")" ] || {
            echo "$id: $(result_in "$BATS_TEST_TMPDIR/results" "$id"), not $(result_in "$RESULTS" "$id")"
            wrong=1
        }
    done
    [ $wrong = 0 ]
}

# line_of FROM TO: the line of the list on which that link begins.
line_of() { grep -n -A2 '^\[\[link' "$PLACE/attacks.toml" | grep -B1 -A1 "from = \"$1\"" | grep -B2 "to = \"$2\"" | sed -n '1s/[:-].*//p'; }
event() { "$HOSTD" events --app "$APP" --json | jq -c "select($1) | [.caller, .callee, .method, .line]"; }

@test "I06: an undeclared method is one event that names method and line" {
    run event '.type == "denied" and .method == "Witness.Hidden" and .caller == "bare" and .count == 1'
    assert_line --index 0 "[\"bare\",\"witness\",\"Witness.Hidden\",$(line_of bare witness)]"
}

@test "I04: packets to another link's address are one event that names link and line" {
    "$HOSTD" ps --app "$APP" >"$BATS_TEST_TMPDIR/ps" # whoever looks makes hostd ask the filters
    told() { "$HOSTD" events --app "$APP" --json | jq -s '[.[] | select(.type == "packets" and .caller == "keeper" and .callee == "witness")]'; }
    before=$(told | jq length)
    [ "$before" -ge 1 ]
    try_as root I04
    "$HOSTD" ps --app "$APP" >"$BATS_TEST_TMPDIR/ps"
    assert_equal "$(told | jq length)" $((before + 1))
    assert_equal "$(told | jq 'last.line')" "$(line_of keeper witness)"
    assert_equal "$(told | jq 'last.count > 0')" true
}

@test "nothing of all that changed a binary, and the others still answer" {
    cmp "$ATTACK" "$PLACE/launcher"
    sha256sum --check --quiet "$BATS_FILE_TMPDIR/binaries"
    # After frames of 16 MiB, writes of one byte and calls that nobody waits for the callee holds nothing of them.
    [ "$(service witness .memory_bytes)" -lt $((4 << 20)) ]
    run try_as root honest
    assert_output "honest SUCCEEDED: answered, as 'keeper'"
    all_ready
    assert_equal "$("$HOSTD" ps --app "$APP" --json | jq -r '[.services[].generation] | unique | join(" ")')" 1
}
