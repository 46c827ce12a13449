#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every test, from a fresh clone: installs what is missing, builds release, and runs ctest as root because the kernel
# and e2e tests load BPF programs. Arguments go to ctest, and it fails if they select no test:
#   scripts/test.sh -L unit
#   scripts/test.sh -R e2e.socket.protocol
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
help_from_head "$@"
trap hand_back_build EXIT

./scripts/setup.sh
cmake --preset release --log-level=WARNING
cmake --build build/release
as_root ctest --test-dir build/release --output-on-failure --no-tests=error --parallel 3 "$@"
