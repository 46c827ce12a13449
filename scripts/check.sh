#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What to run before a commit, in less than a minute: formats, shellcheck, ruff (if build/venv has it), an incremental
# build of the program and its unit tests, and the unit tests, which include the rules on includes (structure_test.cpp).
# Needs no root once `scripts/setup.sh check` has run. As a hook: ln -s ../../scripts/check.sh .git/hooks/pre-commit
#   --preset NAME   the build to use: dev (the default) or release
set -euo pipefail
unset GIT_DIR GIT_INDEX_FILE  # git sets them for hooks
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/.."
. scripts/common.sh
help_from_head "$@"

preset=dev
case "${1:-}" in
  '') ;;
  --preset) preset=${2:?--preset needs a name} ;;
  *) die "unknown argument '$1'; the only one is --preset NAME" ;;
esac

# step NAME COMMAND...: its output appears only if it fails.
step() {
  local output begin=$SECONDS
  if ! output=$("${@:2}" 2>&1); then
    printf '%s\n' "$output" >&2
    die "$1 failed: see above (scripts/lint.sh --fix formats in place)"
  fi
  printf '%-12s ok, %d s\n' "$1" "$((SECONDS - begin))"
}

list() { git ls-files -z --cached --others --exclude-standard -- "$@"; }

check_format() {
  list '*.c' '*.h' '*.cpp' | xargs -0 -n 20 -P "$(nproc)" clang-format-14 -style=file --dry-run --Werror
}

check_shell() {
  list '*.sh' .ci/run 'scripts/install/debian/p*' |
    xargs -0 shellcheck --external-sources --source-path=SCRIPTDIR/..
}

check_python() {
  list '*.py' | xargs -0 build/venv/bin/ruff check --quiet --output-format concise
}

build() {
  cmake --preset "$preset" --log-level=WARNING
  cmake --build "build/$preset" --target monitor monitor_unit
}

begin=$SECONDS
step format check_format
step shellcheck check_shell
if [ -x build/venv/bin/ruff ] && [ -e pyproject.toml ]; then
  step ruff check_python
fi
step build build
step unit "build/$preset/tests/monitor_unit"
printf 'all ok, %d s\n' "$((SECONDS - begin))"
