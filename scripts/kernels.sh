#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Boots Debian's older kernels in qemu (no KVM needed) and runs the kernel tests and a core of the e2e tests in each:
#   scripts/kernels.sh                             both kernels; build first (scripts/test.sh does)
#   scripts/kernels.sh 6.1                         one of them
#   scripts/kernels.sh --run 'COMMAND' 6.12        a shell command in the root of the tree, with build/release
#   scripts/kernels.sh --shell 6.1                 a shell there; Ctrl-A X ends it
# --file PATH, as often as wanted, takes this file or directory along to the same place.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
. scripts/kernels/images.sh
. scripts/kernels/initrd.sh
. scripts/kernels/boot.sh

command=scripts/kernels/guest-tests.sh
mode=tests
patience=10m
versions=()
files=()
while [ $# -gt 0 ]; do
  case "$1" in
    --run) mode=run; command=${2:?--run needs a command}; shift ;;
    --file) files+=("$(realpath "${2:?--file needs a path}")"); shift ;;
    --shell) mode=shell; patience=1d ;;
    6.*) versions+=("$1") ;;
    *) die "unknown argument '$1'; see the head of this script" ;;
  esac
  shift
done
if [ "${#versions[@]}" -eq 0 ]; then
  versions=(6.1 6.12)
fi
[ -x build/release/monitor ] || die 'no build/release/monitor: run scripts/test.sh, or cmake --build build/release'

mkdir -p build/kernels
scratch=$(mktemp -d "$PWD/build/kernels/run.XXXXXX")
trap 'rm -rf "$scratch"; hand_back_build' EXIT

exec {lock}>build/kernels/.lock
flock "$lock"  # two at once would download the same kernel
for version in "${versions[@]}"; do
  prepare_image "$version"
done
prepare_base
flock -u "$lock"

prepare_initrd "$command" "${files[@]}"
failed=()
for version in "${versions[@]}"; do
  [ "$mode" != tests ] || printf '== kernel %s (%s)\n' "$version" "$(cat "build/kernels/$version/package")"
  if [ "$mode" = shell ]; then
    boot "$version" shell
  else
    boot "$version" || failed+=("$version")
  fi
done
if [ "${#failed[@]}" -gt 0 ]; then
  die "failed on kernel ${failed[*]}"
fi
