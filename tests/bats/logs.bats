#!/usr/bin/env bats
# logs.bats - what services print: prefixed, escaped, bounded, and readable with and without a running hostd.
# shellcheck shell=bash

load helpers

setup_file() {
    cat >"$BATS_FILE_TMPDIR/app.toml" <<EOF
[app]
name = "logs"
[service.odd]
exec = "$TOOLS/chatter"
[service.flood]
exec = "$TOOLS/chatter"
[service.flood.config]
flood = 200000
EOF
    app_start "$BATS_FILE_TMPDIR/app.toml"
}
teardown_file() { app_stop; }

# hostd's own stdout; and the same lines by hostd logs, without their times.
shown() { grep -a '^odd ' "$LOG"; }
logged() { "$HOSTD" logs --app "$APP" odd | sed -E 's/^[^ ]+ //'; }

@test "each line has its service's name in front, and no text can look like another's" {
    run shown
    assert_line --index 0 'odd   | one line'
    assert_line --index 1 'odd   | bank | two: a prefix in the text'
    run grep -ac '^bank' "$LOG"
    assert_output 0
}

@test "escapes, line ends and characters that move or turn text are shown, not obeyed" {
    run shown
    assert_line --index 2 'odd   | three \x1b[2J\x1b]0;title\x07 \x0d hidden'
    assert_line --index 3 $'odd   | four caf\xc3\xa9 \\xff\\xfe \\xc2\\x9b31m \\xe2\\x80\\xae turned'
    run grep -acP '[\x00-\x08\x0b-\x1f\x7f]' "$LOG"
    assert_output 0
}

@test "a text that begins like a stamp is text" {
    run shown
    assert_line --index 4 'odd   | 1700000000.000!five: a stamp in the text'
}

@test "hostd logs shows the same lines with their times" {
    run logged
    [ "${#lines[@]}" -eq 5 ]
    assert_equal "$output" "$(shown)" # one service: the same width of names
    run "$HOSTD" logs --app "$APP" odd
    assert_line --index 0 --regexp '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z odd   \| one line$'
}

@test "hostd logs --json is one object per line, whatever was printed" {
    run bash -c '"$HOSTD" logs --app "$APP" --json odd | jq -r .text'
    assert_success
    assert_line --index 0 'one line'
    assert_line --index 2 'three \x1b[2J\x1b]0;title\x07 \x0d hidden'
}

@test "--since leaves older lines out" {
    sleep 2.1 # the lines get older than the option can say
    run "$HOSTD" logs --app "$APP" --since 1 odd
    assert_success
    assert_output ""
    run "$HOSTD" logs --app "$APP" --since 3600 odd
    [ "${#lines[@]}" -eq 5 ]
}

@test "a flood is capped, what was dropped is said, and files stay bounded" {
    "$HOSTD" logs --app "$APP" flood >"$BATS_TEST_TMPDIR/flood"
    kept=$(grep -c '| flood [0-9]' "$BATS_TEST_TMPDIR/flood")
    [ "$kept" -ge 1000 ]
    [ "$kept" -lt 100000 ]
    grep -qE '\| initsvc: [0-9]+ lines dropped: more than 1000 a second' "$BATS_TEST_TMPDIR/flood"
    for file in "/run/hostd/$APP/logs/"*; do [ "$(stat -c %s "$file")" -le 1048576 ]; done
    run "$HOSTD" ps --app "$APP" --json
    assert_equal "$(jq -r '.services[] | select(.name == "flood") | .state' <<<"$output")" ready
}

@test "a service that is not there is one line and failure; wrong usage is 2" {
    run "$HOSTD" logs --app "$APP" nobody
    assert_failure 1
    assert_output --partial "has no service 'nobody'"
    run "$HOSTD" logs --since yesterday
    assert_failure 2
}

@test "-f goes on until the application is stopped" {
    "$HOSTD" logs --app "$APP" -f odd >"$BATS_TEST_TMPDIR/followed" 3>&- &
    follower=$!
    kill -KILL "$(service_pid odd)"
    again() { [ "$(grep -c 'one line' "$BATS_TEST_TMPDIR/followed")" = 2 ]; }
    wait_until 10 again
    app_stop
    wait_until 5 gone "$follower"
}
