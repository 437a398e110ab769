#!/usr/bin/env bats
# Who reaches whom: every pair of services, both directions, TCP, UDP and ICMP, from inside the services.
#
#     dispatcher ─▶ static            ─▶ a link: its own wire, TCP to one port, opened from the left
#     dispatcher ─▶ dynamic ─▶ auth, bank, person, profile, echo
#     bank ─▶ auth ◀─ person          no arrow: no wire at all
#     profile ─▶ bank, person
#
# Expected is computed from the eleven links alone: at the far end of one's own outgoing link TCP to the declared port
# opens; every other packet on a wire is dropped (timeout); an address that is at the end of no wire of one's own is
# unreachable.  All of it is tried twice: as root of the service's user namespace, with every capability in it, and as
# root of the host in the service's network namespace, which more than any attacker inside can be.
load helpers

PORT_OF_LINKS=7000
TIMEOUT_MS=1200

setup_file() {
    app_start
    # NAME PEER DIRECTION INTERFACE ADDRESS, one line per end of a wire.
    "$HOSTD" ps --app "$APP" --json |
        jq -r '.services[] | .name as $n | .links[] | [$n, .peer, .direction, .interface, .address] | join(" ")' \
            >"$BATS_FILE_TMPDIR/ends"
}
teardown_file() { app_stop; }

# expected SERVICE ADDRESS PROTOCOL PORT: what a try of SERVICE at ADDRESS must give.
expected() {
    local owner peer direction address
    while read -r owner peer direction _ address; do
        if [ "$address" != "$2" ] || [ "$peer" != "$1" ]; then continue; fi
        if [ "$direction" = in ] && [ "$3" = tcp ] && [ "$4" = $PORT_OF_LINKS ]; then echo open; else echo timeout; fi
        return
    done <"$BATS_FILE_TMPDIR/ends"
    echo ENETUNREACH
}

# matrix HOW: tries every address of every other service from every service; prints what is not as expected.
matrix() {
    local how=$1 name owner address protocol port result want tries=0 wrong=0
    for name in "${SERVICES[@]}"; do
        while read -r owner _ _ _ address; do
            [ "$owner" != "$name" ] || continue
            printf 'tcp %s %s\n' "$address" $PORT_OF_LINKS "$address" 22 "$address" 80 "$address" 8080 "$address" 65535
            printf 'udp %s %s\n' "$address" $PORT_OF_LINKS "$address" 53
            printf 'icmp %s 0\n' "$address"
        done <"$BATS_FILE_TMPDIR/ends" >"$BATS_TEST_TMPDIR/probes"
        "$how" "$name" "$TOOLS/netprobe" $TIMEOUT_MS <"$BATS_TEST_TMPDIR/probes" >"$BATS_TEST_TMPDIR/results"
        while read -r protocol address port result; do
            tries=$((tries + 1))
            want=$(expected "$name" "$address" "$protocol" "$port")
            # A raw socket is refused to the service's own root before any packet: its network is the host's.
            if [ "$protocol $how" = "icmp in_service" ]; then want=EPERM; fi
            [ "$result" = "$want" ] || {
                echo "$name -> $address $protocol $port: $result, expected $want"
                wrong=$((wrong + 1))
            }
        done <"$BATS_TEST_TMPDIR/results"
    done
    echo "$tries tries" >&2
    [ $tries = 1232 ] && [ $wrong = 0 ] # 8 services, 22 ends less one's own, 8 tries each
}

@test "ps shows two ends for each of the eleven links, and no other wire" {
    assert_equal "$(wc -l <"$BATS_FILE_TMPDIR/ends")" 22
    assert_equal "$(awk '$3 == "out" {print $1 ":" $2}' "$BATS_FILE_TMPDIR/ends" | sort)" "$(printf '%s\n' "${LINKS[@]}" | sort)"
    assert_equal "$(awk '$3 == "in" {print $2 ":" $1}' "$BATS_FILE_TMPDIR/ends" | sort)" "$(printf '%s\n' "${LINKS[@]}" | sort)"
}

@test "each service's namespace holds its wires and a loopback that is down, nothing else" {
    for name in "${SERVICES[@]}"; do
        run as_host_in "$name" ip -o link show
        assert_success
        ends=$(grep -c "^$name " "$BATS_FILE_TMPDIR/ends")
        assert_equal "$name ${#lines[@]}" "$name $((ends + 1))"
        run as_host_in "$name" ip -o link show dev lo
        refute_output --partial ',UP'
        refute_output --partial '<UP'
    done
}

@test "every cell of the matrix, from inside as root of the service's namespaces" {
    run matrix in_service
    assert_success
}

@test "every cell of the matrix, as root of the host on the service's wires" {
    run matrix as_host_in
    assert_success
}

@test "a socket bound to one's own wire reaches no address but the declared one" {
    local name address interface owner peer direction result
    while read -r owner peer direction interface _; do
        while read -r other _ _ _ address; do
            [ "$other" = "$owner" ] || printf 'tcp %s %s dev=%s\n' "$address" $PORT_OF_LINKS "$interface"
        done <"$BATS_FILE_TMPDIR/ends" >"$BATS_TEST_TMPDIR/probes"
        in_service "$owner" "$TOOLS/netprobe" 700 <"$BATS_TEST_TMPDIR/probes" >"$BATS_TEST_TMPDIR/results"
        opened=$(awk '$NF == "open" {print $2}' "$BATS_TEST_TMPDIR/results")
        declared=
        if [ "$direction" = out ]; then
            declared=$(awk -v a="$peer" -v b="$owner" '$1 == a && $2 == b && $3 == "in" {print $5}' "$BATS_FILE_TMPDIR/ends")
        fi
        assert_equal "$owner by $interface: $opened" "$owner by $interface: $declared"
    done <"$BATS_FILE_TMPDIR/ends"
}

@test "the host, its loopback, the internet and the metadata address are unreachable from every service" {
    host=$(ip -4 -o addr show scope global | awk '{sub("/.*", "", $4); print $4; exit}')
    for name in "${SERVICES[@]}"; do
        for address in 127.0.0.1 169.254.169.254 192.0.2.1 ${host:+"$host"}; do
            printf 'tcp %s %s\n' "$address" "$PORT" "$address" 22 "$address" 80
            printf 'udp %s 53\n' "$address"
        done >"$BATS_TEST_TMPDIR/probes"
        run in_service "$name" "$TOOLS/netprobe" $TIMEOUT_MS <"$BATS_TEST_TMPDIR/probes"
        assert_success
        refute_output --partial open
        refute_output --partial timeout # not even a packet
    done
}

@test "packets that are refused are counted at the end that they came to" {
    address=$(awk '$1 == "bank" && $2 == "dynamic" {print $5}' "$BATS_FILE_TMPDIR/ends")
    before=$(link_field bank dynamic in .denied)
    echo "udp $address 53" | in_service dynamic "$TOOLS/netprobe" 100
    after=$(link_field bank dynamic in .denied)
    [ "$after" -gt "$before" ]
}

@test "there is no IPv6 on any wire" {
    for name in "${SERVICES[@]}"; do
        run as_host_in "$name" ip -6 -o addr show
        assert_output ""
    done
}

@test "wires do not speak ARP, and their neighbours are permanent" {
    while read -r owner _ _ interface _; do
        run as_host_in "$owner" ip -o link show dev "$interface"
        assert_output --partial NOARP
        run as_host_in "$owner" ip neigh show dev "$interface"
        assert_output --partial PERMANENT
        assert_equal "${#lines[@]}" 1
    done <"$BATS_FILE_TMPDIR/ends"
}

@test "the sysctls that services rely on are written in every namespace" {
    for name in "${SERVICES[@]}"; do
        # /proc/sys/net shows the namespace of whoever opens it.
        values=$(as_host_in "$name" sysctl -n net.ipv4.ip_forward net.ipv4.conf.all.accept_source_route \
            net.ipv4.conf.all.route_localnet net.ipv4.tcp_fastopen net.ipv4.tcp_congestion_control | tr '\n' ' ')
        assert_equal "$name $values" "$name 0 0 0 0 reno "
    done
}

@test "the service's root cannot change its own wires: links, addresses, routes, filters" {
    for name in dynamic bank static; do
        interface=$(awk -v n="$name" '$1 == n {print $4; exit}' "$BATS_FILE_TMPDIR/ends")
        while read -r command; do
            # shellcheck disable=SC2086 # words
            run in_service "$name" $command
            [ "$status" != 0 ] && [[ $output == *"not permitted"* || $output == *"permission denied"* ]] || {
                echo "$name: $command: status $status: $output"
                return 1
            }
        done <<COMMANDS
ip link set $interface down
ip link set $interface address 02:00:00:00:00:01
ip link set $interface arp on
ip link delete $interface
ip link add dummy0 type dummy
ip addr add 10.99.99.1/24 dev $interface
ip route add default dev $interface
ip neigh replace 10.0.0.200 lladdr 02:00:00:00:00:01 dev $interface nud permanent
nft flush ruleset
nft add table inet mine
sysctl -w net.ipv4.ip_forward=1
COMMANDS
    done
}

@test "without its filter and with ARP the same wire would carry more: the filter is what stops it" {
    # Red when the probe could not tell the difference: the host opens what no service can.
    address=$(awk '$1 == "echo" && $2 == "dynamic" {print $5}' "$BATS_FILE_TMPDIR/ends")
    run in_service dynamic "$TOOLS/netprobe" 300 <<<"udp $address 53"
    assert_output --partial timeout
    as_host_in echo nft flush ruleset
    as_host_in dynamic nft flush ruleset
    run in_service dynamic "$TOOLS/netprobe" 300 <<<"udp $address 53"
    assert_output --partial ECONNREFUSED
}
