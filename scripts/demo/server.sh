# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034  # the scripts that source this use the variables
# Sourced by demo.sh and demo/record.sh, after common.sh: the demo server and its load. Debian's uvicorn runs it, so that
# the demo needs no venv and nothing from PyPI.

monitor=build/release/monitor
server=
load=
port=

# A first build is made whole, so it compiles each folder as one file: half the CPU time.
build_monitor() {
  local unity=()
  [ -e build/release/CMakeCache.txt ] || unity=(-DMONITOR_UNITY=ON)
  printf 'Building %s\n' "$monitor"
  cmake --preset release "${unity[@]}" --log-level=WARNING >/dev/null
  cmake --build build/release --target monitor
}

stop_demo() {
  local pid
  for pid in $load $server; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  hand_back_build
}

# setsid detaches both from the terminal: an interrupt reaches only the script, and with --keep they outlive it.
# Sets `server`, `load` and `port`.
start_demo() {
  local log=build/demo/server.log
  mkdir -p build/demo
  : >"$log"
  # The application lies among the sources: Python writes no bytecode there.
  setsid env PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m uvicorn --app-dir scripts/demo --host 127.0.0.1 --port 0 \
    --no-access-log --no-use-colors app:app >"$log" 2>&1 </dev/null &
  server=$!
  find_port "$log"
  setsid /usr/bin/python3 scripts/demo/load.py --port "$port" >/dev/null 2>&1 </dev/null &
  load=$!
}

# The kernel picks the port; uvicorn logs it once it listens.
find_port() {
  local attempt
  for attempt in {1..600}; do
    port=$(sed -n 's|.*running on http://127\.0\.0\.1:\([0-9]*\).*|\1|p' "$1")
    [ -z "$port" ] || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.05
  done
  cat "$1" >&2
  die "the demo server did not start (attempt $attempt): its output is above"
}
