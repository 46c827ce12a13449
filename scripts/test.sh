#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every test, from a fresh clone: sets up, builds release and runs ctest as root (the kernel and e2e tests load BPF
# programs). Arguments go to ctest: `scripts/test.sh -L unit`, `scripts/test.sh -R e2e.counts`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
trap hand_back_build EXIT

./scripts/setup.sh
cmake --preset release --log-level=WARNING
cmake --build build/release
as_root ctest --test-dir build/release --output-on-failure --parallel 3 "$@"
