# examples.bash - the examples of README and of the manual pages, taken out and run for real.
#
# An example is a block of code:
#   README.md      ```sh (one command a line; a comment "# ... TEXT" says that its output holds TEXT, and "(exit code N)"
#                  that it fails so) and ```toml
#   *.scd          ``` blocks: one that begins with "$ " is a session (commands behind "$ ", then what they print, with
#                  "..." for anything, and for any lines when alone on one), every other one is a service list
# Runs of spaces count as one, so that columns may be aligned for the eye.
# shellcheck shell=bash

# blocks FILE sh|toml: each block of that kind, ended by a line with a form feed.
blocks() {
    local file=$1 kind=$2
    case $file in
    *.md) awk -v kind="$kind" '/^```/ {if (inside && on) print "\f"; on = !inside && $0 == "```" kind; inside = !inside; next} on' "$file" ;;
    *.scd)
        awk -v kind="$kind" '
            /^[ \t]*```/ {if (inside && on) print "\f"; inside = !inside; first = inside; on = 0; next}
            inside && first {first = 0; on = (kind == "sh") == /^[ \t]*\$ /}
            inside && on {sub(/^\t/, ""); print}' "$file" ;;
    esac
}

squeeze() { tr -s ' \t' ' ' | sed -E 's/^ //; s/ $//'; }

# pattern: of lines with "..." for anything, a glob.
pattern() {
    local text
    text=$(squeeze | sed -E 's/[][*?\\]/\\&/g; s/\.\.\./*/g')
    text=${text//$'\n*\n'/"*"} text=${text/#$'*\n'/"*"} text=${text/%$'\n*'/"*"}
    printf '%s' "$text"
}

# goes_on COMMAND: does it run until it is stopped?
goes_on() { [[ $1 == "make run"* || ($1 == *"hostd start "* && $1 != *--detach*) ]]; }
# may_repeat COMMAND: does it only look?  What it shows may take a moment to come.
may_repeat() { [[ $1 =~ ^(curl|[a-z/]*hostd\ (ps|logs|events|explain|call)) ]]; }

fail_example() {
    printf 'not as stated: %s\nprinted (exit code %s):\n%s\n' "$1" "$2" "$3" >&2
    exit 1
}

# run_example COMMAND GLOB [CODE]: exit code 0 or CODE, and an output like GLOB.
run_example() {
    local command=$1 glob=$2 expected=${3:-0} output code=0 until=$((SECONDS + 10)) log
    printf '+ %s\n' "$command"
    if goes_on "$command"; then
        log=$(mktemp)
        bash -c "exec ${command%%  #*}" >"$log" 2>&1 3>&- &
        background+=($!)
        until grep -q '^hostd: .* is ready' "$log"; do
            kill -0 $! 2>/dev/null && [ "$SECONDS" -lt $((until + 110)) ] || fail_example "$command" - "$(cat "$log")"
            sleep 0.05
        done
        return
    fi
    while :; do
        code=0
        output=$(bash -c "$command" 2>&1 3>&-) || code=$?
        # shellcheck disable=SC2053 # a glob
        [ "$code" = "$expected" ] && [[ $(squeeze <<<"$output") == $glob ]] && return
        may_repeat "$command" && [ "$SECONDS" -lt "$until" ] || fail_example "$command" "$code" "$output"
        sleep 0.05
    done
}

# run_sh_block, run_session: the block on stdin.
run_sh_block() {
    local line stated code
    while IFS= read -r line; do
        stated="*"; code=$(sed -nE 's/.*\(exit code ([0-9]+)\)$/\1/p' <<<"$line")
        [[ $line != *"# ... "* ]] || stated="*$(sed -E 's/.*# \.\.\. //; s/ \(exit code [0-9]+\)$//' <<<"$line" | pattern)*"
        case $line in
        "" | "make test"*) ;; # this is what `make test` runs
        *) run_example "$line" "$stated" "$code" ;;
        esac
    done
}
run_session() {
    local line command="" stated=""
    while IFS= read -r line; do
        if [[ $line == "$ "* ]]; then
            [ -z "$command" ] || run_example "$command" "$(pattern <<<"${stated:-...}")"
            command=${line#"$ "} stated=""
        else
            stated+=${stated:+$'\n'}$line
        fi
    done
    [ -z "$command" ] || run_example "$command" "$(pattern <<<"${stated:-...}")"
}

# run_examples FILE: all of its commands, in order; what was started must have ended well when they are through.
run_examples() {
    local file=$1 block="" line pid
    background=()
    while IFS= read -r line; do
        if [ "$line" != $'\f' ]; then
            block+=$line$'\n'
            continue
        fi
        case $file in
        *.md) run_sh_block <<<"${block%$'\n'}" ;;
        *) run_session <<<"${block%$'\n'}" ;;
        esac
        block=""
    done < <(blocks "$file" sh)
    for pid in "${background[@]}"; do
        wait "$pid" || fail_example "what was started in the background" $? ""
    done
}
# By itself: `examples.bash FILE` runs them.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -u
    run_examples "$1"
fi
