# shellcheck shell=bash
# Every script begins with this: it ends at the first command that fails, and prints
# that command, its place and its status. A command within a condition may fail, and
# so may commands of a function that is called there.
set -Eeuo pipefail
# `$(…)` ends at its first failure, too. Bash before 4.4, as on macOS, continues.
shopt -s inherit_errexit 2>/dev/null || true

report_failure() { # report_failure STATUS STATUSES-IN-THE-PIPELINE COMMAND
    local words="status $1" level callers=
    [ "$1" = "$2" ] || words+=" (of a pipeline: $2)"
    for ((level = 2; level < ${#FUNCNAME[@]}; level++)); do
        callers+=", called in line ${BASH_LINENO[level - 1]}"
    done
    printf 'gradwire: %s failed in line %s%s: %s: %s\n' \
        "${BASH_SOURCE[1]}" "${BASH_LINENO[0]}" "$callers" "$words" "$3" >&2
}
trap 'report_failure "$?" "${PIPESTATUS[*]}" "$BASH_COMMAND"' ERR

fail() { # fail WORDS: ends the script for a reason that needs no line
    printf '\ngradwire: %s\n\n' "$1" >&2
    exit 1
}
