# webdriver.bash - a headless Chromium driven by the W3C WebDriver protocol, with curl and jq.
#
# browser_start, then browser_open URL, browser_type CSS TEXT, browser_click CSS, browser_text CSS, browser_script JS,
# browser_screenshot FILE; browser_stop.  Every function fails when the browser says so, with its message.
# shellcheck shell=bash

browser_start() { # DIRECTORY for profile and log
    local dir=$1 answer
    BROWSER_PORT=$(free_port)
    chromedriver --port="$BROWSER_PORT" --log-path="$dir/chromedriver.log" >/dev/null 2>&1 3>&- &
    BROWSER_PID=$!
    BROWSER=http://127.0.0.1:$BROWSER_PORT
    driver_up() { [ "$(curl -s "$BROWSER/status" | jq -r .value.ready)" = true ]; }
    wait_until 20 driver_up || { cat "$dir/chromedriver.log" >&2; return 1; }
    answer=$(jq -n --arg dir "$dir/profile" '{capabilities: {alwaysMatch: {"goog:chromeOptions": {binary: "/usr/bin/chromium",
        args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1000,800",
            "--user-data-dir=" + $dir]}}}}' | curl -s --max-time 60 -d @- "$BROWSER/session")
    BROWSER_SESSION=$BROWSER/session/$(jq -r '.value.sessionId // empty' <<<"$answer")
    [ "$BROWSER_SESSION" != "$BROWSER/session/" ] || { printf '%s\n' "$answer" >&2; return 1; }
    export BROWSER_PID BROWSER_SESSION
}

browser_stop() {
    [ -n "${BROWSER_PID:-}" ] || return 0
    curl -s --max-time 20 -X DELETE "$BROWSER_SESSION" >/dev/null
    kill "$BROWSER_PID" 2>/dev/null
    wait_until 10 gone "$BROWSER_PID"
}

# browser_ask METHOD PATH [JSON]: prints the answer's value.
browser_ask() {
    local answer
    answer=$(curl -s --max-time 30 -X "$1" ${3:+-d "$3"} "$BROWSER_SESSION/$2") || return 1
    if jq -e '.value | objects | has("error")' >/dev/null <<<"$answer"; then
        jq -r '.value.error + ": " + .value.message' <<<"$answer" | head -n 3 >&2
        return 1
    fi
    jq -r '.value' <<<"$answer"
}

browser_open() { browser_ask POST url "$(jq -n --arg url "$1" '{url: $url}')" >/dev/null; }
browser_url() { browser_ask GET url; }
browser_source() { browser_ask GET source; }
browser_find() { # CSS: prints the element's id
    local answer
    answer=$(browser_ask POST element "$(jq -n --arg css "$1" '{using: "css selector", value: $css}')") || return 1
    jq -r '.[]' <<<"$answer"
}
browser_type() {
    local element
    element=$(browser_find "$1") || return 1
    browser_ask POST "element/$element/value" "$(jq -n --arg text "$2" '{text: $text}')" >/dev/null
}
browser_click() {
    local element
    element=$(browser_find "$1") || return 1
    browser_ask POST "element/$element/click" '{}' >/dev/null
}
browser_text() {
    local element
    element=$(browser_find "$1") || return 1
    browser_ask GET "element/$element/text"
}
browser_script() { browser_ask POST execute/sync "$(jq -n --arg script "$1" '{script: $script, args: []}')"; }
browser_screenshot() { browser_ask GET screenshot | base64 -d >"$1"; }
