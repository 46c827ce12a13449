#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs third-party servers from PyPI, each with its own command, sends them load, and compares what `monitor` counts with
# the server's own count. Prints a table; ends with status 1 if a server is not found or is counted otherwise. Build
# first: `scripts/real-servers.sh [--write] [NAME...]`.
#   --write   puts the table into docs/servers.md
#   --list    prints the names of the servers
#   NAME      only these servers
# Downloads several gigabytes the first time, and so is no part of scripts/test.sh. Each server has a virtual environment
# in MONITOR_REAL_SERVERS (default: ~/.cache/monitor-real-servers), which later runs use again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
help_from_head "$@"

cache=${MONITOR_REAL_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/monitor-real-servers}
for program in build/venv/bin/python "${MONITOR_BINARY:=build/release/monitor}"; do
  [ -x "$program" ] || die "no $program: scripts/setup.sh and a build make it"
done
run=(env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=tests/e2e:tests/e2e/programs "MONITOR_BINARY=$(realpath "$MONITOR_BINARY")"
  build/venv/bin/python scripts/real_servers/run.py --cache "$cache")

for argument in "$@"; do
  if [ "$argument" = --list ]; then
    exec "${run[@]}" --list
  fi
done
"${run[@]}" --install "$@"  # as the caller: the cache stays theirs
as_root "${run[@]}" "$@"
