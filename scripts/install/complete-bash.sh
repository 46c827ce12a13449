# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the tests: what bash offers, one a line, behind the words given: `bash complete-bash.sh COMPLETION monitor --col`.
# The last word is the one that is being typed.
# shellcheck disable=SC1090  # the file under test
. "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
"$(complete -p monitor | sed 's/.*-F \([^ ]*\) .*/\1/')"
[ "${#COMPREPLY[@]}" -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}"
