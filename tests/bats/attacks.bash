# attacks.bash - what attacks.bats and attacks_weak.bats share: the table, the application that is attacked, the tries.
# shellcheck shell=bash disable=SC2034 # the suites use what is set here

TABLE=$ROOT/tests/attacks/README.md
WEAK=$BUILD/weak
ATTACK=$TOOLS/attack

# The rows of the table, one line each: ID<TAB>AS<TAB>REFUSED<TAB>SWITCHES<TAB>SUCCEEDS
table() {
    sed -nE 's/^\| ([A-Z][0-9]{2}[a-z]?) \| ([a-z]+) \| .* \| (.*) \| .* \| (.*) \| (.*) \|$/\1\t\2\t\3\t\4\t\5/p' "$TABLE"
}
# rows AS [SWITCHES]: the ids of the table that are tried so (with these switches).
rows() { table | awk -F'\t' -v as="$1" -v switches="${2-}" '$2 == as && (switches == "" || $4 == switches) {print $1}'; }

toml_list() {
    local word comma=
    for word; do
        printf '%s"%s"' "$comma" "$word"
        comma=', '
    done
}

# What is attacked: two attackers with every kind of link between them and two witnesses.
#
#     bare ──▶ witness ◀── keeper        keeper has data, files of the host, and a sibling `den` with data of its own
#     bare ──▶ middle ──▶ witness        bare ◀──▶ keeper
#
# attacks_toml WITNESS SWITCHES BARE-ROWS KEEPER-ROWS: the list, in $PLACE/attacks.toml.
attacks_toml() {
    local witness=$1 with=",$2," data='data = ["box"]' den='data = ["den"]'
    # Namespaces that the data's owners do not fit: the rows of those switches need no data.
    [[ $with != *,nesting,* ]] || witness+=-nested
    [[ $with != *,netns-owner,* ]] || data='' den=''
    {
        cat <<TOML
[app]
name = "attacks"

[service.bare]
exec = "$ATTACK"
[service.bare.config]
rows = [$3]
args.back = "10.0.0.8"

[service.keeper]
exec = "$ATTACK"
$data
files = [{ from = "$PLACE/launcher", to = "/launcher" }, { from = "$PLACE/setuid", to = "/setuid" },
    { from = "$PLACE/capable", to = "/capable" }]
[service.keeper.config]
rows = [$4]
args.shm = "$HOST_PORT"
args.name = "$(basename "$PLACE")"
args.hostname = "$(uname -n)"
args.toml = "$PLACE/attacks.toml"
args.state = "$PLACE/state"
args.run = "/run/hostd"

[service.den]
exec = "$ATTACK"
$den
TOML
        # One network namespace for all has no place for links.
        [[ $with == *,net-namespace,* ]] || cat <<TOML

[service.witness]
exec = "$witness"
[service.middle]
exec = "$witness"

[[link]]
from = "bare"
to = "witness"
allow = ["Witness.Note", "Witness.Hold"]
[[link]]
from = "bare"
to = "middle"
allow = ["Witness.Relay"]
[[link]]
from = "middle"
to = "witness"
allow = ["Witness.Note"]
[[link]]
from = "keeper"
to = "witness"
allow = ["Witness.Note", "Witness.Hold", "Witness.Nest"]
[[link]]
from = "keeper"
to = "bare"
allow = ["Witness.Note"]
[[link]]
from = "bare"
to = "keeper"
allow = ["Witness.Note"]
TOML
    } >"$PLACE/attacks.toml"
}

# What lies around the application: files, a shared mount, shared memory, listeners of the host.  $PLACE can be read by
# everybody: what keeps a service away must not be a mode of ours.
place_make() {
    PLACE=$(mktemp -d /tmp/attacks-XXXXXX)
    STATE=$PLACE/state
    chmod 755 "$PLACE"
    mkdir -p "$STATE/box" "$STATE/den" "$PLACE/flow"
    chmod 700 "$STATE/box" "$STATE/den"
    install -m 0777 "$ATTACK" "$PLACE/launcher"
    install -m 0755 "$ATTACK" "$PLACE/setuid"
    install -m 0755 "$ATTACK" "$PLACE/capable"
    ln -s /.. "$STATE/box/up"
    ln -s /bin/keeper "$STATE/box/link"
    echo inside >"$STATE/box/marker"
    mount -t tmpfs attacks "$PLACE/flow"
    mount --make-shared "$PLACE/flow"
    mkdir "$PLACE/flow/sub"
    HOST_PORT=$(free_port)
    SIBLING_PORT=$((HOST_PORT + 1))
    : >"$PLACE/listen"
    : >"$PLACE/sibling"
    "$ATTACK" --listen "$HOST_PORT" "$(basename "$PLACE")" >"$PLACE/listen" 3>&- &
    HOST_PID=$!
    export PLACE STATE HOST_PORT SIBLING_PORT HOST_PID
    wait_until 5 grep -q listening "$PLACE/listen"
}
place_remove() {
    kill "$HOST_PID"
    umount "$PLACE/flow/sub" 2>/dev/null || true
    umount "$PLACE/flow"
    rm -rf "${PLACE:?}"
}

# powerful_files: of the service's root, one is setuid and the other gives capabilities.
powerful_files() {
    local base
    base=$(awk 'NR == 1 {print $2}' "/proc/$(init_pid keeper)/uid_map")
    chown "$base:$base" "$PLACE/setuid"
    chmod 4755 "$PLACE/setuid"
    "$ATTACK" --give-capabilities "$PLACE/capable" "$base"
}

# What a sibling has, as the root of its namespaces: sockets, ipc objects, a keyring.
sibling_start() {
    local pid user=()
    pid=$(init_pid den)
    [ /proc/self/ns/user -ef "/proc/$pid/ns/user" ] || user=(--user)
    nsenter "${user[@]}" --net --ipc --target "$pid" /proc/self/fd/9 --listen "$SIBLING_PORT" "$(basename "$PLACE")-den" \
        9<"$ATTACK" >"$PLACE/sibling" 3>&- &
    SIBLING_PID=$!
    export SIBLING_PID
    wait_until 5 grep -q listening "$PLACE/sibling"
}
# Before the application is stopped: it would keep the sibling's namespaces.
sibling_stop() {
    kill "$SIBLING_PID"
    wait_until 5 gone "$SIBLING_PID"
}

# After the start: the host mounts something more, files get their owners, a sibling gets something to hide.
place_after_start() {
    powerful_files
    sibling_start
    mountpoint -q "$PLACE/flow/sub" || mount -t tmpfs attacks "$PLACE/flow/sub"
    touch "$PLACE/flow/sub/marker"
}

# What root and wire rows need to know.
attack_arguments() {
    echo "hostd=$HOSTD_PID" "port=$HOST_PORT" "name=$(basename "$PLACE")" "control=/run/hostd/$APP/control" "flow=$PLACE/flow/sub" \
        "shm-of-sibling=$SIBLING_PORT" "name-of-sibling=$(basename "$PLACE")-den" "keyring=$(sed 's/listening //' "$PLACE/sibling")"
    "$HOSTD" ps --app "$APP" --json | jq -r '
        def wire($service; $peer; $direction):
            .services[] | select(.name == $service) | .links[] | select(.peer == $peer and .direction == $direction);
        "sibling=\(.services[] | select(.name == "den") | .service_pid)",
        "own=\(wire("keeper"; "witness"; "out") | .address)",
        "dev=\(wire("keeper"; "witness"; "out") | .interface)",
        "peer=\(wire("witness"; "keeper"; "in") | .address)",
        "other=\(wire("witness"; "bare"; "in") | .address)",
        "others=\(wire("bare"; "witness"; "out") | .address)",
        "back=\(wire("bare"; "keeper"; "out") | .address)"'
}

# try_as AS ROW ...: lines "ROW refused: ..." or "ROW SUCCEEDED: ...".
try_as() {
    local as=$1 arguments
    shift
    [ $# -gt 0 ] || return 0
    read -ra arguments <<<"$(attack_arguments | tr '\n' ' ') ${EXTRA-}"
    case $as in
    # hostd exec refuses to enter a service that shares a namespace with the host, as some switches make it.
    root) if [ "$HOSTD" != "$BUILD/bin/hostd" ] && [[ ,${HOSTD_WEAKEN-}, =~ ,(user|pid|net|ipc)-namespace, ]]; then
        "$ATTACK" --enter "$(init_pid keeper)" "$@" "${arguments[@]}"
    else
        "$HOSTD" exec --app "$APP" --as-root keeper -- "$ATTACK" "$@" "${arguments[@]}"
    fi ;;
    wire) "$ATTACK" --wire "$(init_pid keeper)" "$@" "${arguments[@]}" ;;
    esac || [ $? = 10 ]
}

# result_in FILE ROW: what the last line of the row says behind its name.
result_in() { sed -nE "s/^([a-z]+ +\| )?$2 (refused|SUCCEEDED): /\2: /p" "$1" | tail -n 1; }
