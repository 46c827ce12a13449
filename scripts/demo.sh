#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows monitor at work: sets up, builds it, starts a server with mixed load on a free loopback port, watches it for ten
# seconds, prints the JSON, and stops what it started. With --keep the server and its load go on afterwards.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh

keep=false
for argument in "$@"; do
  case "$argument" in
    --keep) keep=true ;;
    *) die "unknown argument '$argument'; the only one is --keep" ;;
  esac
done

monitor=build/release/monitor
log=build/demo/server.log
server=
load=

clean_up() {
  local pid
  for pid in $load $server; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  hand_back_build
}

# Under setsid they belong to no terminal: an interrupt there reaches this script alone, and --keep outlives it.
start_server() {
  mkdir -p build/demo
  : >"$log"
  setsid build/venv/bin/uvicorn --app-dir scripts/demo --host 127.0.0.1 --port 0 --no-access-log --no-use-colors \
    app:app >"$log" 2>&1 </dev/null &
  server=$!
}

# The kernel picked the port; uvicorn says which once it listens.
wait_for_port() {
  local port=
  local attempt
  for attempt in {1..600}; do
    port=$(sed -n 's|.*running on http://127\.0\.0\.1:\([0-9]*\).*|\1|p' "$log")
    if [ -n "$port" ]; then
      printf '%s\n' "$port"
      return
    fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.05
  done
  cat "$log" >&2
  die "the demo server did not start (attempt $attempt): its output is above"
}

start_load() {
  setsid build/venv/bin/python scripts/demo/load.py --port "$1" >/dev/null 2>&1 </dev/null &
  load=$!
}

./scripts/setup.sh
printf 'Building %s\n' "$monitor"
cmake --preset release --log-level=WARNING >/dev/null
cmake --build build/release --target monitor

trap clean_up EXIT
start_server
port=$(wait_for_port)
start_load "$port"
printf '\nuvicorn is pid %d on 127.0.0.1:%d; watching it for 10 seconds.\n\n' "$server" "$port"
as_root "$monitor" --pid "$server" --watch --interval 1 --duration 10

printf '\nThe same as JSON:\n'
as_root "$monitor" --pid "$server" --json | /usr/bin/python3 -m json.tool

if "$keep"; then
  printf '\nThe server (pid %d) and its load (pid %d) go on. Watch them:\n' "$server" "$load"
  printf '  sudo %s --pid %d --watch\nStop them:\n  kill %d %d\n' "$monitor" "$server" "$load" "$server"
  trap hand_back_build EXIT
fi
