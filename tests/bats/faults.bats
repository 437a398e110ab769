#!/usr/bin/env bats
# faults.bats - a sample of `make faults` and of `make soak`, which take all system calls and 200 rounds.
load helpers

@test "an error, or SIGKILL, at each 97th system call of a start and a stop: fails closed, one line, nothing left" {
    run "$ROOT/tests/faults" --build "$BUILD" --every 97
    echo "$output"
    assert_success
    assert_line --regexp '^all .* 0$'
}

@test "20 services killed at random under load: all come back, nothing grows, nothing is left" {
    run "$ROOT/tests/soak" --build "$BUILD" --starts 3 --kills 20 --seed 1
    echo "$output"
    assert_success
    assert_line --regexp '^after-stop '
}
