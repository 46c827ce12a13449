#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks the format and style of everything and changes nothing: C and C++ with clang-format and clang-tidy (version
# 14), shell scripts with shellcheck, Python with ruff and mypy (pyproject.toml). clang-tidy takes a second or more for
# each file, so the test run uses it only for the program.
#   --fix      formats in place instead of complaining
#   --program  what the test run does: clang-tidy over userspace/ only
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh

jobs=$(nproc)
mapfile -t sources < <(find bpf include tests userspace vmlinux -name '*.[ch]' -o -name '*.cpp' | sort)
mapfile -t scripts < <(find scripts tests .ci -type f \( -name '*.sh' -o -path .ci/run -o -path 'scripts/install/debian/p*' \) | sort)
mapfile -t python < <(find scripts tests -name '*.py' | sort)
[ -x build/venv/bin/mypy ] || die 'no build/venv with ruff and mypy: run scripts/setup.sh'

format_in_place() {
  printf '%s\0' "${sources[@]}" | xargs -0 clang-format-14 -style=file -i
  build/venv/bin/ruff check --quiet --fix "${python[@]}" || true  # the next run reports what it can't fix
  build/venv/bin/ruff format --quiet "${python[@]}"
}

check_python() {
  build/venv/bin/ruff check --quiet --output-format concise "${python[@]}" &&
    build/venv/bin/ruff format --quiet --check "${python[@]}" &&
    build/venv/bin/mypy --no-error-summary "${python[@]}"
}

# Prints the names of the files that are not formatted; succeeds when there are none.
find_unformatted() {
  # shellcheck disable=SC2016  # the inner shell expands it
  printf '%s\0' "${sources[@]}" | xargs -0 -n 1 -P "$jobs" \
    sh -c 'clang-format-14 -style=file --dry-run --Werror "$1" 2>/dev/null || { echo "$1" >&2; exit 1; }' sh
}

# Each header of bpf/ compiles by itself: it includes what it uses, and no header relies on those before it.
check_bpf_headers() {
  local header
  for header in $(find bpf -name '*.h' | sort); do
    clang-14 -fsyntax-only -g -O2 -target bpf -mcpu=v3 -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-unused-function \
      -Werror -D__TARGET_ARCH_x86 -Iinclude -Ivmlinux -Ibpf -x c "$header" || return 1
  done
}

# clang-tidy reads the compile commands and the generated skeletons of a build directory of its own.
prepare_clang_tidy() {
  local skeletons
  cmake --preset tidy --log-level=WARNING >/dev/null
  mapfile -t skeletons < <(ninja -C build/tidy -t targets all |
    sed -n 's/^\([^/].*\.skel\.h\): CUSTOM_COMMAND.*/\1/p')
  cmake --build build/tidy --target "${skeletons[@]}" >/dev/null
}

# It prints each command that it runs and, on stderr, how many warnings it suppressed: drop both.
run_clang_tidy() {
  run-clang-tidy-14 -quiet -j "$jobs" -p build/tidy "^$PWD/(build/tidy/)?($1)/" 2>/dev/null |
    { grep -v '^clang-tidy-14 ' || true; }
}

tidied='userspace|tests'
case "${1:-}" in
  --fix) format_in_place && exit ;;
  --program) tidied=userspace ;;
  '') ;;
  *) die "unknown argument '$1'; see the head of this script" ;;
esac

find_unformatted || die 'these files are not formatted: run scripts/lint.sh --fix'
shellcheck --external-sources --source-path=SCRIPTDIR/.. "${scripts[@]}"
check_python || die 'ruff or mypy complains: see above (scripts/lint.sh --fix formats)'
check_bpf_headers || die 'a header of bpf/ does not compile by itself: see above'
prepare_clang_tidy
run_clang_tidy "$tidied" || die 'clang-tidy complains: see above'
