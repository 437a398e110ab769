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
[service.tick]
exec = "$TOOLS/chatter"
[service.tick.config]
tick = 5
[service.spew]
exec = "$TOOLS/chatter"
[service.spew.config]
spew = 1024
EOF
    app_start "$BATS_FILE_TMPDIR/app.toml"
}
# What a test that failed in the middle left: a follower, services without a hostd.
teardown() { [ -z "${follower:-}" ] || kill "$follower" 2>/dev/null || true; }
teardown_file() {
    app_stop
    "$HOSTD" stop --app "$APP" 2>/dev/null || true
}

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

@test "what PID 1 says of a service is marked, and no text can bear that mark" {
    run shown
    assert_line --index 5 'odd   | initsvc: 9 lines dropped: more than 1000 a second'
    assert_line --index 6 'odd   |  ! 9 lines dropped: more than 1000 a second'
    # shellcheck disable=SC2016 # jq's own
    run bash -c '"$HOSTD" logs --app "$APP" --json odd | jq -r .own | sort | uniq -c'
    assert_output --regexp '^ *7 false$'
    run grep -acE '^(odd|tick) +! ' "$LOG"
    assert_output 0
}

@test "hostd logs shows the same lines with their times" {
    run logged
    [ "${#lines[@]}" -eq 7 ]
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
    [ "${#lines[@]}" -eq 7 ]
}

# What the log says was dropped, as one number.
said() { sed -nE 's/^.* flood ! ([0-9]+) lines dropped: more than 1000 a second$/\1/p' "$1" | awk '{sum += $1} END {print sum + 0}'; }

@test "a flood is capped, each line of it is kept or said to be dropped though silence follows, and files stay bounded" {
    kept_and_said() {
        "$HOSTD" logs --app "$APP" flood >"$BATS_TEST_TMPDIR/flood"
        kept=$(grep -c '| flood [0-9]' "$BATS_TEST_TMPDIR/flood")
        [ $((kept + $(said "$BATS_TEST_TMPDIR/flood"))) -eq 200000 ]
    }
    wait_until 30 kept_and_said
    [ "$kept" -ge 1000 ]
    [ "$kept" -lt 100000 ]
    for file in "/run/hostd/$APP/logs/"*; do [ "$(stat -c %s "$file")" -le 1048576 ]; done
    run "$HOSTD" ps --app "$APP" --json
    assert_equal "$(jq -r '.services[] | select(.name == "flood") | .state' <<<"$output")" ready
}

@test "a gigabyte as fast as it is taken: memory and disk stay bounded, the service is neither stopped nor ended" {
    written_mib() { awk '/^wchar/ {print int($2 / 1048576)}' "/proc/$(service_pid spew)/io"; }
    all_written() { [ "$(written_mib)" -ge 1024 ]; }
    wait_until 60 all_written
    for file in "/run/hostd/$APP/logs/spew".*; do [ "$(stat -c %s "$file")" -le 1048576 ]; done
    hwm_kib() { awk '/^VmHWM/ {print $2}' "/proc/$1/status"; }
    echo "# PID 1 at most $(hwm_kib "$(init_pid spew)") KiB, hostd $(hwm_kib "$HOSTD_PID") KiB" >&3
    [ "$(hwm_kib "$(init_pid spew)")" -le 4096 ]
    [ "$(hwm_kib "$HOSTD_PID")" -le 65536 ]
    assert_equal "$(service spew '.state + " " + (.generation | tostring)')" "ready 1"
    [ "$("$HOSTD" logs --app "$APP" spew | grep -c '^[^ ]* spew  ! [0-9]* lines dropped')" -ge 1 ]
}

@test "--since takes what the logs show, and how long ago" {
    at=$("$HOSTD" logs --app "$APP" odd | sed -n '3s/ .*//p')
    run "$HOSTD" logs --app "$APP" --since "$at" odd
    assert_success
    assert_line --partial '!five'  # the later ones
    assert_line --index 0 --regexp "^$at "
    for moment in 1d 600m 36000s 2000-01-01 2000-01-01T00:00:00+02:00; do
        run "$HOSTD" logs --app "$APP" --since "$moment" odd
        assert_success
        [ "${#lines[@]}" -eq 7 ]
    done
    run "$HOSTD" logs --app "$APP" --since 2100-01-01T00:00:00Z odd
    assert_success
    assert_output ""
    for moment in yesterday 1w -1 2000-02-30 2000-01-01T00:00:00; do
        run "$HOSTD" logs --app "$APP" --since "$moment" odd
        assert_failure 2
        assert_output --partial '--since takes seconds'
    done
}

@test "names are coloured on a terminal only, and not where NO_COLOR is set" {
    on_terminal() { TERM=xterm script -qec "$HOSTD logs --app $APP odd" /dev/null </dev/null; }
    run on_terminal
    assert_line --index 0 --partial $'\e[36modd'
    NO_COLOR=1 run on_terminal
    assert_line --index 0 --partial 'odd   | one line'
    refute_output --partial $'\e'
    run "$HOSTD" logs --app "$APP" odd
    refute_output --partial $'\e'
}

@test "a service that is not there is one line, and wrong usage as other wrong words are" {
    run "$HOSTD" logs --app "$APP" nobody
    assert_failure 2
    assert_output --partial "has no service 'nobody'"
    run "$HOSTD" logs --since yesterday
    assert_failure 2
}

# Numbers of the lines "tick N" in a file: each is the one before and one more, or 0 after a start.  Prints the starts.
consecutive() {
    sed -nE 's/^[^ ]+ tick  \| tick ([0-9]+) \.*$/\1/p' "$1" | awk '
        NR == 1 {starts = $1 == 0}
        NR > 1 && $1 == 0 {starts++}
        NR > 1 && $1 != 0 && $1 != last + 1 {print "after " last " came " $1; bad = 1; exit}
        {last = $1}
        END {if (bad || NR < 2) exit 1; print starts}'
}

@test "-f goes on over full files, restarts and the death of hostd, until the application is stopped; no line is lost" {
    "$HOSTD" logs --app "$APP" -f tick >"$BATS_TEST_TMPDIR/followed" 3>&- &
    follower=$!
    seen() { wc -l <"$BATS_TEST_TMPDIR/followed"; }
    more() { [ "$(seen)" -ge "$1" ]; }
    # Two files' worth of lines more: both were emptied meanwhile.
    wait_until 5 more 1
    wait_until 60 more $(($(seen) + 1100))
    consecutive "$BATS_TEST_TMPDIR/followed"

    kill -KILL "$(service_pid tick)"
    again() { [ "$(grep -c 'tick 0 ' "$BATS_TEST_TMPDIR/followed")" -ge 1 ] && more $(($(grep -n 'tick 0 ' "$BATS_TEST_TMPDIR/followed" | tail -n 1 | cut -d: -f1) + 50)); }
    wait_until 20 again
    consecutive "$BATS_TEST_TMPDIR/followed"

    kill -KILL "$HOSTD_PID"
    wait_until 5 gone "$HOSTD_PID"
    wait_until 30 more $(($(seen) + 600))
    starts=$(consecutive "$BATS_TEST_TMPDIR/followed")
    run "$HOSTD" logs --app "$APP" odd # no hostd is needed to read
    assert_line --partial '| one line'

    app_start "$BATS_FILE_TMPDIR/app.toml"
    wait_until 30 more $(($(seen) + 50))
    assert_equal "$(consecutive "$BATS_TEST_TMPDIR/followed")" "$starts" # the same service, which never noticed
    run ! grep -q '| one line' "$LOG"                                    # and what it said before is not said again
    app_stop
    wait_until 5 gone "$follower"
    wait "$follower"
}

@test "-f ends when nobody reads it any more, though nothing is printed" {
    cat >"$BATS_TEST_TMPDIR/quiet.toml" <<EOF
[app]
name = "quiet"
[service.odd]
exec = "$TOOLS/chatter"
EOF
    export APP=$APP-quiet
    app_start "$BATS_TEST_TMPDIR/quiet.toml"
    run timeout 20 bash -c '"$HOSTD" logs --app "$APP" -f odd | head -n 1; exit "${PIPESTATUS[0]}"'
    assert_line --partial '| one line'
    [ "$status" -ne 124 ]
    app_stop
}

@test "an output that nobody reads stops neither hostd nor a service, and what was printed comes when somebody does" {
    mkfifo "$BATS_TEST_TMPDIR/full"
    # shellcheck disable=SC2217 # that it does not read is what it is for
    sleep 1000 <"$BATS_TEST_TMPDIR/full" 3>&- &
    sleeper=$!
    cat >"$BATS_TEST_TMPDIR/full.toml" <<EOF
[app]
name = "full"
[service.tick]
exec = "$TOOLS/chatter"
[service.tick.config]
tick = 2
EOF
    export APP=$APP-full
    "$HOSTD" start "$BATS_TEST_TMPDIR/full.toml" --name "$APP" --state-dir "$STATE" >"$BATS_TEST_TMPDIR/full" 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/hostd.pid"
    wait_until 30 all_ready
    # Ten times what the pipe holds was printed since; and it is still supervised.
    printed() { [ "$(cat "/run/hostd/$APP/logs/tick".* | wc -c)" -ge 655360 ]; }
    wait_until 30 printed
    kill -KILL "$(service_pid tick)"
    again() { [ "$(service tick '.state + " " + (.generation | tostring)')" = "ready 2" ]; }
    wait_until 10 again
    # Now somebody reads: whole lines, each with its prefix, from the first on.
    timeout 5 cat "$BATS_TEST_TMPDIR/full" >"$BATS_TEST_TMPDIR/read" || true
    run grep -avE '^(hostd: |tick +\| (tick [0-9]+ \.+|one line|bank |three |four |1700|initsvc: | ! ))' "$BATS_TEST_TMPDIR/read"
    [ "${#lines[@]}" -le 1 ] # the last may be cut by the reader's end
    grep -q "^hostd: service 'tick'" "$BATS_TEST_TMPDIR/read"
    grep -q '^tick  | tick 300 ' "$BATS_TEST_TMPDIR/read"
    kill "$sleeper"
    app_stop
}
