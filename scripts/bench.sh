#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures what monitor costs the observed server, the machine's other processes, and itself, and compares each figure
# with its target. Takes about five minutes. Arguments:
#   --against BINARY  also compares this tree's build with another one, in the same rounds
#   --json            one JSON object in place of the table
#   --quick           few rounds: checks that everything works, but the intervals are wide
#   --seconds N       how long to measure each of the four groups of ratios
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
trap hand_back_build EXIT

build() {
  ./scripts/setup.sh
  cmake --preset release --log-level=WARNING >/dev/null
  cmake --build build/release --target monitor
  mkdir -p build/bench
  local program
  for program in load neighbour; do
    cc -O2 -Wall -Wextra -Werror -o "build/bench/$program" "scripts/bench/$program.c"
  done
  cc -O2 -Wall -Wextra -Werror -o build/bench/empty scripts/bench/empty.c -lbpf
  clang-14 -O2 -g -target bpf -Wall -Wextra -Werror -c -o build/bench/empty.bpf.o scripts/bench/empty.bpf.c
}

build >&2 # standard output is for the table or the JSON
as_root env PYTHONDONTWRITEBYTECODE=1 build/venv/bin/python scripts/bench/bench.py \
  --monitor build/release/monitor --tools build/bench "$@"
