# helpers.bash - what every suite uses: paths, an application of the suite's own, and ways to look at it.
#
# A suite that runs an application calls app_start in setup_file and app_stop in teardown_file.  The application gets the
# suite's name, a port and a state directory of its own, so that a zoobar that runs already is not disturbed.
# Waiting is always for an event, with a limit (wait_until), never for a time.
# shellcheck shell=bash disable=SC2034 # suites use what is set here

bats_require_minimum_version 1.5.0
bats_load_library bats-support
bats_load_library bats-assert

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=${HOSTD_BUILD:-$ROOT/build}
HOSTD=$BUILD/bin/hostd
TOOLS=$BUILD/test-bin
ZOOBAR=$ROOT/apps/zoobar/zoobar.toml
SUITE=$(basename "$BATS_TEST_FILENAME" .bats)
# Of this run alone: two runs at once do not meet.
APP=test-$SUITE-$(basename "$BATS_RUN_TMPDIR" | tail -c 7 | tr '[:upper:]' '[:lower:]')
STATE=$BATS_FILE_TMPDIR/state
LOG=$BATS_FILE_TMPDIR/hostd.log
export ROOT BUILD HOSTD TOOLS ZOOBAR APP STATE LOG

SERVICES=(dispatcher static dynamic echo auth bank person profile)
# The links of zoobar.toml, as the issue of the application names them; a test compares them with the file.
LINKS=(dispatcher:static dispatcher:dynamic dynamic:auth dynamic:bank dynamic:person dynamic:profile dynamic:echo
    bank:auth person:auth profile:bank profile:person)

# ---- waiting ----

# wait_until SECONDS COMMAND...: asks again until it succeeds.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -le "$end" ] || return 1
        sleep 0.05
    done
}

gone() { ! kill -0 "$1" 2>/dev/null || [ "$(ps -o stat= -p "$1" | cut -c1)" = Z ]; }

# ---- an application ----

# A TCP port of 127.0.0.1 that nobody listens on, below the range that the kernel hands out.
free_port() {
    local port
    for port in $(shuf -i 18000-31000 -n 50); do
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
    return 1
}

# zoobar_toml FILE [SED EXPRESSION ...]: a copy of zoobar.toml that may lie elsewhere, changed as told.
zoobar_toml() {
    local file=$1 expression args=()
    shift
    for expression; do args+=(-e "$expression"); done
    sed -E -e "s|from = \"media\"|from = \"$ROOT/apps/zoobar/media\"|" "${args[@]}" "$ZOOBAR" >"$file"
}

all_ready() {
    local shown
    shown=$("$HOSTD" ps --app "$APP" --json 2>/dev/null) || return 1
    jq -e '(.services | length > 0) and all(.services[]; .state == "ready")' >/dev/null 2>&1 <<<"$shown"
}

# app_start [FILE [OPTION ...]]: in the background, its output in $LOG; returns when every service is ready.
app_start() {
    local file=${1:-$ZOOBAR} listen=()
    [ $# -gt 0 ] && shift
    mkdir -p "$STATE"
    PORT=$(free_port)
    if grep -q '^ingress' "$file"; then listen=(--listen "http=127.0.0.1:$PORT"); fi
    "$HOSTD" start "$file" --name "$APP" --state-dir "$STATE" "${listen[@]}" "$@" >"$LOG" 2>&1 3>&- &
    HOSTD_PID=$!
    # In a file too: teardown_file ends what a test started, though it ran in a process of its own.
    echo "$HOSTD_PID" >"$BATS_FILE_TMPDIR/hostd.pid"
    URL=http://127.0.0.1:$PORT
    Z=$URL/zoobar/index.cgi
    export PORT HOSTD_PID URL Z
    started() { all_ready || gone "$HOSTD_PID"; }
    if ! wait_until 30 started || gone "$HOSTD_PID"; then
        echo "the application is not up:" >&2
        cat "$LOG" >&2
        return 1
    fi
}

# Ends it as Ctrl-C does; kills it where that does not help, which is a failure.
app_stop() {
    [ -s "$BATS_FILE_TMPDIR/hostd.pid" ] || return 0
    HOSTD_PID=$(cat "$BATS_FILE_TMPDIR/hostd.pid")
    rm "$BATS_FILE_TMPDIR/hostd.pid"
    kill -INT "$HOSTD_PID" 2>/dev/null
    if ! wait_until 20 gone "$HOSTD_PID"; then
        kill -KILL "$HOSTD_PID"
        echo "hostd did not stop" >&2
        tail -n 20 "$LOG" >&2
        return 1
    fi
    wait "$HOSTD_PID" 2>/dev/null || return 0
}

# service NAME FILTER: a field of a service as ps --json shows it.
service() { "$HOSTD" ps --app "$APP" --json | jq -r --arg name "$1" ".services[] | select(.name == \$name) | $2"; }
init_pid() { service "$1" .init_pid; }
service_pid() { service "$1" .service_pid; }

# As root of the service's user namespace, with every capability in it, on its wires.  A program of ours goes in by
# descriptor: the checkout may lie below a folder that only the host's root may enter.
in_service() {
    local pid program=$2
    pid=$(init_pid "$1")
    shift 2
    case $program in
    */*) nsenter --user --net --target "$pid" /proc/self/fd/9 "$@" 9<"$program" ;;
    *) nsenter --user --net --target "$pid" "$program" "$@" ;;
    esac
}
# As root of the host on the service's wires: more than anything inside can ever be.
as_host_in() {
    local pid
    pid=$(init_pid "$1")
    shift
    nsenter --net --target "$pid" "$@"
}

# link_field SERVICE PEER DIRECTION FILTER
link_field() { service "$1" ".links[] | select(.peer == \"$2\" and .direction == \"$3\") | $4"; }

# ---- the web ----

# fetch ARGUMENT...: curl; sets code, head (a file), body.
fetch() {
    head=$BATS_TEST_TMPDIR/head
    code=$(curl -sS --max-time 20 -o "$BATS_TEST_TMPDIR/body" -D "$head" -w '%{http_code}' "$@")
    # The command substitution would complain about NULs and cut line ends; pages hold none of the first.
    body=$(tr -d '\000' <"$BATS_TEST_TMPDIR/body")
}
header() { sed -nE "s/^$1: *(.*)\r$/\1/Ip" "$head"; }
jar() { echo "$BATS_FILE_TMPDIR/jar-$1"; }

# register NAME PASSWORD [JAR NAME]; log_in likewise.
register() {
    fetch -c "$(jar "${3:-$1}")" --data-urlencode "login_username=$1" --data-urlencode "login_password=$2" \
        -d submit_registration=Register "$Z/login"
}
log_in() {
    fetch -c "$(jar "${3:-$1}")" --data-urlencode "login_username=$1" --data-urlencode "login_password=$2" \
        -d submit_login=Login "$Z/login"
}
# as JAR NAME ARGUMENT...: fetch with that user's cookie.
as() {
    local who=$1
    shift
    fetch -b "$(jar "$who")" "$@"
}
# transfer JAR NAME RECIPIENT AMOUNT
transfer() {
    as "$1" --data-urlencode "recipient=$2" --data-urlencode "zoobars=$3" -d submission=Send "$Z/transfer"
}
# The balance that the home page shows to a user.
balance() {
    as "${1}" "$Z/"
    sed -nE 's/.*Balance:[^0-9-]*(-?[0-9]+) zoobars.*/\1/p' <<<"$body"
}

# generation_is NAME NUMBER: up again, in that generation.
generation_is() { [ "$(service "$1" '"\(.generation) \(.state)"')" = "$2 ready" ]; }

# A page that needs dispatcher, dynamic, auth, bank, person: and echo, static, profile by pages of their own.
everything_answers() {
    fetch "$Z/echo?s=hi" && [[ $code = 200 && $body == *"from dynamic"* ]] &&
        log_in carol secret && [ "$code" = 302 ] && [ "$(balance carol)" = 10 ] &&
        as carol "$Z/users?user=carol" && [[ $code = 200 && $body == *'id="profile"'* ]] &&
        fetch "$URL/favicon.ico" && [ "$code" = 200 ]
}

# A copy of a database that a service may be writing: opening the original would leave files of ours beside it.
database() {
    local copy
    copy=$(mktemp -d "$BATS_TEST_TMPDIR/db.XXXXXX")
    cp "$STATE/$1"* "$copy/"
    rm -f "$copy"/*-shm
    sqlite3 "$copy/$(basename "$1")" "$2"
}

# ---- what the machine holds ----

# Everything that a start makes, one line each: a stopped application leaves the same as was there before.  Control
# groups and run files are looked for by the application's name, so that another one that runs beside does not count.
machine_state() {
    find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -printf '%l %h\n' 2>/dev/null |
        grep -E "^$BUILD/(bin/|test-bin/rpcprobe)" | sed 's/^/process /' | sort
    ip -o link show | awk '{print "link " $2}' | sort
    awk '{print "mount " $5}' /proc/self/mountinfo | sort
    find /sys/fs/cgroup -type d -name "*$APP*" 2>/dev/null | sed 's/^/cgroup /' | sort
    nft list tables 2>/dev/null | sed 's/^/filter /' | sort
    find /run/hostd -mindepth 1 -maxdepth 1 -name "*$APP*" 2>/dev/null | sed 's/^/run /' | sort
}

# How many network namespaces the kernel holds, those too that no process is in: what a leaked descriptor keeps alive.
namespaces_alive() { awk '$1 == "net_namespace" {print $2}' /proc/slabinfo; }

# nothing_left FILE: the machine is as machine_state wrote it to FILE; the kernel may take a moment for wires.
nothing_left() {
    same_as() { machine_state | cmp -s - "$1"; }
    wait_until 15 same_as "$1" || { machine_state | diff "$1" - >&2; return 1; }
}
