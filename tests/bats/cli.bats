#!/usr/bin/env bats
# What hostd says to a person: help, versions, and errors of the service list with their place.
load helpers

# wrong TEXT: a service list in app.toml of this test.
list() {
    cd "$BATS_TEST_TMPDIR" || return
    cat >app.toml
}
good_list() {
    list <<TOML
[app]
name = "small"

[service.dynamic]
exec = "dynamic"

[service.echo]
exec = "echo"

[[link]]
from = "dynamic"
to = "echo"
allow = ["Echo.Say"]
TOML
}
# Line LINE of the output is shown with a caret below it.
assert_caret() { assert_output --regexp '(^|'$'\n'') *[0-9 |]*\^'; }

@test "--version says name and number" {
    run "$HOSTD" --version
    assert_success
    assert_output --regexp '^hostd [0-9]+\.[0-9]+\.[0-9]+$'
}

@test "--help names every command" {
    run "$HOSTD" --help
    assert_success
    for command in start check plan ps stop; do assert_output --partial "$command"; done
}

@test "wrong usage is exit code 2 and a line on stderr" {
    for words in "" "frobnicate" "start" "check" "check a b" "ps --frobnicate" "ps a b" "stop --app" "start $ZOOBAR --listen" "plan"; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr "$HOSTD" $words
        assert_equal "$words: $status" "$words: 2"
        [ -n "$stderr" ]
    done
}

@test "a file that is not there is one line and no success" {
    run "$HOSTD" check "$BATS_TEST_TMPDIR/none.toml"
    assert_failure
    assert_output --partial none.toml
    assert_equal "${#lines[@]}" 1
}

@test "check accepts zoobar's list, and needs no root" {
    run "$HOSTD" check "$ZOOBAR"
    assert_success
    # A copy, because the checkout may lie below a folder that only root may enter.
    local public
    public=$(mktemp -d /tmp/hostd-check.XXXXXX)
    chmod 755 "$public"
    cp -r "$BUILD/bin" "$ZOOBAR" "$ROOT/apps/zoobar/media" "$public/"
    run setpriv --reuid=65534 --regid=65534 --clear-groups "$public/bin/hostd" check "$public/zoobar.toml"
    rm -rf "$public"
    assert_success
}

@test "the small list that the others break is good" {
    good_list
    run "$HOSTD" check app.toml
    assert_success
}

@test "an unknown key is an error with file, line, column, caret and the near name" {
    good_list
    sed -i 's/^exec = "echo"/exec = "echo"\nmemry = "64M"/' app.toml
    run "$HOSTD" check app.toml
    assert_failure 2
    assert_output --partial "app.toml:9:1: "
    assert_output --partial "memry"
    assert_output --partial "'memory'"
    assert_caret
}

@test "a link to a service that is not there suggests the near one" {
    good_list
    sed -i 's/^to = "echo"/to = "ehco"/' app.toml
    run "$HOSTD" check app.toml
    assert_failure 2
    assert_output --regexp 'app\.toml:12:[0-9]+: '
    assert_output --partial "'echo'"
    assert_caret
}

@test "a method that the callee's binary does not have is found without running it" {
    good_list
    sed -i 's/Echo.Say/Echo.Sya/' app.toml
    run "$HOSTD" check app.toml
    assert_failure 2
    assert_output --regexp 'app\.toml:13:[0-9]+: '
    assert_output --partial "'Echo.Say'"
    assert_caret
}

@test "a syntax error is one error with its place" {
    good_list
    sed -i 's/^name = "small"/name = "small/' app.toml
    run "$HOSTD" check app.toml
    assert_failure 2
    assert_output --regexp 'app\.toml:2:[0-9]+: '
    assert_caret
}

@test "errors of meaning come all at once" {
    good_list
    sed -i -e 's/^to = "echo"/to = "nobody"/' -e 's/^exec = "dynamic"/exec = "dynamic"\ncolour = 1/' app.toml
    run "$HOSTD" check app.toml
    assert_failure 2
    assert_output --partial colour
    assert_output --partial nobody
}

@test "more lists that are wrong, each refused with its line" {
    while IFS='|' read -r line expression; do
        good_list
        sed -i -E "$expression" app.toml
        run "$HOSTD" check app.toml
        [ "$status" = 2 ] && [[ $output =~ app\.toml:$line:[0-9]+:\  ]] || {
            echo "$expression: status $status: $output"
            return 1
        }
    done <<'CASES'
14|$a [[link]]\nfrom = "dynamic"\nto = "echo"\nallow = ["Echo.Say"]\n|
[0-9]+|s/^to = "echo"/to = "dynamic"/
8|s/^exec = "echo"/exec = "no-such-binary"/
8|s/^exec = "echo"/exec = 5/
7|s/service.echo/service.Echo/
7|s/service.echo/service.a_name_that_is_longer_than_31_bytes/
[0-9]+|s/service.echo/service.dynamic/
9|s/^exec = "echo"/exec = "echo"\nmemory = "lots"/
9|s/^exec = "echo"/exec = "echo"\nmemory = -1/
9|s/^exec = "echo"/exec = "echo"\npids = 0/
9|s/^exec = "echo"/exec = "echo"\ndata = ["..\/etc"]/
9|s/^exec = "echo"/exec = "echo"\ningress = [{ name = "http", listen = "256.0.0.1:80" }]/
9|s/^exec = "echo"/exec = "echo"\ningress = [{ name = "http", listen = "127.0.0.1:70000" }]/
[0-9]+|s/^allow.*//
2|s/^name = .*/name = "a\/b"/
CASES
}

@test "a list that ends in the middle or holds binary is refused, never a crash" {
    for bytes in 1 20 60 100; do
        head -c "$bytes" "$ZOOBAR" >"$BATS_TEST_TMPDIR/cut.toml"
        head -c 64 /dev/urandom >>"$BATS_TEST_TMPDIR/cut.toml"
        run "$HOSTD" check "$BATS_TEST_TMPDIR/cut.toml"
        assert_failure 2
    done
}

@test "start with a broken list is exit code 2, the same errors, and nothing started" {
    good_list
    sed -i 's/Echo.Say/Echo.Sya/' app.toml
    run "$HOSTD" start app.toml --name "$APP" --state-dir "$BATS_TEST_TMPDIR/state"
    assert_failure 2
    assert_output --regexp 'app\.toml:13:'
    [ ! -e "/run/hostd/$APP" ]
}

@test "plan prints the same plan every time, and as JSON and dot" {
    run "$HOSTD" plan "$ZOOBAR"
    assert_success
    local first=$output
    run "$HOSTD" plan "$ZOOBAR"
    assert_output "$first"
    "$HOSTD" plan "$ZOOBAR" --json | jq -e '(.services | length) == 8 and (.links | length) == 11'
    run "$HOSTD" plan "$ZOOBAR" --dot
    assert_success
    assert_line --index 0 --regexp '^digraph '
    assert_output --regexp 'dynamic"? -> "?echo'
    refute_output --regexp 'static"? -> '
}

@test "zoobar's links are exactly the eleven that were asked for" {
    run bash -c "'$HOSTD' plan '$ZOOBAR' --json | jq -r '.links[] | .from + \":\" + .to' | sort"
    assert_output "$(printf '%s\n' "${LINKS[@]}" | sort)"
}

@test "with stdin, stdout and stderr closed it does the same, and writes into nothing of its own" {
    run bash -c '"$0" start "$1" --name "$2" --state-dir "$3" --listen "http=127.0.0.1:$4" --detach <&- >&- 2>&-' \
        "$HOSTD" "$ZOOBAR" "$APP" "$BATS_TEST_TMPDIR/state" "$(free_port)"
    assert_success
    all_ready
    run bash -c '"$0" check "$1" >&- 2>&-' "$HOSTD" "$ZOOBAR"
    assert_success
    "$HOSTD" stop --app "$APP"
}

@test "ps and stop without an application say so" {
    run "$HOSTD" ps --app no-such-app
    assert_failure 1
    assert_equal "${#lines[@]}" 1
    run "$HOSTD" stop --app no-such-app
    assert_failure 1
    assert_equal "${#lines[@]}" 1
}

@test "a key of a million parts is an error of the list with its place, not the end of the parser" {
    { printf '[app]\nname = "x"\na'; yes .a | head -n 1000000 | tr -d '\n'; echo ' = 1'; } >"$BATS_TEST_TMPDIR/deep.toml"
    run "$HOSTD" check "$BATS_TEST_TMPDIR/deep.toml"
    assert_failure 2
    assert_line --index 0 --partial "deep.toml:3:1: a key of more than 64 parts"
}

@test "start: an option that cannot be followed is named, with what to do" {
    refused() {
        run "$HOSTD" start "$ZOOBAR" --name "$APP" "$@"
        [ ! -e "/run/hostd/$APP" ]
    }
    refused --listen "htp=127.0.0.1:$(free_port)"
    assert_failure 2
    assert_output --partial "no ingress has that name; did you mean 'http'? (the list has http)"
    refused --listen http=localhost:8085
    assert_failure 2
    assert_output --partial "it has the form INGRESS=ADDRESS:PORT, with numbers (IPv4), as in http=127.0.0.1:8081"
    refused --listen http=192.0.2.1:8085 --state-dir "$BATS_TEST_TMPDIR/state"
    assert_failure 1
    assert_output --partial "listen on 192.0.2.1:8085: Cannot assign requested address (no interface here has that address; choose one with --listen http=ADDRESS:8085)"
    refused --state-dir /proc/x
    assert_failure 1
    assert_output --partial "state directory /proc/x: mkdir /proc/x: No such file or directory (--state-dir names another)"
    refused --state-dir ''
    assert_failure 2
    assert_output --partial "--state-dir is empty"
}
