#!/usr/bin/env bats
# The benchmarks run: a quick round gives results of the documented shape.  Their figures are nobody's promise here.
load helpers

@test "make bench QUICK=1 ONLY=rpc.depth1: both modes, the floor, and ratios, as documented; nothing left" {
    machine_state >"$BATS_TEST_TMPDIR/before"
    run "$ROOT/benchmarks/run" --build "$BUILD" --quick --out "$BATS_TEST_TMPDIR/out.json" rpc.depth1
    assert_success
    assert_output --regexp 'rpc.depth1.same_cpu +p50_us +ratio isolated/plain'
    results=$BATS_TEST_TMPDIR/out.json
    jq -e '.[0] | .name == "about" and (.commit, .machine, .kernel, .command | length > 0)' "$results"
    for row in rpc.depth1.same_cpu rpc.depth1.two_cpus; do
        for mode in isolated plain raw_loopback raw_unix; do
            for metric in calls_per_s p50_us cpu_us_per_call; do
                jq -e --arg row $row --arg mode $mode --arg metric $metric '
                    [.[] | select(.name == $row and .mode == $mode and .metric == $metric)] |
                    length == 1 and (.[0] | .n == 2 and 0 < .min and .min <= .median and .median <= .max)' "$results"
            done
        done
        jq -e --arg row $row '[.[] | select(.name == $row and .ratio == "isolated/plain") | .metric] | sort ==
            ["calls_per_s", "cpu_us_per_call", "p50_us"]' "$results"
    done
    nothing_left "$BATS_TEST_TMPDIR/before"
}

@test "the committed figures: each ratio of isolated to plain is in the table, as it was measured" {
    cd "$ROOT/benchmarks/results"
    jq -r '.[] | select(.ratio == "isolated/plain" and (.metric | IN("calls_per_s", "requests_per_s", "ms"))) | [.name, .median, .min, .max] | @tsv' latest.json |
        while read -r row numbers; do
            # shellcheck disable=SC2086 # three numbers
            printf '| `%s` | %.3f | %.3f, %.3f |\n' "$row" $numbers
        done >"$BATS_TEST_TMPDIR/rows"
    grep -q 'zoobar.start' "$BATS_TEST_TMPDIR/rows"
    while read -r row; do grep -qF "$row" README.md || { echo "not there: $row"; return 1; }; done <"$BATS_TEST_TMPDIR/rows"
}

@test "a row that there is not is a failure that says so" {
    run "$ROOT/benchmarks/run" --build "$BUILD" --quick --out "$BATS_TEST_TMPDIR/out.json" nonsense
    assert_failure 1
    assert_output --partial 'no row begins with nonsense'
    [ ! -e "$BATS_TEST_TMPDIR/out.json" ]
}

@test "a folder without a build is one line" {
    run -1 "$ROOT/benchmarks/run" --build /nope rpc.depth1
    assert_output "benchmarks/run: --build /nope: there is no bin/hostd in it; \`make bench\` builds first"
}
