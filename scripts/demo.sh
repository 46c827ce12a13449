#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows monitor at work: installs what the demo needs, builds monitor, starts a server with mixed load on a free loopback
# port, watches it for ten seconds, prints the JSON, and stops what it started. With --keep the server and its load stay.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
help_from_head "$@"
. scripts/demo/server.sh

keep=false
for argument in "$@"; do
  case "$argument" in
    --keep) keep=true ;;
    *) die "unknown argument '$argument'; the only one is --keep" ;;
  esac
done

./scripts/setup.sh demo
build_monitor

trap stop_demo EXIT
start_demo
printf '\nuvicorn is pid %d on 127.0.0.1:%d; watching it for 10 seconds.\n\n' "$server" "$port"
as_root "$monitor" --pid "$server" --watch --interval 1 --duration 10

printf '\nThe same as JSON:\n'
as_root "$monitor" --pid "$server" --json | /usr/bin/python3 -m json.tool

if "$keep"; then
  printf '\nThe server (pid %d) and its load (pid %d) keep running. To watch them:\n' "$server" "$load"
  printf '  sudo %s --pid %d --watch\nTo stop them:\n  kill %d %d\n' "$monitor" "$server" "$load" "$server"
  trap hand_back_build EXIT
fi
