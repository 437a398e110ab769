#!/usr/bin/env bats
# Money: the total never changes, and what was acknowledged is on disk, once, whatever dies.
#
# Every transfer has an amount of its own, so that a row of the bank's log says which transfer it is.
load helpers

USERS=(anna bert cleo dora emil)
EACH=10000000

setup_file() {
    # Rich users: a thousand different amounts must fit.
    zoobar_toml "$BATS_FILE_TMPDIR/rich.toml" "s|^opening_balance = 10$|opening_balance = $EACH|"
    grep -q "opening_balance = $EACH" "$BATS_FILE_TMPDIR/rich.toml"
    app_start "$BATS_FILE_TMPDIR/rich.toml"
    for user in "${USERS[@]}"; do register "$user" secret; done
}
teardown_file() { app_stop; }

cookie_of() { awk '$6 == "PyZoobarLogin" {print $7}' "$(jar "$1")"; }

# shoot FIRST LAST: transfers with those amounts, random users, 40 at once; answers in $BATS_TEST_TMPDIR/answer.AMOUNT.
shoot() {
    local amount from to i cookies=()
    for i in "${!USERS[@]}"; do cookies[i]=$(cookie_of "${USERS[i]}"); done
    for ((amount = $1; amount <= $2; amount++)); do
        from=$((RANDOM % 5)) to=$(((from + 1 + RANDOM % 4) % 5))
        [ "$amount" = "$1" ] || echo next
        printf 'url = "%s/transfer"\nheader = "Cookie: PyZoobarLogin=%s"\n' "$Z" "${cookies[from]}"
        printf 'data = "recipient=%s&zoobars=%d&submission=Send"\n' "${USERS[to]}" "$amount"
        printf 'output = "%s/answer.%d"\nmax-time = 30\nsilent\n' "$BATS_TEST_TMPDIR" "$amount"
    done >"$BATS_TEST_TMPDIR/requests"
    curl --parallel --parallel-immediate --parallel-max 40 --config "$BATS_TEST_TMPDIR/requests" >/dev/null 2>&1 || true
}
# Amounts whose answer says that they were sent.
acknowledged() {
    grep -oE 'Sent [0-9]+ zoobars' "$BATS_TEST_TMPDIR"/answer.* |
        sed -E 's/.*answer\.([0-9]+):Sent ([0-9]+) zoobars/\1 \2/' | while read -r asked said; do
            [ "$asked" = "$said" ] || echo "asked $asked but sent $said" >&2
            echo "$asked"
        done | sort -n
}
logged() { database bank/bank.db "select amount from transfer where amount between $1 and $2 order by amount"; }
total() { database bank/bank.db 'select sum(zoobars) from bank'; }

# The balances are what the log makes of the opening balances: no row without its money, no money without its row.
books_balance() {
    database bank/bank.db "select b.username from bank b where b.zoobars != $EACH
        + (select coalesce(sum(amount), 0) from transfer where recipient = b.username)
        - (select coalesce(sum(amount), 0) from transfer where sender = b.username)"
}

@test "1,000 concurrent random transfers conserve the total, and each is in the log once" {
    shoot 1 1000
    acknowledged >"$BATS_TEST_TMPDIR/acknowledged"
    assert_equal "$(wc -l <"$BATS_TEST_TMPDIR/acknowledged")" 1000
    logged 1 1000 >"$BATS_TEST_TMPDIR/logged"
    run diff "$BATS_TEST_TMPDIR/acknowledged" "$BATS_TEST_TMPDIR/logged"
    assert_success
    assert_equal "$(total)" $((EACH * 5))
    assert_equal "$(books_balance)" ""
    # The site shows the same balances as the disk.
    for user in "${USERS[@]}"; do
        assert_equal "$(balance "$user")" "$(database bank/bank.db "select zoobars from bank where username = '$user'")"
    done
}

# killed_in_the_middle FIRST LAST PID KIND: the pid is killed when a third of the answers is there.
killed_in_the_middle() {
    local pid=$3
    a_third() { [ "$(find "$BATS_TEST_TMPDIR" -name 'answer.*' -size +0 | wc -l)" -ge $((($2 - $1) / 3)) ]; }
    (wait_until 60 a_third "$1" "$2" && kill -KILL "$pid") 3>&- &
    local killer=$!
    shoot "$1" "$2"
    wait "$killer"
    wait_until 5 gone "$pid" # the last of its namespace ends before it does
    all_up() { all_ready && [ "$(balance anna)" -gt 0 ]; }
    wait_until 20 all_up
    acknowledged >"$BATS_TEST_TMPDIR/acknowledged"
    logged "$1" "$2" >"$BATS_TEST_TMPDIR/logged"
    echo "$(wc -l <"$BATS_TEST_TMPDIR/acknowledged") acknowledged, $(wc -l <"$BATS_TEST_TMPDIR/logged") in the log"

    # It was in the middle: some got through before, some after.
    [ -s "$BATS_TEST_TMPDIR/acknowledged" ]
    assert_equal "lost: $(comm -23 <(sort "$BATS_TEST_TMPDIR/acknowledged") <(sort "$BATS_TEST_TMPDIR/logged"))" "lost: "
    assert_equal "doubled: $(uniq -d "$BATS_TEST_TMPDIR/logged")" "doubled: "
    assert_equal "$(total)" $((EACH * 5))
    assert_equal "$(books_balance)" ""
}

@test "kill -9 of the bank in the middle: nothing acknowledged is lost, nothing is doubled" {
    killed_in_the_middle 2001 2600 "$(service_pid bank)"
}

@test "kill -9 of dynamic in the middle: the same" {
    killed_in_the_middle 3001 3600 "$(service_pid dynamic)"
}

@test "kill -9 of the bank's PID 1 in the middle: the same" {
    killed_in_the_middle 4001 4600 "$(init_pid bank)"
}

@test "one user's purse emptied by many at once never goes below zero" {
    register poor secret
    # All of the purse, twenty times at once.
    local cookie
    cookie=$(cookie_of poor)
    for n in {1..20}; do
        [ "$n" = 1 ] || echo next
        printf 'url = "%s/transfer"\nheader = "Cookie: PyZoobarLogin=%s"\n' "$Z" "$cookie"
        printf 'data = "recipient=anna&zoobars=%d&submission=Send"\noutput = "%s/purse.%d"\nsilent\n' $EACH "$BATS_TEST_TMPDIR" "$n"
    done >"$BATS_TEST_TMPDIR/requests"
    curl --parallel --parallel-immediate --parallel-max 20 --config "$BATS_TEST_TMPDIR/requests" >/dev/null 2>&1
    assert_equal "$(cat "$BATS_TEST_TMPDIR"/purse.* | grep -c "Sent $EACH zoobars")" 1
    assert_equal "$(cat "$BATS_TEST_TMPDIR"/purse.* | grep -c 'Transfer to anna failed')" 19
    assert_equal "$(balance poor)" 0
    assert_equal "$(database bank/bank.db 'select count(*) from bank where zoobars < 0')" 0
}
