#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures what monitor costs the server it watches, the machine's other processes, and itself, beside the targets that
# it has; takes about three minutes. Arguments go to scripts/bench/bench.py: --quick, --rounds N.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
trap hand_back_build EXIT

./scripts/setup.sh
cmake --preset release --log-level=WARNING >/dev/null
cmake --build build/release --target monitor
mkdir -p build/bench
cc -O2 -Wall -Wextra -Werror -o build/bench/neighbour scripts/bench/neighbour.c
as_root env PYTHONDONTWRITEBYTECODE=1 build/venv/bin/python scripts/bench/bench.py \
  --monitor build/release/monitor --neighbour build/bench/neighbour "$@"
