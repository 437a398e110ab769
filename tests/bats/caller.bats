#!/usr/bin/env bats
# The caller is the link: nobody can make the bank see "profile" but a call that comes in over profile's own wire.
#
#     dynamic ──▶ bank ◀── profile      what must fail: from dynamic's namespaces, be taken for profile
#                 │
#                 ▼
#                auth                   the oracle: Bank.TransferAsOwner, which moves money for profile only
#
# In this application dynamic and profile are run by rpcprobe, which makes the calls that a test lists, and the link
# dynamic → bank is widened by TransferAsOwner: here only the bank's own code stands between.
load helpers

# caller_toml ALLOW_DYNAMIC DYNAMIC_CALLS PROFILE_CALLS
caller_toml() {
    cat <<TOML
[app]
name = "caller"

[service.auth]
exec = "auth"
data = ["cred"]
memory = "192M"

[service.bank]
exec = "bank"
data = ["bank"]
[service.bank.config]
opening_balance = 1000

[service.dynamic]
exec = "$TOOLS/rpcprobe"
[service.dynamic.config]
calls = [$2]

[service.profile]
exec = "$TOOLS/rpcprobe"
[service.profile.config]
calls = [$3]

[[link]]
from = "dynamic"
to = "auth"
allow = ["Auth.Register"]

[[link]]
from = "dynamic"
to = "bank"
allow = [$1]

[[link]]
from = "profile"
to = "bank"
allow = ["Bank.Balance", "Bank.Log", "Bank.TransferAsOwner"]

[[link]]
from = "bank"
to = "auth"
allow = ["Auth.Check"]
TOML
}

open_accounts='"auth Auth.Register username=alice password=secret", "bank Bank.Open username=alice token=$token",
 "auth Auth.Register username=bob password=secret", "bank Bank.Open username=bob token=$token"'
wide='"Bank.Open", "Bank.Balance", "Bank.Transfer", "Bank.Log", "Bank.TransferAsOwner"'
narrow='"Bank.Open", "Bank.Balance", "Bank.Transfer", "Bank.Log"'
steal='owner=alice recipient=bob zoobars=5 key'

setup_file() {
    caller_toml "$wide" "$open_accounts, \"bank Bank.TransferAsOwner $steal=dynamic-dynamic-\", \"bank Bank.Balance username=alice\"" \
        "\"until bank Bank.Balance username=bob\", \"bank Bank.TransferAsOwner $steal=profile-profile-\"" \
        >"$BATS_FILE_TMPDIR/caller.toml"
    app_start "$BATS_FILE_TMPDIR/caller.toml"
    both_done() { [ "$(grep -c 'rpcprobe: done' "$LOG")" = 2 ]; }
    wait_until 30 both_done || { cat "$LOG" >&2; return 1; }
    BANK_FOR_DYNAMIC=$(link_field bank dynamic in .address)
    BANK_FOR_PROFILE=$(link_field bank profile in .address)
    OWN_OF_DYNAMIC=$(link_field dynamic bank out .address)
    OWN_OF_PROFILE=$(link_field profile bank out .address)
    WIRE_OF_DYNAMIC=$(link_field dynamic bank out .interface)
    export BANK_FOR_DYNAMIC BANK_FOR_PROFILE OWN_OF_DYNAMIC OWN_OF_PROFILE WIRE_OF_DYNAMIC
}
teardown_file() { app_stop; }

# What alice has, as the bank says to profile over profile's wire.
alice_has() {
    in_service profile "$TOOLS/forge" "$BANK_FOR_PROFILE" 7000 Bank.Balance username=alice | sed -nE 's/^OK zoobars=//p'
}

# forged HOW OPTION ... ADDRESS: a forged TransferAsOwner; prints what it got; fails when money moved.
forged() {
    local how=$1 before after
    shift
    before=$(alice_has)
    [ -n "$before" ] || { echo "no balance"; return 1; }
    "$how" dynamic "$TOOLS/forge" --timeout 700 "$@" 7000 Bank.TransferAsOwner owner=alice recipient=bob zoobars=3 \
        "key=$(head -c 8 /dev/urandom | od -An -tx1 | tr -d ' \n')"
    after=$(alice_has)
    [ "$before" = "$after" ] || { echo "MONEY MOVED: $before, then $after"; return 1; }
}

@test "profile moves its owner's money over its own link" {
    run grep -E '^profile.*rpcprobe: Bank.TransferAsOwner' "$LOG"
    assert_output --regexp 'TransferAsOwner OK zoobars=99[0-9]$'
}

@test "dynamic is refused by the bank's own code although its link's list was widened" {
    run grep -E '^dynamic.*rpcprobe: Bank.TransferAsOwner' "$LOG"
    assert_output --partial 'TransferAsOwner PERMISSION_DENIED'
    run grep -cE '^(dynamic|profile).*rpcprobe: Bank.TransferAsOwner OK' "$LOG"
    assert_output 1
}

@test "a call from inside profile's namespaces over profile's wire is profile's" {
    before=$(alice_has)
    run in_service profile "$TOOLS/forge" "$BANK_FOR_PROFILE" 7000 Bank.TransferAsOwner owner=alice recipient=bob zoobars=2 \
        key=profile-by-hand-
    assert_output "OK zoobars=$((before - 2))"
    assert_equal "$(alice_has)" "$((before - 2))"
}

@test "the same call from inside dynamic's namespaces is dynamic's" {
    run forged in_service "$BANK_FOR_DYNAMIC"
    assert_success
    assert_output --partial PERMISSION_DENIED
}

# What a packet that nobody takes comes to: dropped on the wire, or no route that would carry it.
no_way='^connect: (timeout|ENETUNREACH|EHOSTUNREACH)$'

@test "as root of dynamic's namespaces: profile's address as source, over dynamic's wire" {
    run forged in_service --from "$OWN_OF_PROFILE" "$BANK_FOR_DYNAMIC"
    assert_success
    assert_output --regexp "$no_way"
    run forged in_service --from "$OWN_OF_PROFILE" --dev "$WIRE_OF_DYNAMIC" "$BANK_FOR_DYNAMIC"
    assert_success
    assert_output --regexp "$no_way"
}

@test "as root of dynamic's namespaces: the bank's address of profile's link" {
    run forged in_service "$BANK_FOR_PROFILE"
    assert_success
    assert_output --regexp "$no_way"
    run forged in_service --dev "$WIRE_OF_DYNAMIC" "$BANK_FOR_PROFILE"
    assert_success
    assert_output --regexp "$no_way"
    run forged in_service --dev "$WIRE_OF_DYNAMIC" --from "$OWN_OF_PROFILE" "$BANK_FOR_PROFILE"
    assert_success
    assert_output --regexp "$no_way"
}

@test "as root of dynamic's namespaces: what would change the network is not permitted" {
    run forged in_service --transparent --from "$OWN_OF_PROFILE" "$BANK_FOR_DYNAMIC"
    assert_success
    assert_output 'IP_TRANSPARENT: EPERM'
    while read -r command; do
        # shellcheck disable=SC2086 # words
        run in_service dynamic $command
        assert_failure
        assert_output --partial 'Operation not permitted'
    done <<COMMANDS
ip addr add $OWN_OF_PROFILE/31 dev $WIRE_OF_DYNAMIC
ip route add $BANK_FOR_PROFILE/32 dev $WIRE_OF_DYNAMIC
ip link add veth0 type veth peer name veth1
nft flush ruleset
COMMANDS
}

@test "even with the host's root changing dynamic's addresses and routes, the bank does not see profile" {
    as_host_in dynamic ip addr add "$OWN_OF_PROFILE/32" dev "$WIRE_OF_DYNAMIC"
    as_host_in dynamic ip route add "$BANK_FOR_PROFILE/32" dev "$WIRE_OF_DYNAMIC"
    for how in in_service as_host_in; do
        for target in "$BANK_FOR_DYNAMIC" "$BANK_FOR_PROFILE"; do
            run forged $how --from "$OWN_OF_PROFILE" "$target"
            assert_success
            refute_output --regexp '^OK'
            run forged $how --dev "$WIRE_OF_DYNAMIC" "$target"
            assert_success
            refute_output --regexp '^OK'
        done
    done
    run forged as_host_in --transparent --from "$OWN_OF_PROFILE" --dev "$WIRE_OF_DYNAMIC" "$BANK_FOR_PROFILE"
    assert_success
    refute_output --regexp '^OK'
}

@test "with the filters of both ends flushed as well, the name is still the link's" {
    as_host_in dynamic nft flush ruleset
    as_host_in bank nft flush ruleset
    for target in "$BANK_FOR_DYNAMIC" "$BANK_FOR_PROFILE"; do
        for from in "$OWN_OF_DYNAMIC" "$OWN_OF_PROFILE"; do
            run forged as_host_in --dev "$WIRE_OF_DYNAMIC" --from "$from" "$target"
            assert_success
            refute_output --regexp '^OK'
        done
    done
    # And it was the way through, not a dead wire: as itself dynamic still gets the bank's answer.
    run forged as_host_in "$BANK_FOR_DYNAMIC"
    assert_output --partial PERMISSION_DENIED
}

@test "a link's list refuses the method before the bank's code is entered, and the denial is counted" {
    app_stop
    caller_toml "$narrow" "\"bank Bank.TransferAsOwner $steal=dynamic-narrow--\", \"bank Bank.Balance username=alice\"" '' \
        >"$BATS_FILE_TMPDIR/narrow.toml"
    app_start "$BATS_FILE_TMPDIR/narrow.toml"
    dynamic_done() { [ "$(grep -c 'rpcprobe: done' "$LOG")" = 2 ]; }
    wait_until 30 dynamic_done
    run grep -E '^dynamic.*rpcprobe: Bank.TransferAsOwner' "$LOG"
    assert_output --partial 'TransferAsOwner PERMISSION_DENIED'
    run grep -E '^dynamic.*rpcprobe: Bank.Balance OK' "$LOG"
    assert_success
    counted() { [ "$(link_field bank dynamic in .denied_calls)" = 1 ]; }
    wait_until 5 counted
    # One event that names link, method and the line of the list.
    line=$(grep -n -A2 '^\[\[link' "$BATS_FILE_TMPDIR/narrow.toml" | grep -B1 -A1 'from = "dynamic"' | grep -B2 'to = "bank"' |
        sed -n '1s/[:-].*//p')
    assert_equal "$(grep -cE "^bank +\| .*dynamic.*Bank\.TransferAsOwner.*line $line([^0-9]|$)" "$LOG")" 1
}

# ---- the same forgery against a callee that trusts addresses ----

# What a test below started, however it ended.
teardown() {
    # shellcheck disable=SC2086 # several pids
    if [ -n "${TRUSTING_PIDS:-}" ]; then kill $TRUSTING_PIDS || true; fi
}

# Three namespaces in which root owns the wires, as a design would make them that leaves the network to the service.
trusting_design() {
    for name in bank profile dynamic; do
        unshare --user --map-root-user --net sleep 300 3>&- &
        eval "pid_$name=$!"
        TRUSTING_PIDS+=" $!"
        own_namespace() { [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ] && grep -q . "/proc/$1/uid_map"; }
        wait_until 5 own_namespace $!
    done
    inside() { nsenter --user --net --target "$@"; } # not in the background: $! would be a shell's around it
    for name in profile dynamic; do
        eval "peer=\$pid_$name"
        nsenter --net --target "$pid_bank" ip link add name "${name}0" type veth peer name bank netns "$peer"
    done
}

@test "the forgery succeeds against a callee that takes the name from the address that the caller came to" {
    trusting_design
    inside "$pid_bank" bash -c 'ip link set lo up
        ip addr add 10.9.0.1/31 dev profile0; ip link set profile0 up
        ip addr add 10.9.0.3/31 dev dynamic0; ip link set dynamic0 up'
    inside "$pid_profile" bash -c 'ip addr add 10.9.0.0/31 dev bank; ip link set bank up'
    inside "$pid_dynamic" bash -c 'ip addr add 10.9.0.2/31 dev bank; ip link set bank up'
    nsenter --user --net --target "$pid_bank" "$TOOLS/addrtrust" 7000 10.9.0.1=profile 10.9.0.3=dynamic >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    TRUSTING_PIDS+=" $!"
    wait_until 5 grep -q listening "$BATS_TEST_TMPDIR/out"
    ask='exec 5<>/dev/tcp/$0/7000; cat <&5'
    honest=$(inside "$pid_dynamic" bash -c "$ask" 10.9.0.3)
    # The same steps that hostd's wires refuse: a route, to the other link's address, through one's own link.
    forged=$(inside "$pid_dynamic" bash -c "ip route add 10.9.0.1/32 dev bank; $ask" 10.9.0.1)
    assert_regex "$honest" 'by destination: dynamic'
    assert_regex "$forged" 'by destination: profile'
}

@test "the forgery succeeds against a callee that takes the name from the caller's address" {
    trusting_design
    # One network for all, as bridges make it.
    inside "$pid_bank" bash -c 'ip link add all0 type bridge; ip link set profile0 master all0; ip link set dynamic0 master all0
        ip addr add 10.9.0.1/24 dev all0; ip link set profile0 up; ip link set dynamic0 up; ip link set all0 up'
    inside "$pid_profile" bash -c 'ip addr add 10.9.0.2/24 dev bank; ip link set bank up'
    inside "$pid_dynamic" bash -c 'ip addr add 10.9.0.3/24 dev bank; ip link set bank up'
    nsenter --user --net --target "$pid_bank" "$TOOLS/addrtrust" 7000 10.9.0.2=profile 10.9.0.3=dynamic >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    TRUSTING_PIDS+=" $!"
    wait_until 5 grep -q listening "$BATS_TEST_TMPDIR/out"
    ask='exec 5<>/dev/tcp/10.9.0.1/7000; cat <&5'
    honest=$(inside "$pid_dynamic" bash -c "$ask")
    # Profile's address instead of one's own; the callee asks who has it, and the first answer counts: try until it is ours.
    inside "$pid_dynamic" bash -c 'ip addr flush dev bank; ip addr add 10.9.0.2/24 dev bank'
    taken_for_profile() {
        nsenter --net --target "$pid_bank" ip neigh flush dev all0
        forged=$(inside "$pid_dynamic" timeout 2 bash -c "$ask" 2>/dev/null)
        [[ $forged == *"by source: profile"* ]]
    }
    wait_until 20 taken_for_profile && result=0 || result=1
    assert_regex "$honest" 'by source: dynamic'
    assert_equal "$result" 0
}
