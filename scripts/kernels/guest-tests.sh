#!/usr/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# Runs in the guest, in the root of the tree: the kernel tests, then the core of the e2e tests. Exits with 0 if all pass. A
# skipped test counts as failed, because the guest has what every test needs. The last lines summarise the results.
export MONITOR_TEST_PATIENCE=120  # seconds; an emulated machine can be slow
failed=0

build/release/tests/monitor_kernel --no-colors >/tmp/kernel.log 2>&1 || failed=1
cat /tmp/kernel.log

# shellcheck disable=SC2046  # one name per line, without spaces
build/venv/bin/python -m pytest -q --color=no -rs --durations=5 \
  $(grep -v '^#' scripts/kernels/core-tests.txt) >/tmp/e2e.log 2>&1 || failed=1
cat /tmp/e2e.log
! grep -q '^SKIPPED' /tmp/e2e.log || failed=1

printf 'kernel tests: %s\n' "$(grep '^\[doctest\] test cases:' /tmp/kernel.log)"
printf 'e2e tests: %s\n' "$(tail -n 1 /tmp/e2e.log)"
exit $failed
