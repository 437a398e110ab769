#!/usr/bin/env bats
# The web surface of zoobar, to the letter: a client that was written for the original works unchanged.
# Then the known faults of other implementations, each absent; then requests that are not strict HTTP.
load helpers

setup_file() {
    app_start
    for user in alice bob carol; do register "$user" "secret-$user"; done
}
teardown_file() { app_stop; }

# HTML's text as a reader sees it.
shown() {
    sed -E -e 's/&lt;/</g; s/&gt;/>/g; s/&quot;|&#34;|&#x22;/"/gI; s/&#39;|&#x27;|&apos;/'"'"'/gI; s/&#43;|&#x2b;/+/gI' \
        -e 's/&#37;|&#x25;/%/gI; s/&#59;|&#x3b;/;/gI; s/&#47;|&#x2f;/\//gI; s/&#61;|&#x3d;/=/gI; s/&#9;/\t/g; s/&amp;/\&/g' <<<"$body"
}
decoded() { printf '%b' "$(sed 's/+/ /g; s/%/\\x/g' <<<"$1")"; }
# fresh: a user of this test alone, logged in, in $user (its name is also its jar's).
fresh() {
    user=u$BATS_TEST_NUMBER$1
    register "$user" secret
    [ "$code" = 302 ]
}
# total of the bank
total() { database bank/bank.db 'select sum(zoobars) from bank'; }
# header_all: every response carries these.
refused_login() { [ "$code" = 200 ] && [ -z "$(header set-cookie)" ]; }

# ---- pages and forms ----

@test "/ without a login redirects to login, with the page asked for as nexturl" {
    for page in / /users /transfer "/users?user=alice"; do
        fetch "$Z$page"
        assert_equal "$page $code" "$page 302"
        location=$(header location)
        assert_regex "$location" '^(http://[^/]+)?/zoobar/index\.cgi/login\?nexturl='
        assert_equal "$(decoded "${location#*nexturl=}")" "/zoobar/index.cgi$page"
    done
}

@test "a cookie without #, or empty, or with a wrong token, is not logged in" {
    for cookie in "PyZoobarLogin=" "PyZoobarLogin=alice" "PyZoobarLogin=alice#" "PyZoobarLogin=alice#0000" \
        "PyZoobarLogin=#" "PyZoobarLogin=##" "other=1"; do
        fetch -H "Cookie: $cookie" "$Z/"
        assert_equal "$cookie $code" "$cookie 302"
    done
}

@test "the login page has its form, fields and both buttons" {
    fetch "$Z/login"
    assert_equal "$code" 200
    assert_regex "$(header content-type)" '^text/html'
    for name in login_username login_password submit_login submit_registration nexturl; do
        assert_regex "$body" "name=\"?$name\"?"
    done
    assert_regex "$body" 'type="?password"?'
}

@test "registering sets the cookie and redirects to the home page" {
    register newcomer secret
    assert_equal "$code" 302
    assert_regex "$(header location)" '/zoobar/index\.cgi/$'
    assert_regex "$(header set-cookie)" '^PyZoobarLogin=newcomer(#|%23)[A-Za-z0-9+/=_%-]{16,}'
    as newcomer "$Z/"
    assert_equal "$code" 200
}

@test "the cookie is HttpOnly, SameSite and for this host" {
    fresh a
    assert_regex "$(header set-cookie)" '[Hh]ttp[Oo]nly'
    assert_regex "$(header set-cookie)" '[Ss]ame[Ss]ite=(Lax|Strict)'
    refute_regex "$(header set-cookie)" '[Dd]omain='
}

@test "messages of the login form, to the letter" {
    post() { fetch "$@" "$Z/login"; }
    post -d login_username= -d login_password=x -d submit_registration=Register
    assert_regex "$body" 'You must supply a username to register\.'
    post -d login_username=x -d login_password= -d submit_registration=Register
    assert_regex "$body" 'You must supply a password to register\.'
    post -d login_username=alice -d login_password=x -d submit_registration=Register
    assert_regex "$body" 'Registration failed\.'
    post -d login_username= -d login_password=x -d 'submit_login=Log in'
    assert_regex "$body" 'You must supply a username to log in\.'
    post -d login_username=alice -d login_password= -d 'submit_login=Log in'
    assert_regex "$body" 'You must supply a password to log in\.'
    post -d login_username=alice -d login_password=wrong -d 'submit_login=Log in'
    assert_regex "$body" 'Invalid username or password\.'
    post -d login_username=nobody-here -d login_password=wrong -d 'submit_login=Log in'
    assert_regex "$body" 'Invalid username or password\.'
    refused_login
}

@test "nexturl is followed within the site" {
    fetch -d login_username=carol -d login_password=secret-carol -d submit_login=Login \
        --data-urlencode 'nexturl=/zoobar/index.cgi/transfer' "$Z/login"
    assert_equal "$code" 302
    assert_regex "$(header location)" '/zoobar/index\.cgi/transfer$'
}

@test "nexturl is never followed to another site" {
    for next in http://evil.example/ //evil.example/ 'https:evil.example' '/\evil.example' '\\evil.example' \
        'javascript:alert(1)' ' //evil.example' '/zoobar/../..//evil.example' $'/\t/evil.example' 'evil.example' \
        '//[evil' $'/x\r\nSet-Cookie: a=b'; do
        fetch -d login_username=carol -d login_password=secret-carol -d submit_login=Login \
            --data-urlencode "nexturl=$next" "$Z/login"
        location=$(header location)
        [[ -z $location || $location =~ ^(http://127\.0\.0\.1:$PORT)?/zoobar/ ]] || {
            echo "$next: Location: $location"
            return 1
        }
        refute_regex "$(header set-cookie)" '^a='
    done
}

@test "each page of a logged-in user has the log-out link and the navigation" {
    for page in / /users "/users?user=bob" /transfer; do
        as alice "$Z$page"
        assert_equal "$page $code" "$page 200"
        assert_regex "$body" '<a [^>]*>Log out alice</a>'
        for name in Home Users Transfer; do assert_regex "$body" ">$name</a>"; done
    done
}

@test "home: the balance on one line, and the form for one's own profile" {
    as bob "$Z/"
    line=$(grep 'Balance:' <<<"$body")
    assert_regex "$line" 'Balance:.*10 zoobars'
    assert_regex "$body" '<form[^>]* name="?profileform"?'
    assert_regex "$body" '<textarea[^>]* name="?profile_update"?'
    assert_regex "$body" 'name="?profile_submit"?'
}

@test "a profile that was saved is in the form and on the user's page" {
    fresh a
    as "$user" --data-urlencode 'profile_update=I am <i>here</i> & there' -d profile_submit=Save "$Z/"
    assert_equal "$code" 200
    assert_regex "$body" 'I am &lt;i&gt;here&lt;/i&gt; &amp; there</textarea>'
    as alice "$Z/users?user=$user"
    assert_regex "$body" '<div id="profile">.*I am <i>here</i> &amp; there'
}

@test "users: the form, and what a page of a user found contains" {
    as alice "$Z/users"
    assert_regex "$body" '<form[^>]* name="?profileform"?'
    assert_regex "$body" '<form[^>]* method="?(GET|get)"?'
    assert_regex "$body" '<input[^>]* name="?user"?'
    refute_regex "$body" 'id="profileheader"'
    as alice "$Z/users?user=bob"
    assert_regex "$body" '<div id="profileheader">'
    assert_regex "$body" '<div id="profile">'
    assert_regex "$body" '<span id="zoobars" class="[0-9]+">'
    assert_regex "$body" '<table class="log"'
    as alice "$Z/users?user=no-such-user"
    assert_equal "$code" 200
    assert_regex "$body" 'Cannot find that user\.'
    refute_regex "$body" 'id="profileheader"'
}

@test "transfer: the form, the span, and a warning after a submission" {
    as alice "$Z/transfer"
    assert_regex "$body" '<form[^>]* name="?transferform"?'
    for name in recipient zoobars submission; do assert_regex "$body" "name=\"?$name\"?"; done
    assert_regex "$body" '<span id="myZoobars">'
    refute_regex "$body" 'Sent '
    transfer alice bob 1
    assert_equal "$code" 200
    assert_regex "$body" 'class="?warning"?[^>]*>[^<]*Sent 1 zoobars'
}

@test "a transfer moves the money and both logs show time, sender, recipient, amount" {
    fresh a; a=$user
    fresh b; b=$user
    transfer "$a" "$b" 4
    assert_regex "$body" 'Sent 4 zoobars'
    assert_equal "$(balance "$a") $(balance "$b")" "6 14"
    for who in "$a" "$b"; do
        as alice "$Z/users?user=$who"
        table=$(sed -n '/<table class="log"/,/<\/table>/p' <<<"$body" | tr -d '\n')
        assert_regex "$table" "[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]?[0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} 20[0-9]{2}.*$a.*$b.*>[[:space:]]*4[[:space:]]*<"
    done
    as alice "$Z/users?user=$b"
    assert_regex "$body" '<span id="zoobars" class="14">'
}

@test "a refused transfer says so and is not shown as sent" {
    fresh a
    for case in "nobody-here 1" "bob 11" "bob 0" "bob -1"; do
        transfer "$user" "${case% *}" "${case#* }"
        assert_equal "$code" 200
        [[ $(shown) == *"Transfer to ${case% *} failed"* ]] || { echo "$case: $body"; return 1; }
        refute_regex "$body" 'Sent'
    done
    assert_equal "$(balance "$user")" 10
}

@test "zoobarjs sets myZoobars for a user, and is empty without one" {
    as bob "$Z/zoobarjs"
    assert_equal "$code" 200
    assert_regex "$(header content-type)" 'javascript'
    assert_regex "$body" 'myZoobars'
    assert_regex "$body" "(^|[^0-9])$(balance bob)([^0-9]|$)"
    fetch "$Z/zoobarjs"
    assert_equal "$code:$body" "200:"
}

@test "logout clears the cookie, redirects to login, and ends the token" {
    fresh a
    cookie=$(awk '$6 == "PyZoobarLogin" {print $7}' "$(jar "$user")")
    as "$user" "$Z/logout"
    assert_equal "$code" 302
    assert_regex "$(header location)" '/zoobar/index\.cgi/login'
    assert_regex "$(header set-cookie)" '^PyZoobarLogin=(""|;|$| *;|deleted)'
    fetch -H "Cookie: PyZoobarLogin=$cookie" "$Z/"
    assert_equal "$code" 302
    fetch -H "Cookie: PyZoobarLogin=$cookie" -d recipient=bob -d zoobars=1 -d submission=Send "$Z/transfer"
    refute_regex "$body" 'Sent'
}

@test "one live token per user: a login anywhere replaces it" {
    fresh a
    log_in "$user" secret "$user-elsewhere"
    as "$user-elsewhere" "$Z/"
    assert_equal "$code" 200
    as "$user" "$Z/"
    assert_equal "$code" 302
}

@test "delay: the bank checks the token itself, long after the page did" {
    fresh a
    cp "$(jar "$user")" "$(jar "$user-second")"
    before=$(link_field auth dynamic in .packets)
    curl -s -o "$BATS_TEST_TMPDIR/late" -b "$(jar "$user")" -d recipient=bob -d zoobars=1 -d submission=Send -d delay=2 \
        "$Z/transfer" 3>&- &
    late=$!
    # The page has asked auth about its cookie, and now waits before it asks the bank.
    page_has_asked() { [ "$(link_field auth dynamic in .packets)" -gt "$before" ]; }
    wait_until 2 page_has_asked
    as "$user-second" "$Z/logout"
    wait "$late"
    assert_regex "$(cat "$BATS_TEST_TMPDIR/late")" 'Transfer to bob failed'
    log_in "$user" secret
    assert_equal "$(balance "$user")" 10
}

@test "delay is capped at ten seconds and harmless when it is no number" {
    fresh a
    for delay in x -1 "" 0.1 1e9999 nan; do
        SECONDS=0
        as "$user" -d recipient=bob -d zoobars=1 -d submission=Send --data-urlencode "delay=$delay" "$Z/transfer"
        assert_equal "$code" 200
        [ "$SECONDS" -le 12 ]
        [ "$delay" != 1e9999 ] || break
    done
}

@test "databases have the tables and columns that clients look for, and no other secret" {
    columns() { database "$1" "select group_concat(name, ' ') from pragma_table_info('$2')"; }
    assert_regex " $(columns person/person.db person) " ' username .*profile '
    refute_regex "$(columns person/person.db person)" 'password|token|zoobars'
    for column in username password salt token; do assert_regex " $(columns cred/cred.db cred) " " $column "; done
    for column in username zoobars; do assert_regex " $(columns bank/bank.db bank) " " $column "; done
    for column in sender recipient amount time; do assert_regex " $(columns bank/bank.db transfer) " " $column "; done
}

@test "passwords are not on disk as they are, nor the same hash for the same password" {
    register twin1 the-same-password
    register twin2 the-same-password
    run grep -ra the-same-password "$STATE"
    assert_failure
    assert_equal "$(database cred/cred.db "select count(distinct hex(password)) || ' ' || count(distinct hex(salt)) from cred where username like 'twin_'")" "2 2"
}

@test "static files: media and favicon, with their types" {
    fetch "$URL/favicon.ico"
    assert_equal "$code" 200
    assert_regex "$(header content-type)" '^image/'
    for file in $(cd "$ROOT/apps/zoobar/media" && find . -type f -printf '%P\n'); do
        fetch "$URL/zoobar/media/$file"
        assert_equal "$file $code" "$file 200"
        cmp "$BATS_TEST_TMPDIR/body" "$ROOT/apps/zoobar/media/$file"
    done
    fetch "$URL/zoobar/media/none.css"
    assert_equal "$code" 404
}

@test "the site's root leads to zoobar, and other paths are not there" {
    for path in / /zoobar /zoobar/; do
        fetch "$URL$path"
        assert_equal "$path $code" "$path 302"
        assert_regex "$(header location)" '/zoobar/index\.cgi/$'
    done
    for path in /other /zoobar/index.cgix /zoobar/other /zoobar/index.cgi/other; do
        fetch "$URL$path"
        assert_equal "$path $code" "$path 404"
    done
}

@test "other methods are refused, HEAD is GET without a body" {
    for method in PUT DELETE OPTIONS TRACE PATCH CONNECT; do
        fetch -X "$method" "$Z/login"
        assert_regex "$method $code" "$method (405|501|400)"
    done
    fetch -I "$Z/login"
    assert_equal "$code" 200
    assert_regex "$(header content-length)" '^[1-9]'
}

# ---- known faults, none of which may be ours ----

@test "fault: negative, zero, fractional, huge, formatted and computed amounts" {
    fresh a
    before=$(total)
    for amount in -1 0 -0 0.5 1.5 1e1 0x1 ' ' '' 1+1 '(1)' 9223372036854775807 9223372036854775808 18446744073709551617 \
        -9223372036854775808 nan inf 1,0 '1 0' '1;2' '__import__("os")' "1'" '१' '１' 00000000000000000000000000000000001x; do
        transfer "$user" bob "$amount"
        assert_equal "$amount: $code" "$amount: 200"
        [[ $body != *"Sent "* && $body == *"failed"* ]] || { echo "amount '$amount': $body"; return 1; }
    done
    assert_equal "$(balance "$user")" 10
    assert_equal "$(total)" "$before"
}

@test "fault: sending to oneself creates no money" {
    fresh a
    before=$(total)
    transfer "$user" "$user" 3
    assert_equal "$(balance "$user")" 10
    assert_equal "$(total)" "$before"
}

@test "fault: user names that are odd register, log in, see their name, send and receive" {
    n=0
    for name in .. . a/b 'a#b' 'a+b' '50%' '%2e%2e' 'x;y' 'q"uo"te' "o'brien" '<b>bold</b>' 'a&b=c' 'ünï€𝄞' ' leading' 'trailing ' \
        $'new\nline' $'tab\there' $'\x01' $'\x7f' 'a,b' 'a\b' '--' "x' or '1'='1" "$(printf 'n%.0s' {1..128})"; do
        n=$((n + 1))
        register "$name" secret "odd$n"
        assert_equal "$n register $code" "$n register 302"
        log_in "$name" secret "odd$n"
        assert_equal "$n login $code" "$n login 302"
        as "odd$n" "$Z/"
        assert_equal "$n home $code" "$n home 200"
        [[ $(shown) == *"Log out $name"* ]] || { echo "name $n is not shown: $(shown)"; return 1; }
        refute_regex "$body" '<b>bold'
        transfer "odd$n" bob 1
        assert_regex "$n $body" "$n .*Sent 1 zoobars"
        transfer alice "$name" 0
        log_in alice secret-alice
        as alice --get --data-urlencode "user=$name" "$Z/users"
        assert_regex "$n $body" "$n .*<span id=\"zoobars\" class=\"9\">"
    done
    # Nothing of it became a path.
    assert_equal "$(find "$STATE" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | tr '\n' ' ')" "bank cred person "
}

@test "fault: names that cannot be are refused" {
    for data in 'login_username=%00' 'login_username=a%00b' 'login_username=%ff%fe' 'login_username=%c0%af' \
        "login_username=$(printf 'n%.0s' {1..129})" 'login_username=%ed%a0%80'; do
        fetch -d "$data" -d login_password=x -d submit_registration=Register "$Z/login"
        [[ $code = 400 || ($code = 200 && $body == *"Registration failed."*) ]] || { echo "$data: $code $body"; return 1; }
        assert_equal "$(header set-cookie)" ""
    done
}

@test "fault: a password beyond 4 KiB is refused at once" {
    long=$(head -c 5000 /dev/zero | tr '\0' p)
    SECONDS=0
    for n in 1 2 3 4 5; do
        fetch -d login_username=longpw -d "login_password=$long" -d submit_registration=Register "$Z/login"
        assert_regex "$body" 'Registration failed\.'
    done
    [ "$SECONDS" -le 3 ]
}

@test "fault: static files do not leave their folder and run nothing" {
    for path in '/zoobar/media/../index.cgi/echo' '/zoobar/media/../../../etc/passwd' '/zoobar/media/%2e%2e/%2e%2e/etc/passwd' \
        '/zoobar/media/..%2f..%2fetc/passwd' '/zoobar/media/%252e%252e/x' '/zoobar/media//etc/passwd' '/zoobar/media/' \
        '/zoobar/media/zoobar.css%00.png' '/zoobar/media/.' '/zoobar/media/..' '/zoobar/media/a\..\b' '/zoobar/media/%c0%ae%c0%ae/'; do
        fetch --path-as-is "$URL$path"
        [[ $code =~ ^(400|403|404)$ ]] || { echo "$path: $code"; return 1; }
        refute_regex "$body" 'root:'
    done
}

@test "fault: line breaks in what a client sends do not reach a response's head" {
    for url in "$Z/login?nexturl=/%0d%0aX-Injected:%20yes" "$Z/%0d%0aX-Injected:%20yes" "$Z/echo?s=%0d%0aX-Injected:%20yes" \
        "$Z/users?user=%0d%0aX-Injected:%20yes"; do
        fetch -b "$(jar alice)" "$url"
        assert_equal "$(header x-injected)" ""
    done
}

@test "fault: a profile cannot script its visitor's browser" {
    fresh a
    as "$user" --data-urlencode 'profile_update=<script>alert(1)</script><img src=x onerror=alert(2)><a href="javascript:alert(3)">x</a><i onclick="alert(5)">ok</i><svg onload=alert(4)></svg><iframe src="//evil.example"></iframe><style>*{}</style></div><form action=//evil.example>' \
        -d profile_submit=Save "$Z/"
    as alice "$Z/users?user=$user"
    for bad in '<script>alert' '<img' '<svg' '<iframe' '<style>\*' '<i onclick' '<form action=//evil' 'href="javascript'; do
        refute_regex "$body" "$bad"
    done
    assert_regex "$body" '<i>ok</i>'
    assert_regex "$(header content-security-policy)" "(default|script)-src"
    refute_regex "$(header content-security-policy)" "script-src[^;]*'unsafe-inline'"
}

@test "harmless markup of profiles renders" {
    fresh a
    as "$user" --data-urlencode 'profile_update=<p>Hello</p><ul><li>one</li><li><i>two</i></li></ul>' -d profile_submit=Save "$Z/"
    as alice "$Z/users?user=$user"
    assert_regex "$(tr -d '\n' <<<"$body")" '<p>Hello</p>[[:space:]]*<ul>[[:space:]]*<li>one</li>[[:space:]]*<li><i>two</i></li>'
}

@test "a profile of 5,000 characters is kept, a longer one is not" {
    fresh a
    long=$(head -c 5000 /dev/zero | tr '\0' z)
    as "$user" -d "profile_update=$long" -d profile_submit=Save "$Z/"
    as alice "$Z/users?user=$user"
    assert_regex "$body" "$long"
    as "$user" -d "profile_update=${long}y" -d profile_submit=Save "$Z/"
    as alice "$Z/users?user=$user"
    refute_regex "$body" 'zzzy'
}

@test "a form that another site posts is refused; a script without Origin works" {
    fresh a
    for headers in 'Origin: http://evil.example' 'Origin: null' 'Sec-Fetch-Site: cross-site'; do
        as "$user" -H "$headers" -d recipient=bob -d zoobars=1 -d submission=Send "$Z/transfer"
        refute_regex "$body" 'Sent'
    done
    assert_equal "$(balance "$user")" 10
    as "$user" -H "Origin: $URL" -d recipient=bob -d zoobars=1 -d submission=Send "$Z/transfer"
    assert_regex "$body" 'Sent 1 zoobars'
    transfer "$user" bob 1
    assert_regex "$body" 'Sent 1 zoobars'
}

@test "the time of a login does not tell whether the user exists" {
    spent() { curl -s -o /dev/null -w '%{time_total}\n' -d "login_username=$1" -d login_password=wrong -d submit_login=x "$Z/login"; }
    median() { for n in 1 2 3 4 5 6 7; do spent "$1"; done | sort -n | sed -n 4p; }
    there=$(median bob) away=$(median nobody-at-all)
    echo "there $there, away $away"
    awk -v a="$there" -v b="$away" 'BEGIN {exit !(a < 4 * b && b < 4 * a)}' # without a hash for strangers: some 50 times
}

# ---- requests that are not strict HTTP ----

# raw TEXT (printf form): sends it, prints the answer; fails when the server keeps the connection for 5 s.
raw() {
    # shellcheck disable=SC2059 # the text is the format
    timeout 8 bash -c 'exec 5<>"/dev/tcp/127.0.0.1/$0"; printf "$1" >&5; timeout 5 cat <&5' "$PORT" "$1"
}

@test "a head that is not strict gets 400 and a closed connection" {
    # One request per line; in the shell's printf form.
    while IFS= read -r text; do
        run raw "$text"
        [ "$status" = 0 ] && [[ ${lines[0]} =~ ^HTTP/1\.1\ 400 ]] || {
            echo "$text: status $status: ${lines[0]:-no answer}"
            return 1
        }
    done <<'HEADS'
GET / HTTP/1.1\nHost: x\n\n
GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n
GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n
GET / HTTP/1.1\r\n\r\n
GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n
GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n
GET / HTTP/1.1\r\nHost : x\r\n\r\n
GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n
GET / HTTP/1.1\r\nHost: x\r\n A: c\r\n\r\n
GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\n\r\n
GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n
GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n
GET / HTTP/1.1\r\nHost: x\r\nX:\rTransfer-Encoding: chunked\r\n\r\n
GET / HTTP/1.1\r\nHost: x\r\nA: b\001c\r\n\r\n
GET  / HTTP/1.1\r\nHost: x\r\n\r\n
GET /  HTTP/1.1\r\nHost: x\r\n\r\n
GET /\t HTTP/1.1\r\nHost: x\r\n\r\n
GET / HTTP/1.2\r\nHost: x\r\n\r\n
GET / HTTP/2.0\r\nHost: x\r\n\r\n
GET / http/1.1\r\nHost: x\r\n\r\n
GET / HTTP/1.1 \r\nHost: x\r\n\r\n
GET /\r\n\r\n
GET x HTTP/1.1\r\nHost: x\r\n\r\n
get / HTTP/1.1\r\nHost: x\r\n\r\n
G(T / HTTP/1.1\r\nHost: x\r\n\r\n
POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab
POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na
POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na
POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\na
POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\na
POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\na
POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n
POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n
POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n
POST /zoobar/index.cgi/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n
POST /zoobar/index.cgi/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n
POST /zoobar/index.cgi/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n
\000\001\002\003\r\n\r\n
HEADS
}

@test "a request that is too long in head or body is refused and closed" {
    long=$(head -c 100000 /dev/zero | tr '\0' a)
    run raw "GET /zoobar/index.cgi/$long HTTP/1.1\r\nHost: x\r\n\r\n"
    assert_line --index 0 --regexp '^HTTP/1\.1 (400|414|431)'
    run raw "GET / HTTP/1.1\r\nHost: x\r\nA: $long\r\n\r\n"
    assert_line --index 0 --regexp '^HTTP/1\.1 (400|431)'
    run raw "POST /zoobar/index.cgi/login HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    assert_line --index 0 --regexp '^HTTP/1\.1 (400|413)'
    fetch "$Z/login"
    assert_equal "$code" 200
}

@test "keep-alive: many requests on one connection, pipelined ones in order, close when asked" {
    run curl -s -o /dev/null -o /dev/null -o /dev/null -w '%{http_code} %{num_connects}\n' "$Z/login" "$Z/login" "$URL/favicon.ico"
    assert_output "$(printf '200 1\n200 0\n200 0')"
    run raw 'GET /zoobar/index.cgi/echo?s=one HTTP/1.1\r\nHost: x\r\n\r\nGET /zoobar/index.cgi/echo?s=two HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    assert_success
    assert_equal "$(grep -c '^HTTP/1.1 200' <<<"$output")" 2
    assert_regex "$(tr -d '\n' <<<"$output")" 'You said "one" from dynamic.*You said "two" from dynamic'
    run raw 'GET /zoobar/index.cgi/login HTTP/1.0\r\nHost: x\r\n\r\n'
    assert_success
    assert_line --index 0 --regexp '^HTTP/1\.1 200'
}

@test "a chunked body is taken like any other" {
    fetch -H 'Transfer-Encoding: chunked' -d login_username=alice -d login_password=wrong -d submit_login=Login "$Z/login"
    assert_equal "$code" 200
    assert_regex "$body" 'Invalid username or password\.'
}

@test "slow and silent clients do not keep others waiting" {
    for n in {1..30}; do
        (exec 5<>"/dev/tcp/127.0.0.1/$PORT"; printf 'GET / HT' >&5; sleep 20) 3>&- &
        slow+=" $!"
    done
    for n in 1 2 3; do
        run curl -s -o /dev/null -w '%{http_code} %{time_total}' "$Z/login"
        assert_regex "$output" '^200 0\.'
    done
    # shellcheck disable=SC2086 # several pids
    kill $slow
}
