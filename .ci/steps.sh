# shellcheck shell=bash
# The steps of .ci/run, and the table of their results. The caller sets `work`, a folder for logs.
#
# A test that fails, and passes when it is repeated, is a bug of the test or of Taskloom: what decides is chance or the
# load of the machine. Such a bug must be seen, but must not hide the rest of the check. So a step of pytest in which
# few tests have failed gets a second chance: they are run three times more, alone (one at a time, no others before
# them), with the same random seeds. If all of them pass each time, the step is "ok, UNSTABLE", and the tests are named
# in the table and at the very end. All else is a failure, as before: a test that fails again, more than MOST_UNSTABLE
# tests, a process of pytest that crashed (as it does at the timeout of a test), an error of the collection, a step that
# took too long, or no list of what failed.

MOST_UNSTABLE=8
TRIES=3

skipped=()
failed=()
unstable=()
closings=()
steps=()
began=$SECONDS

announce() { printf '\n=== %s\n' "$*"; }
skip() { echo "--- skipped: $*"; skipped+=("$*"); }
fail() { echo "--- FAILED: $*"; failed+=("$*"); }

# Draw the seeds of all tests that draw numbers, once for the whole check: a second try has the same.
# TASKLOOM_SEED=N bash .ci/run repeats a check.
draw_seeds() {
    export TASKLOOM_SEED=${TASKLOOM_SEED:-$((RANDOM * 32768 + RANDOM))}
    export TASKLOOM_FUZZ_SEED=$TASKLOOM_SEED SIMULATE_SEED=$TASKLOOM_SEED CALENDAR_SEED=$TASKLOOM_SEED
    export TASKLOOM_KILL_SEED=$TASKLOOM_SEED
    announce "random numbers: TASKLOOM_SEED=$TASKLOOM_SEED, and so are all other variables with a seed"
}

# step SECONDS "what" command...: run it within its bound. A failure is kept for the end: one run shows them all.
step() {
    local bound=$1 what=$2 start=$SECONDS code=0
    shift 2
    announce "$what (at most $bound s)"
    timeout --kill-after=10 "$bound" "$@" || code=$?
    note_end "$code" "$bound" "$what" $((SECONDS - start))
}

# pytest_step SECONDS "what" TREE "ARGS" command...: a step that ends with `make -C TREE` and takes ARGS for pytest.
# Its closing line is shown again at the end.
pytest_step() {
    local bound=$1 what=$2 tree=$3 arguments=$4 start=$SECONDS code=0 log="$work/pytest.log" names="" name
    shift 4
    announce "$what (at most $bound s)"
    arguments="$arguments --hypothesis-seed=${TASKLOOM_SEED:-0}"
    run_pytest "$bound" "$log" "$@" ARGS="$arguments --cache-clear" || code=$?
    closings+=("$what:" "$(closing_line "$log")")
    if [ $code -eq 0 ] || ! names=$(few_failed "$code" "$tree" "$log") ||
        ! pass_alone "$bound" "$what" "$tree" "$arguments" "$names" "$@"; then
        note_end "$code" "$bound" "$what" $((SECONDS - start))
        return
    fi
    note_result $((SECONDS - start)) "ok, UNSTABLE" "$what"
    while IFS= read -r name; do
        steps+=("$(printf '%8s%-14s%s' "" "" "failed once: $name")")
        unstable+=("$name ($what)")
    done <<<"$names"
}

# run_pytest SECONDS LOG command...
# No test at all is exit code 5 of pytest. All of them skipped is 0, so it is looked for here.
run_pytest() {
    timeout --kill-after=10 "$1" bash -o pipefail -c '
        "$@" 2>&1 | tee "$0" || exit
        grep -qE "[0-9] passed" "$0" || { echo "no test passed"; exit 5; }' "${@:2}"
}

# few_failed CODE TREE LOG: print the names of the tests that failed, or return 1 if there is no second chance.
few_failed() {
    local code=$1 tree=$2 log=$3
    [ "$code" -ne 124 ] && [ "$code" -ne 137 ] || return 1
    ! grep -qE "worker 'gw[0-9]+' crashed|^\[gw[0-9]+\] node down|^INTERNALERROR|^!+ .* !+$|Fatal Python error" "$log" ||
        return 1
    closing_line "$log" | grep -qE '[0-9] passed' || return 1
    closing_line "$log" | grep -qE '[0-9] (failed|errors?)' || return 1
    "$tree/.venv/bin/python" -I -c '
import json, sys
names = sorted(json.load(open(sys.argv[1], encoding="utf-8")))
# The name of a file is an error of the collection.
if not 0 < len(names) <= int(sys.argv[2]) or not all("::" in name for name in names):
    sys.exit(1)
print("\n".join(names))' "$tree/.pytest_cache/v/cache/lastfailed" $MOST_UNSTABLE 2>/dev/null
}

# pass_alone SECONDS "what" TREE "ARGS" NAMES command...: whether the failed tests pass each time they are repeated.
pass_alone() {
    local bound=$1 what=$2 tree=$3 arguments=$4 names=$5 count try log="$work/again.log"
    shift 5
    count=$(wc -l <<<"$names")
    cp "$tree/.pytest_cache/v/cache/lastfailed" "$work/lastfailed" || return 1
    for ((try = 1; try <= TRIES; try++)); do
        announce "$what: the failed tests ($count) alone, try $try of $TRIES"
        cp "$work/lastfailed" "$tree/.pytest_cache/v/cache/lastfailed" || return 1
        run_pytest "$bound" "$log" "$@" ARGS="$arguments -n 0 --last-failed --last-failed-no-failures none" || return 1
        # All of them, and nothing else: none was skipped, and no fixture has failed.
        closing_line "$log" | grep -qE "^=+ $count passed(, [0-9]+ deselected)?(, [0-9]+ warnings?)? in " || return 1
    done
}

closing_line() { grep -E '^=+ .* in [0-9.]+s.* =+$' "$1" | tail -n 1 | grep . || echo "no closing line"; }

# note_end CODE SECONDS "what" TOOK
note_end() {
    if [ "$1" -eq 0 ]; then
        note_result "$4" ok "$3"
        return
    fi
    [ "$1" -ne 124 ] || echo "--- $3: not done in $2 s"
    note_result "$4" FAILED "$3"
    fail "$3 (exit code $1, $4 s)"
    return 1
}

note_result() {
    [ "$2" = FAILED ] || echo "--- $3: $2, $1 s"
    steps+=("$(printf '%6d  %-14s%s' "$@")")
}

# Show all results again, with a table of the steps, and leave.
finish() {
    announce "all steps"
    printf 'seconds  result        step\n'
    [ ${#steps[@]} -eq 0 ] || printf ' %s\n' "${steps[@]}"
    printf ' %6d                in total\n' "$((SECONDS - began))"
    [ ${#skipped[@]} -eq 0 ] || printf 'skipped: %s\n' "${skipped[@]}"
    [ ${#failed[@]} -eq 0 ] || printf 'FAILED: %s\n' "${failed[@]}"
    [ ${#closings[@]} -eq 0 ] || printf '%s\n' "${closings[@]}"
    [ -z "${TASKLOOM_SEED:-}" ] || echo "the same random numbers again: TASKLOOM_SEED=$TASKLOOM_SEED bash .ci/run"
    if [ ${#unstable[@]} -gt 0 ]; then
        echo "UNSTABLE: these tests failed, and then passed $TRIES times alone. Each is a bug that chance hides:"
        printf '  %s\n' "${unstable[@]}"
    fi
    [ ${#failed[@]} -eq 0 ] || exit 1
    [ ${#unstable[@]} -eq 0 ] || { echo "all checks passed, but UNSTABLE: ${#unstable[@]} (named above)"; exit 0; }
    echo "all checks passed"
    exit 0
}
