#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The unit tests under AddressSanitizer and UndefinedBehaviorSanitizer. Arguments go to the test program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
cmake --preset asan --log-level=WARNING
cmake --build build/asan --target monitor_unit
exec build/asan/tests/monitor_unit "$@"
