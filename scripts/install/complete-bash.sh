# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the tests: prints bash's completions of a command line, one per line. Usage:
# `bash complete-bash.sh COMPLETION monitor --col`; the last word is the one to complete.
# shellcheck disable=SC1090  # the file under test
. "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
"$(complete -p monitor | sed 's/.*-F \([^ ]*\) .*/\1/')"
[ "${#COMPREPLY[@]}" -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}"
