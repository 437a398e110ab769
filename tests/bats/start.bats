#!/usr/bin/env bats
# What a start makes: services in namespaces of their own that hold nothing but what they were given.
load helpers

setup_file() { app_start; }
teardown_file() { app_stop; }

@test "ps shows the eight services ready, first generation, with pids and namespaces" {
    run "$HOSTD" ps --app "$APP" --json
    assert_success
    run jq -r '.services[] | [.name, .state, .generation, (.init_pid > 1), (.service_pid > 1), (.uptime_s >= 0)] | join(" ")' \
        <<<"$output"
    assert_equal "$(sort <<<"$output")" "$(printf '%s ready 1 true true true\n' "${SERVICES[@]}" | sort)"
}

@test "ps prints a table for people, and with --links the wires" {
    run "$HOSTD" ps --app "$APP" --links
    assert_success
    for name in "${SERVICES[@]}"; do assert_line --regexp "(^| )$name +ready "; done
    assert_line --regexp '(->|<-) +bank .*denied'
}

@test "every service has seven namespaces that no other service and the host do not have" {
    local kind
    for kind in user mnt net pid ipc uts cgroup; do
        inodes=$("$HOSTD" ps --app "$APP" --json | jq -r ".services[].namespaces.$kind")
        [ "$(grep -c . <<<"$inodes")" = 8 ]
        host=$(stat -Lc %i "/proc/self/ns/$kind")
        assert_equal "$kind: $(printf '%s\n%s\n' "$inodes" "$host" | sort -u | wc -l)" "$kind: 9"
    done
}

@test "the service runs in the namespaces that ps shows for it" {
    for name in "${SERVICES[@]}"; do
        for kind in user mnt net pid ipc uts cgroup; do
            assert_equal "$name $(readlink "/proc/$(service_pid "$name")/ns/$kind")" \
                "$name $kind:[$(service "$name" ".namespaces.$kind")]"
        done
    done
}

@test "the network namespace belongs to the host's user namespace, not to the service's" {
    for name in "${SERVICES[@]}"; do
        owner=$(lsns --noheadings --raw --type net --output NS,ONS --task "$(init_pid "$name")" | awk '{print $2}')
        assert_equal "$name $owner" "$name $(stat -Lc %i /proc/self/ns/user)"
    done
}

@test "a sealed service holds no socket, and only the descriptors that its contract lists" {
    for name in "${SERVICES[@]}"; do
        pid=$(service_pid "$name")
        run bash -c "for fd in /proc/$pid/fd/*; do readlink \$fd; done"
        assert_success
        refute_output --partial socket:
        # 0 the contract, 1 and 2 the log, 3 the ring, 4 the eventfd, 5 the notes; then only files of its own data.
        for fd in 0 1 2 3 4 5; do [ -e "/proc/$pid/fd/$fd" ]; done
        assert_equal "$(readlink "/proc/$pid/fd/3")" "anon_inode:[io_uring]"
        for fd in "/proc/$pid/fd"/*; do
            [ "${fd##*/}" -lt 6 ] || [[ $(readlink "$fd") =~ ^/(cred|bank|person|media)(/|$)|^anon_inode:|^pipe: ]] || {
                echo "$name: descriptor ${fd##*/} is $(readlink "$fd")"
                return 1
            }
        done
    done
}

@test "services without data or files have exactly six descriptors, and no room for a seventh" {
    for name in dispatcher dynamic echo profile; do
        pid=$(service_pid "$name")
        assert_equal "$name $(find "/proc/$pid/fd" -mindepth 1 | wc -l)" "$name 6"
        assert_equal "$name $(awk '/Max open files/ {print $4}' "/proc/$pid/limits")" "$name 6"
    done
}

@test "no capability is left: not in the service, not in its PID 1, not to be regained" {
    for name in "${SERVICES[@]}"; do
        for pid in $(service_pid "$name") $(init_pid "$name"); do
            for set in CapInh CapPrm CapEff CapAmb; do
                assert_equal "$name $set $(awk "/^$set:/ {print \$2}" "/proc/$pid/status")" "$name $set 0000000000000000"
            done
        done
        assert_equal "$name $(awk '/^CapBnd:/ {print $2}' "/proc/$(service_pid "$name")/status")" "$name 0000000000000000"
    done
}

@test "no_new_privs and a seccomp filter hold in the service and in its PID 1" {
    for name in "${SERVICES[@]}"; do
        for pid in $(service_pid "$name") $(init_pid "$name"); do
            assert_equal "$name $(awk '/^NoNewPrivs:/ {print $2}' "/proc/$pid/status")" "$name 1"
            assert_equal "$name $(awk '/^Seccomp:/ {print $2}' "/proc/$pid/status")" "$name 2"
        done
    done
}

@test "ids are the service's own: not root of the host, different for each" {
    ids=$(for name in "${SERVICES[@]}"; do awk '/^Uid:/ {print $2 ":" $3 ":" $4 ":" $5}' "/proc/$(service_pid "$name")/status"; done)
    assert_equal "$(sort -u <<<"$ids" | wc -l)" 8
    while IFS=: read -r real effective saved files; do
        [ "$real" -ge 65536 ]
        assert_equal "$real $real $real" "$effective $saved $files"
    done <<<"$ids"
}

@test "PID 1 is initsvc and the service is its child, alone in their pid namespace" {
    for name in "${SERVICES[@]}"; do
        init=$(init_pid "$name") pid=$(service_pid "$name")
        assert_equal "$(awk '/^NSpid:/ {print $NF}' "/proc/$init/status")" 1
        assert_equal "$(awk '/^PPid:/ {print $2}' "/proc/$pid/status")" "$init"
        inode=$(readlink "/proc/$pid/ns/pid")
        count=0
        for other in /proc/[0-9]*; do
            if [ "$(readlink "$other/ns/pid" 2>/dev/null)" = "$inode" ]; then count=$((count + 1)); fi
        done
        assert_equal "$name $count" "$name 2"
    done
}

@test "the root of a sealed service is read-only and holds one file: no shell, no library, no /proc" {
    for name in dispatcher dynamic echo profile; do
        root=/proc/$(init_pid "$name")/root
        run find "$root/" ! -type d -printf '%P\n'
        assert_output "bin/$name"
        run awk '$5 == "/" {print $6}' "/proc/$(init_pid "$name")/mountinfo"
        assert_output --regexp '^ro,'
    done
}

@test "no service can read the kernel's tables of itself: there is no /proc and no /sys" {
    for name in "${SERVICES[@]}"; do
        run find "/proc/$(init_pid "$name")/root/" -maxdepth 1 \( -name proc -o -name sys -o -name dev \)
        assert_output ""
    done
}

@test "data directories are root's and 0700 on disk, and each is one service's only" {
    for name in cred bank person; do assert_equal "$(stat -c '%U %a' "$STATE/$name")" "root 700"; done
    for name in "${SERVICES[@]}"; do
        run awk '$5 ~ /^\/(cred|bank|person)$/ {print $5}' "/proc/$(init_pid "$name")/mountinfo"
        case $name in
        auth) assert_output /cred ;;
        bank) assert_output /bank ;;
        person) assert_output /person ;;
        *) assert_output "" ;;
        esac
    done
}

@test "a data directory is mounted without exec, setuid and devices" {
    for name in auth bank person; do
        run awk '$5 ~ /^\/(cred|bank|person)$/ {print $6}' "/proc/$(init_pid "$name")/mountinfo"
        assert_output --partial noexec
        assert_output --partial nosuid
        assert_output --partial nodev
    done
}

@test "each service has its limits in the memory and pids controllers" {
    for name in "${SERVICES[@]}"; do
        run cat "/proc/$(init_pid "$name")/cgroup"
        assert_output --regexp "(memory|^0:).*$APP.*$name"
        assert_output --regexp "(pids|^0:).*$APP.*$name"
    done
}

@test "what services print comes out prefixed by their names" {
    fetch "$Z/echo?s=hi"
    logged() { grep -qE '^dispatcher +\| .*echo' "$LOG" && grep -qE '^static +\| ' "$LOG"; }
    wait_until 5 logged
}

@test "a second start of the same application is refused in one clear line" {
    run "$HOSTD" start "$ZOOBAR" --name "$APP" --state-dir "$STATE" --listen "http=127.0.0.1:$(free_port)"
    assert_failure 1
    assert_equal "${#lines[@]}" 1
    assert_output --partial "$APP"
    all_ready
}

@test "start --detach returns when all is ready, stop returns when nothing is left" {
    local other=$APP-b port
    port=$(free_port)
    run "$HOSTD" start "$ZOOBAR" --detach --name "$other" --listen "http=127.0.0.1:$port" \
        --state-dir "$BATS_TEST_TMPDIR/state" 3>&-
    assert_success
    "$HOSTD" ps --app "$other" --json | jq -e '(.services | length) == 8 and all(.services[]; .state == "ready")'
    curl -sf -o "$BATS_TEST_TMPDIR/page" "http://127.0.0.1:$port/zoobar/index.cgi/login"
    pids=$("$HOSTD" ps --app "$other" --json | jq -r '.services[] | .init_pid, .service_pid')
    run "$HOSTD" stop --app "$other"
    assert_success
    [ ! -e "/run/hostd/$other" ]
    for pid in $pids; do gone "$pid"; done
    # Two applications do not share ids, and the first one never noticed.
    all_ready
}
