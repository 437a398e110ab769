#!/usr/bin/env bats
# docs.bats - what README and the manual pages say is true: every example runs, every command, option and key is there,
# and what `make install` installs works.
# shellcheck shell=bash

load helpers
load examples

MANUALS=(hostd.1 hostd.toml.5 hostd-security.7)
INSTALLED=$BATS_FILE_TMPDIR/installed
PARSER=$ROOT/hostd/manifest_parse.c

# What `make test` passes down must not reach a make of ours.
make_quietly() { env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -s -C "$ROOT" B="${BUILD#"$ROOT"/}" "$@"; }

setup_file() {
    make_quietly install DESTDIR="$INSTALLED" >"$BATS_FILE_TMPDIR/make.log" 2>&1 || {
        cat "$BATS_FILE_TMPDIR/make.log" >&2
        return 1
    }
}
teardown_file() { app_stop; }

manual() { echo "$ROOT/hostd/man/$1.scd"; }

# on_a_machine_of_its_own COMMAND...: with its own network, processes, /run, state and control groups, and our tree in
# /usr/local; so the examples can say 8080 and zoobar though one runs here already.
on_a_machine_of_its_own() {
    local tree made_state="" result=0
    [ -d /var/lib/hostd ] || { mkdir /var/lib/hostd && made_state=yes; }
    mkdir -p "$BATS_FILE_TMPDIR/usr-local"
    # shellcheck disable=SC2016 # for the other shell
    unshare --mount --net --pid --ipc --fork --kill-child --mount-proc --propagation private bash -c '
        set -e
        for tree in /sys/fs/cgroup $(awk "\$3 == \"cgroup\" {print \$2}" /proc/self/mounts); do
            [ -e "$tree/cgroup.procs" ] || continue
            mkdir -p "$tree/$1"
            [ ! -e "$tree/cgroup.subtree_control" ] || sed "s/[^ ]*/+&/g" "$tree/cgroup.controllers" >"$tree/cgroup.subtree_control"
            mount --bind "$tree/$1" "$tree"
        done
        mount -t tmpfs tmpfs /run
        mount -t tmpfs tmpfs /var/lib/hostd
        mount --bind "$2/usr/local" /usr/local
        ip link set lo up
        shift 2
        exec "$@"' - "$APP" "$INSTALLED" "$@" 3>&- || result=$?
    [ -z "$made_state" ] || rmdir /var/lib/hostd
    while read -r tree; do # empty now; the kernel may count the last process for a moment longer
        no_groups() { [ ! -d "$tree/$APP" ] || find "$tree/$APP" -depth -type d -exec rmdir {} + 2>/dev/null; }
        wait_until 10 no_groups || result=1
    done < <(awk '$3 ~ /^cgroup/ {print $2}' /proc/self/mounts)
    return $result
}

# ---- examples ----

@test "every command of README runs, in its order, and prints what it says" {
    [ "$(blocks "$ROOT/README.md" sh | grep -c .)" -ge 10 ]
    cd "$ROOT"
    run on_a_machine_of_its_own env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS bash "$ROOT/tests/bats/examples.bash" README.md
    echo "$output"
    assert_success
    make_quietly --dry-run test ONLY=unit/frame | grep -q 'tests/run'
}

@test "every command of the manual pages runs, and prints what it says" {
    [ "$(blocks "$(manual hostd.1)" sh | grep -c '^\$ ')" -ge 5 ]
    cd "$BATS_TEST_TMPDIR"
    for page in "${MANUALS[@]}"; do
        run on_a_machine_of_its_own bash "$ROOT/tests/bats/examples.bash" "$(manual "$page")"
        echo "$output"
        assert_success
    done
}

@test "a command that fails, prints something else or goes on is found" {
    cd "$BATS_TEST_TMPDIR"
    wrong() {
        printf '```sh\n%s\n```\n' "$1" >wrong.md
        run bash "$ROOT/tests/bats/examples.bash" wrong.md
        assert_failure 1
        assert_output --partial 'not as stated'
        printf '```\n$ %s\n```\n' "${1/ # ... /$'\n'}" >wrong.scd # what it states is then a line of its own
        run bash "$ROOT/tests/bats/examples.bash" wrong.scd
        assert_failure 1
    }
    wrong false
    wrong 'echo one # ... two'
    wrong 'echo two # ... two (exit code 1)'
    wrong "$HOSTD start none.toml"
    printf '```\n$ echo "a   b"; echo "[c]"\na ...\n...\n[c]\n$ true\n```\n' >right.scd
    run bash "$ROOT/tests/bats/examples.bash" right.scd
    assert_success
}

# What a fragment leaves out is added: [app], the services that its links name, what they serve.
whole_list() {
    local list=$1 name
    cat "$list"
    grep -q '^\[app\]' "$list" || printf '\n[app]\nname = "example"\n'
    while read -r name; do
        grep -q "^\[service.$name\]" "$list" || printf '\n[service.%s]\nexec = "%s"\n' "$name" "$name"
    done < <(sed -nE 's/^(from|to) *= *"(.*)".*/\2/p' "$list" | sort -u)
}

# starts_and_stops LIST: all of it is ready and stays so for a second, in the first generation.
# What a job prints of its callee comes too.
starts_and_stops() {
    local modules
    modules=$(dirname "$(/usr/bin/python3 -c 'import os; print(os.__file__)')")
    sed "s|/usr/lib/python3\.11|$modules|" "$1" >list.toml # Debian's next release has another one
    # shellcheck disable=SC2016 # for the other shell
    on_a_machine_of_its_own bash -c '
        set -e
        hostd=/usr/local/bin/hostd
        "$hostd" start list.toml --detach
        printed() { ! grep -q "print(" list.toml || "$hostd" logs job | grep -q "| visits :[1-9]"; }
        stays() { "$hostd" ps --json | jq -e "all(.services[]; .uptime_s >= 1 and .generation == 1)" >/dev/null; }
        for ((i = 0; i < 200; i++)); do printed && stays && break; sleep 0.05; done
        printed
        stays || { "$hostd" ps; exit 1; }
        "$hostd" stop
        [ -z "$(ls /run/hostd 2>/dev/null)" ]'
}

@test "every service list of README and the manual pages is right, and each that is a whole one starts and stops" {
    local count=0 started=0 file block=""
    cp -r "$ROOT/apps/zoobar/media" "$BATS_TEST_TMPDIR/"
    cd "$BATS_TEST_TMPDIR"
    for file in "$ROOT/README.md" "$ROOT"/hostd/man/*.scd; do
        while IFS= read -r line; do
            if [ "$line" != $'\f' ]; then
                block+=$line$'\n'
                continue
            fi
            printf '%s' "$block" >fragment.toml
            if grep -F "\\" fragment.toml; then echo "scdoc takes a backslash away"; return 1; fi
            whole_list fragment.toml >example.toml
            run "$HOSTD" check example.toml
            [ "$status" = 0 ] || { echo "in $file:"; cat example.toml; echo "$output"; return 1; }
            count=$((count + 1)) block=""
            grep -q '^\[app\]' fragment.toml || continue
            run starts_and_stops fragment.toml
            [ "$status" = 0 ] || { echo "in $file:"; cat fragment.toml; echo "$output"; return 1; }
            started=$((started + 1))
        done < <(blocks "$file" toml)
    done
    [ "$count" -ge 3 ] && [ "$started" -ge 2 ]
}

# ---- what is there is said, what is said is there ----

# The manual without its markup.
plain() { sed -E -e 's/\*\*?//g' -e 's/\\(.)/\1/g' -e 's/(^|[^[:alnum:]])_([^_]+)_/\1\2/g' -e 's/\+\+$//' "$@"; }
# section NAME FILE: of a command or key, up to the next one.
commands() { "$HOSTD" --help | sed -nE 's/^  ([a-z]+) .*/\1/p'; }
# command_section NAME: what hostd(1) says below *NAME*.
command_section() { awk -v name="$1" '/^[#*]/ {on = $0 ~ "^\\*" name "\\*"} on' "$(manual hostd.1)"; }

@test "every command of hostd is in hostd(1), with the same usage, and nothing else is" {
    [ "$(commands | wc -l)" -ge 8 ]
    sed -n '/^# SYNOPSIS/,/^# DESCRIPTION/p' "$(manual hostd.1)" | plain | sed -n 's/^hostd //p' | squeeze >"$BATS_TEST_TMPDIR/synopsis"
    for command in $(commands); do
        [ "$command" != help ] || continue
        usage=$("$HOSTD" help "$command" | sed -n 's/^usage: hostd //p' | squeeze)
        grep -Fxq -- "$usage" "$BATS_TEST_TMPDIR/synopsis" || {
            echo "hostd help says:      $usage"
            echo "hostd(1) synopsis is:"
            cat "$BATS_TEST_TMPDIR/synopsis"
            return 1
        }
        [ -n "$(command_section "$command")" ] || { echo "hostd(1) has no *$command* in COMMANDS"; return 1; }
    done
    while read -r command _; do
        [[ $command == --* ]] || commands | grep -qx "$command" || { echo "there is no command $command"; return 1; }
    done <"$BATS_TEST_TMPDIR/synopsis"
}

@test "every option of a command is explained in its section of hostd(1)" {
    local seen=0
    for command in $(commands); do
        for option in $("$HOSTD" help "$command" | sed -n 's/^usage: hostd //p' | grep -oE -- '(^|[[ |])--?[a-z][a-z-]*' | tr -d '[| '); do
            [ "$option" = -- ] && continue
            # --app is the same everywhere: once, for all.
            if [ "$option" = --app ]; then
                grep -qF '*--app*' "$(manual hostd.1)"
            else
                command_section "$command" | grep -qF -- "*$option*" || { echo "hostd(1), $command: $option is not explained"; return 1; }
            fi
            seen=$((seen + 1))
        done
    done
    [ "$seen" -ge 10 ]
}

# keys FUNCTION: names and kinds of the table of keys in that function of the parser.
keys() { awk -v name="$1" '$0 ~ "^static void " name "\\(" {on = 1} on && /^}/ {exit} on' "$PARSER" | sed -nE 's/^ *\{"([a-z_]+)", TREE_([A-Z]+), .*/\1 \2/p'; }
# chapter TITLE: of hostd.toml(5).
chapter() { awk -v title="$1" '/^# / {on = index($0, title) > 0} on' "$(manual hostd.toml.5)"; }
# entry KEY: of a chapter on stdin.
entry() { awk -v key="$1" '/^[*#]/ {on = index($0, "*" key "*") > 0} on'; }

@test "every key that the parser knows is in hostd.toml(5), with its default and its unit" {
    local seen=0 key kind text
    while read -r function title; do
        [ -n "$(keys "$function")" ] || { echo "no keys found in $function()"; return 1; }
        while read -r key kind; do
            text=$(chapter "$title" | entry "$key")
            [ "$key" != config ] || text=$(chapter "$title" | grep -A 3 'config\]')
            case $function in
            take_one_*) text=$(chapter "$title" | grep -F "$key = " || true) ;;
            esac
            [ -n "$text" ] || { echo "hostd.toml(5) does not tell of '$key' in $title"; return 1; }
            seen=$((seen + 1))
            [[ $function != take_one_* ]] || continue
            grep -qE 'Required|Default|default' <<<"$text" || { echo "hostd.toml(5): '$key' has no default"; return 1; }
            [ "$kind" != INT ] || grep -qiE 'percent|processes|seconds|milliseconds|bytes|calls|times' <<<"$text" || {
                echo "hostd.toml(5): '$key' has no unit"
                return 1
            }
        done < <(keys "$function")
    done <<'END'
take_app [app]
take_service [service.
take_one_ingress [service.
take_one_file [service.
take_link [[link]]
END
    [ "$seen" -ge 20 ]
    # And every key of the page is the parser's.
    while read -r key; do
        grep -qE "^ *\{\"$key\", TREE_" "$PARSER" || { echo "the parser does not know '$key'"; return 1; }
    done < <(sed -nE 's/^\*([a-z_]+)\*( =.*|$)/\1/p' "$(manual hostd.toml.5)")
}

@test "every word that a key may have is in hostd.toml(5)" {
    words=$(grep -oE 'names\[\] = \{[^}]*\}' <(tr '\n' ' ' <"$PARSER") | grep -oE '"[a-z-]+"')
    [ "$(wc -l <<<"$words")" -ge 7 ]
    for word in $words; do
        plain "$(manual hostd.toml.5)" | grep -qF -- "$word" || { echo "$word is not told of"; return 1; }
    done
}

@test "README names tests that are there, and every promise's test" {
    for name in $(grep -oE '`[a-z]+\.bats`' "$ROOT/README.md" | tr -d '`'); do [ -f "$ROOT/tests/bats/$name" ]; done
    for name in "$ROOT"/tests/bats/*.bats; do
        [ "$name" != "$ROOT/tests/bats/echo.bats" ] || continue # the smallest service, for the author of one
        grep -qF "\`${name##*/}\`" "$ROOT/README.md" || { echo "README does not name ${name##*/}"; return 1; }
    done
}

@test "the manual pages are rendered without a warning" {
    for page in "${MANUALS[@]}"; do
        run --separate-stderr scdoc <"$(manual "$page")"
        assert_success
        assert_equal "$stderr" ""
        installed=$INSTALLED/usr/local/share/man/man${page##*.}/$page
        run --separate-stderr groff -man -Tutf8 -ww -P-cbou -rLL=100n "$installed"
        assert_success
        assert_equal "$stderr" ""
        assert_output --partial NAME
        refute_output --partial '```'
    done
}

# ---- make install ----

# starts DIR: the zoobar of the tree in DIR serves its page.
starts() {
    local bin=$1/bin/hostd
    run "$bin" check "$1/share/hostd/zoobar/zoobar.toml"
    assert_success
    HOSTD=$bin app_start "$1/share/hostd/zoobar/zoobar.toml"
    fetch "$Z/echo?s=installed"
    assert_equal "$code" 200
    fetch "$URL/zoobar/media/zoobar.css"
    assert_equal "$code" 200
    assert_equal "$(readlink "/proc/$(init_pid bank)/exe")" "$1/libexec/hostd/initsvc"
    app_stop
}

@test "what make install installs runs where it lies, and after it was moved" {
    starts "$INSTALLED/usr/local"
    mv "$INSTALLED/usr/local" "$BATS_TEST_TMPDIR/elsewhere"
    starts "$BATS_TEST_TMPDIR/elsewhere"
    mv "$BATS_TEST_TMPDIR/elsewhere" "$INSTALLED/usr/local"
}

@test "it needs nothing of the checkout, and puts one command in bin" {
    assert_equal "$(ls "$INSTALLED/usr/local/bin")" hostd
    [ -x "$INSTALLED/usr/local/libexec/hostd/initsvc" ]
    run grep -rlaF "$ROOT/" --include='*.toml' --include='*.[157]' --include=README.md "$INSTALLED"
    assert_output ""
}

@test "make uninstall removes every file that make install made" {
    make_quietly install DESTDIR="$BATS_TEST_TMPDIR/tree" PREFIX=/opt >/dev/null
    touch "$BATS_TEST_TMPDIR/tree/opt/bin/of-others"
    [ -x "$BATS_TEST_TMPDIR/tree/opt/bin/hostd" ]
    make_quietly uninstall DESTDIR="$BATS_TEST_TMPDIR/tree" PREFIX=/opt
    assert_equal "$(find "$BATS_TEST_TMPDIR/tree" -type f)" "$BATS_TEST_TMPDIR/tree/opt/bin/of-others"
}
