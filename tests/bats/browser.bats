#!/usr/bin/env bats
# A person's way through zoobar in a real browser: register, edit the profile, transfer, look at a user, log out.
# Pictures of it are kept in build/screenshots.
load helpers
load ../web/webdriver

setup_file() {
    app_start
    register bob secret
    mkdir -p "$BUILD/screenshots"
    browser_start "$BATS_FILE_TMPDIR"
}
teardown_file() {
    browser_stop
    app_stop
}

page_holds() { [[ $(browser_text body) == *"$1"* ]]; }

@test "registering in the browser leads to the home page" {
    browser_open "$URL/"
    wait_until 10 page_holds Login || wait_until 1 page_holds login || wait_until 1 page_holds 'Log in'
    browser_screenshot "$BUILD/screenshots/login.png"
    browser_type 'input[name=login_username]' anna
    browser_type 'input[name=login_password]' secret
    browser_click '[name=submit_registration]'
    wait_until 10 page_holds 'Log out anna'
    assert_regex "$(browser_url)" '/zoobar/index\.cgi/$'
    assert_regex "$(browser_text body)" '10 zoobars'
}

@test "the profile that is typed is saved and shown" {
    browser_open "$Z/"
    browser_type 'textarea[name=profile_update]' 'I am <i>anna</i>.'
    browser_click '[name=profile_submit]'
    wait_until 10 page_holds 'Log out anna'
    browser_screenshot "$BUILD/screenshots/home.png"
    browser_open "$Z/users?user=anna"
    assert_equal "$(browser_text '#profile i')" anna
}

@test "a transfer in the browser: the warning, and the balance that zoobarjs shows" {
    browser_open "$Z/transfer"
    browser_type 'input[name=recipient]' bob
    browser_type 'input[name=zoobars]' 3
    browser_click '[name=submission]'
    wait_until 10 page_holds 'Sent 3 zoobars'
    balance_is_shown() { [[ $(browser_text '#myZoobars') == *7* ]]; }
    wait_until 10 balance_is_shown
    browser_screenshot "$BUILD/screenshots/transfer.png"
}

@test "a user's page shows profile, balance and log" {
    browser_open "$Z/users?user=bob"
    wait_until 10 page_holds anna
    [ -n "$(browser_find '#profileheader')" ]
    [ -n "$(browser_find 'span#zoobars[class="13"]')" ]
    assert_regex "$(browser_text 'table.log')" 'anna.*bob.*3'
    browser_screenshot "$BUILD/screenshots/user.png"
}

@test "no page breaks its own content security policy, and another's script does not run" {
    as_jar=$BATS_TEST_TMPDIR/evil
    curl -s -c "$as_jar" -o /dev/null -d login_username=evil -d login_password=secret -d submit_registration=x "$Z/login"
    curl -s -b "$as_jar" -o /dev/null --data-urlencode 'profile_update=<img src=x onerror="document.title=1"><script>document.title=1</script><b>text</b>' \
        -d profile_submit=Save "$Z/"
    browser_open "$Z/users?user=evil"
    wait_until 10 page_holds text
    refute_regex "$(browser_script 'return document.title')" '^1$'
    # The cookie is not a script's to read.
    assert_equal "$(browser_script 'return document.cookie')" ""
    # The page's own script ran: the transfer page shows a number that only zoobarjs can have put there.
    browser_open "$Z/transfer"
    number_is_shown() { [[ $(browser_text '#myZoobars') =~ [0-9] ]]; }
    wait_until 10 number_is_shown
}

@test "logging out ends it" {
    browser_open "$Z/logout"
    browser_open "$Z/"
    assert_regex "$(browser_url)" '/login\?nexturl='
}

@test "the pictures are there" {
    for name in login home transfer user; do
        [ "$(stat -c %s "$BUILD/screenshots/$name.png")" -gt 5000 ]
    done
}
