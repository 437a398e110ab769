#!/usr/bin/env bats
# call.bats - hostd call: the operator is a caller with a list of its own; JSON in and out; nobody can hold it up.
# shellcheck shell=bash

load helpers

setup_file() {
    zoobar_toml "$BATS_FILE_TMPDIR/app.toml" 's|^exec   = "echo"|&\noperator = ["Echo.Say"]|'
    cat >>"$BATS_FILE_TMPDIR/app.toml" <<EOF
[service.probe]
exec = "$TOOLS/rpc-probe"
operator = ["Rpc_probe.Say", "Rpc_probe.Sleep", "Rpc_probe.Big"]
[service.gone]
exec = "$TOOLS/rpc-probe"
restart = "never"
EOF
    app_start "$BATS_FILE_TMPDIR/app.toml"
    register alice secret
}
teardown_file() { app_stop; }

call() { "$HOSTD" call --app "$APP" "$@"; }
list_line() { grep -n "^\[service\.$1\]" "$BATS_FILE_TMPDIR/app.toml" | cut -d: -f1; }
denied_by_operator() { [ "$("$HOSTD" events --app "$APP" --json | jq -c 'select(.type == "denied" and .caller == "operator") | [.callee, .method]' | tail -n 1)" = "$1" ]; }

@test "JSON in, JSON out" {
    run -0 call bank Bank.Balance '{"username": "alice"}'
    assert_equal "$(jq -c . <<<"$output")" '{"zoobars":10}'
    run -0 bash -c '"$HOSTD" call --app "$APP" bank Bank.Balance - <<<"{\"username\": \"alice\"}" | jq .zoobars'
    assert_output 10
}

@test "the callee sees the caller operator, in every generation of its own" {
    run -0 call echo Echo.Say '{"text": "caf\u00e9 \u001b[2J"}'
    assert_equal "$(jq -r .caller <<<"$output")" operator
    assert_equal "$(jq -r .text <<<"$output")" $'caf\xc3\xa9 \x1b[2J'
    run grep -cP '[\x00-\x09\x0b-\x1f]' <<<"$output" # shown as \u001B
    assert_output 0
    kill -KILL "$(service_pid echo)"
    again() { [ "$(service echo .generation)" = 2 ] && [ "$(service echo .state)" = ready ]; }
    wait_until 10 again
    run -0 call echo Echo.Say '{}'
    assert_equal "$(jq -c '[.caller, .generation]' <<<"$output")" '["operator",1]'
}

@test "a method that is not on the service's list is PERMISSION_DENIED before its handler, and an event" {
    run -1 call bank Bank.TransferAsOwner '{"owner": "alice", "recipient": "alice", "zoobars": 1}'
    assert_output --partial "PERMISSION_DENIED: operator may not call Bank.TransferAsOwner"
    assert_output --partial "app.toml:$(list_line bank)"
    wait_until 10 denied_by_operator '["bank","Bank.TransferAsOwner"]'
    run -0 "$HOSTD" events --app "$APP"
    assert_output --regexp "'operator' called Bank.TransferAsOwner of 'bank', which the operator list does not allow .*app.toml:$(list_line bank)\)"
    run "$HOSTD" logs --app "$APP" bank # what a handler got into would say more
    assert_output --partial "denied: operator asked for Bank.TransferAsOwner"
}

@test "wrong words are exit code 2, with the near name, and nothing is called" {
    run -2 call bank Bank.Balanse '{"username": "alice"}'
    assert_output --partial "did you mean 'Bank.Balance'?"
    run -2 call bank Balance '{}'
    assert_output --partial "did you mean 'Bank.Balance'?"
    run -2 call bank Bank.Balance '{"usernam": "alice"}'
    assert_output --partial "BankBalanceRequest has no field 'usernam' (did you mean 'username'?)"
    run -2 call bank Bank.Balance '{"username": 1}'
    assert_output --partial "field username is no string"
    run -2 call bank Bank.Balance '{"username": "a", "username": "b"}'
    assert_output --partial "duplicate"
    run -2 call bank Bank.Balance '{"username"'
    assert_output --partial "line 1, column"
    run -2 call bnk Bank.Balance '{}'
    assert_output --partial "did you mean 'bank'?"
    run -2 call --timeout 0 bank Bank.Balance '{}'
    run -2 call
    run -1 "$HOSTD" call --app "$APP-2" bank Bank.Balance '{}'
    assert_output --partial "does not run"
}

@test "a failure of the method is its status by name, and exit code 1" {
    run -1 call bank Bank.Balance '{"username": "nobody"}'
    assert_output --partial "Bank.Balance of 'bank': NOT_FOUND"
    begin=$SECONDS
    run -1 call --timeout 1 probe Rpc_probe.Sleep '{"ms": 8000}'
    assert_output --partial "ABORTED: cut short" # the handler knows the deadline
    [ $((SECONDS - begin)) -lt 6 ]
    run -1 call probe Rpc_probe.Big '{"count": 1500000}'
    assert_output --partial "INTERNAL"
}

@test "--list shows the interfaces, their fields, and what the operator may call" {
    run -0 call --list bank
    assert_line '* Bank.Balance         {username: string} -> {zoobars: int64}'
    assert_line --partial '- Bank.Log             {username: string} -> {entries: [{sender: string, '
    assert_line --partial "app.toml:$(list_line bank)"
    assert_equal "$(call probe)" "$(call --list probe)"
    run -0 call --list
    assert_line bank
    assert_line '* Echo.Say {text: string} -> {text: string, caller: string, generation: uint32}'
    [ "$(grep -c 'the operator may call it, -' <<<"$output")" -ge 8 ]
    run -0 call dynamic
    assert_line --partial '- Web.Handle '
}

@test "what speaks with the service is nobody, without capabilities, under a filter" {
    "$HOSTD" call --app "$APP" probe Rpc_probe.Sleep '{"ms": 6000}' >/dev/null 3>&- &
    caller=$!
    confined() { grep -q '^Seccomp:.*2' "/proc/$caller/status"; }
    wait_until 5 confined
    run cat "/proc/$caller/status"
    assert_line --regexp '^Uid:.65534.65534.65534.65534$'
    assert_line --regexp '^Gid:.65534.65534.65534.65534$'
    assert_line --regexp '^CapEff:.0000000000000000$'
    assert_line --regexp '^NoNewPrivs:.1$'
    kill "$caller"
}

@test "many at once: each is served or told so; who says nothing holds no slot" {
    for i in $(seq 24); do call bank Bank.Balance '{"username": "alice"}' >"$BATS_TEST_TMPDIR/out.$i" 2>&1 3>&- & done
    wait
    served=$(grep -l '"zoobars": 10' "$BATS_TEST_TMPDIR"/out.* | wc -l)
    refused=$(grep -l 'UNAVAILABLE: the service closed the connection' "$BATS_TEST_TMPDIR"/out.* | wc -l)
    assert_equal "$((served + refused))" 24
    [ "$served" -ge 6 ]
    # Two connections take both slots and say nothing, for as long as they live.
    python3 - "/run/hostd/$APP/control" >"$BATS_TEST_TMPDIR/held" 3>&- <<'EOF' &
import array, socket, sys, time
held = []
for _ in range(2):
    control = socket.socket(socket.AF_UNIX)
    control.connect(sys.argv[1])
    control.send(b"operator bank\n")
    _, ancillary, _, _ = control.recvmsg(256, socket.CMSG_SPACE(4))
    held.append(socket.socket(fileno=array.array("i", ancillary[0][2])[0]))
held[0].send(b"\x01")
print("held", flush=True)
time.sleep(60)
EOF
    holder=$!
    is_held() { grep -q held "$BATS_TEST_TMPDIR/held"; }
    wait_until 10 is_held
    run -0 call bank Bank.Balance '{"username": "alice"}'
    assert_equal "$(jq .zoobars <<<"$output")" 10
    kill "$holder"
}

@test "a service that is not up is said to be so" {
    kill -STOP "$(service_pid probe)"
    run -1 call --timeout 1 probe Rpc_probe.Say '{}'
    assert_output --partial "DEADLINE_EXCEEDED: no answer within"
    kill -CONT "$(service_pid probe)"
    kill -KILL "$(service_pid gone)"
    ended() { [ "$(service gone .init_pid)" = null ]; }
    wait_until 10 ended
    run -1 call gone Rpc_probe.Say '{}'
    assert_output --partial "service 'gone' is failed; to start it: hostd restart gone (last end: was killed by signal 9"
    run -0 call --list gone
    run -0 call probe Rpc_probe.Say '{"text": "still here", "items": [{"text": "x", "number": "18446744073709551615"}]}'
    assert_output --partial '"still here"'
}

@test "hostd killed, and the next one adopts: the operator is served again, and counts go on" {
    counted() { "$HOSTD" ps --app "$APP" --json | jq -r '.services[] | select(.name == "bank") | .operator.denied_calls'; }
    before=$(counted)
    [ "$before" -ge 1 ]
    pid=$(service_pid bank)
    kill -KILL "$(cat "$BATS_FILE_TMPDIR/hostd.pid")"
    wait_until 10 gone "$(cat "$BATS_FILE_TMPDIR/hostd.pid")"
    run -1 call bank Bank.Balance '{"username": "alice"}'
    assert_output --partial "its hostd has died"
    run -0 call --list bank # needs no hostd
    "$HOSTD" start "$BATS_FILE_TMPDIR/app.toml" --name "$APP" --state-dir "$STATE" --listen "http=127.0.0.1:$PORT" >"$LOG" 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/hostd.pid"
    adopted() { grep -q 'is adopted' "$LOG" && "$HOSTD" ps --app "$APP" >/dev/null 2>&1; }
    wait_until 20 adopted
    assert_equal "$(service_pid bank)" "$pid"
    run -0 call bank Bank.Balance '{"username": "alice"}'
    run -1 call bank Bank.Open '{"username": "alice"}'
    more() { [ "$(counted)" -eq $((before + 1)) ]; }
    wait_until 10 more
}

@test "plain mode: the same" {
    app_stop
    app_start "$BATS_FILE_TMPDIR/app.toml" --plain
    run -0 call echo Echo.Say '{"text": "hi"}'
    assert_equal "$(jq -c '[.text, .caller]' <<<"$output")" '["hi","operator"]'
    run -1 call bank Bank.Log '{"username": "alice"}'
    assert_output --partial "PERMISSION_DENIED"
}
