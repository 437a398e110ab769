#!/usr/bin/env bats
# confinement.bats - what each service of zoobar may do is what its table says (tests/confinement), and no more.
#
# The tables are those of x86-64: numbers and flags differ elsewhere.
# shellcheck shell=bash

load helpers

TABLES=$ROOT/tests/confinement

setup_file() {
    app_start
    mkdir "$BATS_FILE_TMPDIR/seen"
    local name
    for name in "${SERVICES[@]}"; do
        "$TABLES/observe" "$APP" "$name" >"$BATS_FILE_TMPDIR/seen/$name.txt"
        "$TABLES/observe" "$APP" "$name" --init >"$BATS_FILE_TMPDIR/seen/$name-init.txt"
    done
}
teardown_file() { app_stop; }

rows() { sed -E 's/ *#.*$//; /^$/d' "$1"; }
# as_pinned TABLE SEEN: nothing, or the difference.
as_pinned() { diff -u --label "pinned: $(basename "$1")" --label "seen: $(basename "$2")" <(rows "$1") <(rows "$2"); }
seen() { echo "$BATS_FILE_TMPDIR/seen/$1.txt"; }
# The rows of one part, without their indentation.
part() { sed -n "/^$1/,/^[^ ]/p" "$2" | sed -n 's/^  //p'; }

@test "there is a table for each service of the list, and one for PID 1" {
    assert_equal "$(find "$TABLES" -name '*.txt' -printf '%f\n' | sort)" \
        "$(printf '%s.txt\n' "${SERVICES[@]}" init | sort)"
}

@test "each service may do what its table says, no more and no less" {
    local name differ=0
    for name in "${SERVICES[@]}"; do as_pinned "$TABLES/$name.txt" "$(seen "$name")" || differ=1; done
    return "$differ"
}

@test "PID 1 of each service may do what its table says, no more and no less" {
    local name differ=0
    for name in "${SERVICES[@]}"; do as_pinned "$TABLES/init.txt" "$(seen "$name-init")" || differ=1; done
    return "$differ"
}

@test "echo may make at most 12 system calls, bank at most 30" {
    assert [ "$(part 'system calls' "$(seen echo)" | awk '{print $1}' | sort -u | wc -l)" -le 12 ]
    assert [ "$(part 'system calls' "$(seen bank)" | awk '{print $1}' | sort -u | wc -l)" -le 30 ]
}

@test "every number tried from inside gives the same as the filter of the running process" {
    local name
    for name in "${SERVICES[@]}"; do
        run "$HOSTD" exec --app "$APP" "$name" -- "$TOOLS/scprobe" calls
        assert_success
        # Those two end who tries them: they were tried one by one.
        assert_equal "$name: $(sort <<<"$output")" \
            "$name: $(part 'system calls' "$(seen "$name")" | grep -vxE 'exit|exit_group')"
    done
}

@test "exit ends a thread where a service has threads, and is refused elsewhere; exit_group ends the program" {
    local name code
    for name in "${SERVICES[@]}"; do
        run "$HOSTD" exec --app "$APP" "$name" -- "$TOOLS/scprobe" one exit_group
        assert_equal "$name $status" "$name 77"
        run "$HOSTD" exec --app "$APP" "$name" -- "$TOOLS/scprobe" one exit
        code=0
        if part 'system calls' "$(seen "$name")" | grep -qx exit; then code=77; fi
        assert_equal "$name $status" "$name $code"
    done
}

# ---- that a difference is seen ----

@test "a row too many or too few in a table is a difference, a remark is none" {
    sed '/^  getrandom/d' "$TABLES/echo.txt" >"$BATS_TEST_TMPDIR/few.txt"
    run as_pinned "$BATS_TEST_TMPDIR/few.txt" "$(seen echo)"
    assert_failure
    assert_line '+  getrandom'
    sed 's/^  read /  socket\n  read /' "$TABLES/echo.txt" >"$BATS_TEST_TMPDIR/many.txt"
    run as_pinned "$BATS_TEST_TMPDIR/many.txt" "$(seen echo)"
    assert_failure
    assert_line '-  socket'
    sed 's/#.*/# other words/' "$TABLES/echo.txt" >"$BATS_TEST_TMPDIR/words.txt"
    run as_pinned "$BATS_TEST_TMPDIR/words.txt" "$(seen echo)"
    assert_success
}

@test "a service that was given more shows more: files, a data directory, memory, cpu, another link" {
    cat >"$BATS_FILE_TMPDIR/wide.toml" <<END
[app]
name = "wide"
[service.echo]
exec   = "$BUILD/bin/echo"
data   = ["echo"]
files  = [{ from = "/etc/hostname", to = "/name" }]
memory = "48M"
pids   = 9
cpu    = 50
[service.other]
exec = "$BUILD/bin/echo"
[[link]]
from  = "other"
to    = "echo"
allow = ["Echo.Say"]
[[link]]
from  = "echo"
to    = "other"
allow = ["Echo.Say"]
END
    "$HOSTD" start "$BATS_FILE_TMPDIR/wide.toml" --name "$APP-wide" --state-dir "$BATS_TEST_TMPDIR/wide" --detach
    "$TABLES/observe" "$APP-wide" echo >"$BATS_TEST_TMPDIR/wide.txt"
    "$HOSTD" stop --app "$APP-wide"
    run as_pinned "$TABLES/echo.txt" "$BATS_TEST_TMPDIR/wide.txt"
    assert_failure
    for row in 'pwrite64' '/echo: rw,nosuid,nodev,noexec,nosymfollow,idmapped' '/name: ro,nosuid,nodev,noexec' \
        'open files 64 64' 'group memory 50331648' 'group pids 9' 'group cpu 50000 100000' 'interface to: 1' 'slots 12' \
        '/echo/new: read ENOENT list ENOENT write ENOENT create yes'; do
        assert_line "+  $row"
    done
}

@test "PID 1's ring without its restrictions shows more" {
    printf '[app]\nname = "weak"\n[service.echo]\nexec = "%s/bin/echo"\n' "$BUILD" >"$BATS_TEST_TMPDIR/weak.toml"
    export HOSTD=$BUILD/weak/bin/hostd HOSTD_WEAKEN=sender # the test build, as tests/attacks/README.md says
    "$HOSTD" start "$BATS_TEST_TMPDIR/weak.toml" --name "$APP-weak" --state-dir "$BATS_TEST_TMPDIR/weak" --detach 3>&-
    "$TABLES/observe" "$APP-weak" echo --init >"$BATS_TEST_TMPDIR/weak.txt" || true
    "$HOSTD" stop --app "$APP-weak"
    run as_pinned "$TABLES/init.txt" "$BATS_TEST_TMPDIR/weak.txt"
    assert_failure
    for row in 'operation SOCKET' 'operation CONNECT' 'flag: bit 0 may be set' 'registration 0'; do
        assert_line "+  its own: $row"
    done
    refute_line --regexp '^\+ .*(system call|Cap|descriptor)' # all else is as it was
    refute_line --regexp '^-  '
}
