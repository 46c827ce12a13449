# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034  # the scripts that source this use the variables
# Sourced by demo.sh and demo/record.sh, after common.sh: the build of monitor, the demo server and its load. Debian's
# uvicorn runs the server, so the demo needs no venv and nothing from PyPI.

monitor=
server=
load=
port=

# Sets `monitor`. Uses build/release if it exists. Otherwise it builds in build/demo, whose preset takes less than half of
# the CPU time: it optimises less, compiles each folder as one file, and leaves out the tests.
build_monitor() {
  local preset=demo
  [ ! -e build/release/CMakeCache.txt ] || preset=release
  monitor=build/$preset/monitor
  printf 'Building %s\n' "$monitor"
  cmake --preset "$preset" --log-level=WARNING >/dev/null
  cmake --build "build/$preset" --target monitor
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
