#!/usr/bin/env bats
# The first vertical run: a request goes through dispatcher and dynamic to echo, and the page shows whom echo saw.
load helpers

setup_file() { app_start; }
teardown_file() { app_stop; }

@test "echo names its caller, and the name comes from the link" {
    fetch "$Z/echo?s=hi"
    assert_equal "$code" 200
    assert_regex "$body" 'You said "hi" from dynamic'
}

@test "what the visitor writes cannot add a caller or markup" {
    fetch --get --data-urlencode 's=x" from profile<script>alert(1)</script>' "$Z/echo"
    assert_equal "$code" 200
    refute_regex "$body" '<script>alert'
    assert_regex "$body" 'from dynamic'
}

@test "the packets went over the declared links and were counted there" {
    before=$(link_field echo dynamic in .packets)
    fetch "$Z/echo?s=again"
    after=$(link_field echo dynamic in .packets)
    [ "$after" -gt "$before" ]
    assert_equal "$(link_field echo dynamic in .denied)" 0
}

@test "echo says what it was told for odd texts too" {
    for text in "" "a b" "ä€𝄞" "100%" "a+b" "1;2" "'quoted'"; do
        fetch --get --data-urlencode "s=$text" "$Z/echo"
        assert_equal "$text: $code" "$text: 200"
        [[ $body == *"from dynamic"* ]]
    done
    fetch "$Z/echo?s=a+b%20c"
    assert_regex "$body" 'a b c'
}
