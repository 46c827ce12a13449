#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Boots older Debian kernels in qemu, without KVM, and runs the kernel tests and a core of the e2e tests on them:
#   scripts/kernels.sh                        on all of them, in parallel; build first (scripts/test.sh does)
#   scripts/kernels.sh 6.1                    on one
#   scripts/kernels.sh 6.12 --run 'COMMAND'   runs a shell command in the root of the tree, with build/release
#   scripts/kernels.sh 6.1 --shell            opens a shell; exit or Ctrl-A X ends it
# --file PATH copies a file or directory to the same path in the guest; repeat it for more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
help_from_head "$@"
. scripts/kernels/images.sh
. scripts/kernels/initrd.sh
. scripts/kernels/boot.sh

mode=tests
command=scripts/kernels/guest-tests.sh
versions=()
files=()
while [ $# -gt 0 ]; do
  case "$1" in
    --run) mode=run; command=${2:?--run needs a command}; shift ;;
    --file) files+=("$(realpath "${2:?--file needs a path}")"); shift ;;
    --shell) mode=shell ;;
    [0-9]*.[0-9]*) versions+=("$1") ;;
    *) die "unknown argument '$1': see the comment at the top of this script" ;;
  esac
  shift
done
if [ "${#versions[@]}" -eq 0 ]; then
  versions=(6.1 6.12)
fi
for binary in build/release/monitor build/release/tests/monitor_kernel build/venv/bin/python; do
  [ -x "$binary" ] || die "no $binary: scripts/test.sh makes it"
done

clean_up() {
  [ "${#guests[@]}" -eq 0 ] || kill "${guests[@]}" 2>/dev/null || true
  wait
  rm -rf "$scratch"
  hand_back_build
}

mkdir -p build/kernels
scratch=$(mktemp -d "$PWD/build/kernels/run.XXXXXX")
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

exec {lock}>build/kernels/.lock
flock "$lock"  # two runs at once would download the same kernel
for version in "${versions[@]}"; do
  prepare_image "$version"
done
prepare_base
flock -u "$lock"
prepare_initrd "$command" "${files[@]}"

case "$mode" in
  tests) run_tests "${versions[@]}" ;;
  run) run_command "${versions[@]}" ;;
  shell) run_shell "${versions[0]}" ;;
esac
