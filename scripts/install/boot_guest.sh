#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs in the guest of boot-test.sh after the boot: enables and disables the service as an operator does, with a server to
# observe.
set -euo pipefail

unit=uvicorn-monitor.service

fail() {
  printf 'failed: %s\n' "$1"
  systemctl --no-pager --full status "$unit" || true
  journalctl --no-pager --output=cat --unit="$unit" || true
  exit 1
}

step() { printf '%3d s: %s\n' "${SECONDS}" "$1"; }

# wait_until WHAT COMMAND…: waits up to 30 seconds plus the command's own time, since an emulated machine can be slow.
wait_until() {
  local attempt
  for attempt in {1..150}; do
    if "${@:2}"; then
      return
    fi
    sleep 0.2
  done
  fail "$1: not yet, after $attempt attempts"
}

# get URL: prints the response's body.
get() { python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())' "$1" 2>/dev/null; }
answers() { [ "$(get "$1")" = "$2" ]; }
serves() { get http://127.0.0.1:9464/metrics >/dev/null; }
counts() { get http://127.0.0.1:9464/metrics | grep -qxF "uvicorn_requests_total{target=\"127.0.0.1:8000\"} $1"; }

is() { [ "$(systemctl show --property "$1" --value "$unit")" = "$2" ]; }
expect() { is "$1" "$2" || fail "$1 is $(systemctl show --property "$1" --value "$unit") and not $2"; }

# request N: sends N requests, one after another.
request() {
  local i
  for ((i = 0; i < $1; ++i)); do
    answers http://127.0.0.1:8000/ ok || fail 'uvicorn does not answer'
  done
}

uname -sr
step 'installed, and neither started nor enabled'
expect ActiveState inactive
expect UnitFileState disabled

systemctl start app.service
wait_until 'uvicorn answers' answers http://127.0.0.1:8000/ ok
step 'systemctl enable --now'
systemctl --quiet enable --now "$unit"
expect UnitFileState enabled
wait_until 'it observes the server' answers http://127.0.0.1:9464/healthz ok
request 7
wait_until '7 requests are counted' counts 7

step 'the service crashes'
systemctl kill --signal=KILL "$unit"
wait_until 'systemd has restarted it' is NRestarts 1
wait_until 'it observes the server again' answers http://127.0.0.1:9464/healthz ok

step 'upgrade the package, with an attached server'
before=$(systemctl show --property MainPID --value "$unit")
monitor attach --keep-ended 0 --pid "$(systemctl show --property MainPID --value app.service)"
dpkg --install /root/package.deb >/dev/null
expect ActiveState active
! is MainPID "$before" || fail 'the upgrade did not restart it'
wait_until 'it observes the server once more' answers http://127.0.0.1:9464/healthz ok
request 3
wait_until '3 requests are counted' counts 3

step 'end the server, and restart the service with the pins left behind'
systemctl stop app.service
systemctl restart "$unit"
wait_until 'it serves' serves
[ ! -e /sys/fs/bpf/monitor ] || fail 'the pins are still there'

step 'systemctl disable --now'
systemctl --quiet disable --now "$unit"
expect ActiveState inactive
expect UnitFileState disabled
expect Result success

step 'purge the package'
dpkg --purge uvicorn-monitor >/dev/null
left=$(find /etc /lib/systemd/ /var/lib/systemd -name '*uvicorn-monitor*')
[ -z "$left" ] || fail "the purge has left $left"
step 'passed'
