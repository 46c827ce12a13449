#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs monitor to show what the server of run_proxy.sh, or another one, is doing; see --help.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/scripts/proxy/record.sh"
. "$root/scripts/proxy/monitor.sh"

usage() {
  cat <<'END'
Observes a running uvicorn for two seconds and shows what it is doing, in one box.

Usage: monitor_uvicorn.sh [--watch] [--interval N] [--json] [--pid N] [--no-color] [--no-system]

  --watch         keep observing until Ctrl-C; on a terminal, redraw in place
  --interval N    seconds to observe, or with --watch between two snapshots (2; without it, an attached server is
                  shown at once)
  --json          print JSON, one object per line
  --pid N         the server (the pid in logs/proxy.pid, which run_proxy.sh writes)
  --no-color      use no colours; a pipe or a file never gets any
  --no-system     omit CPU, memory and threads

The server of `run_proxy.sh start` is attached: totals and peak are those since its start. Those of another server are
since its attach (`monitor attach`), or since the start of this command.

Needs root (uses sudo if there is one), or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE, and CAP_DAC_READ_SEARCH for another
user's server.

Environment variables:
  PROXY_LOG_DIR                      directory to use in place of logs/ in the tree of this script
  MONITOR_BINARY, MONITOR_PROFILE    the monitor to use, and its --profile
  MONITOR_PINS                       directory of the attached engine; the same as monitor's --pins
  NO_COLOR                           same as --no-color

Exit status: 0 success; 1 failure; 2 wrong usage; 3 no such server, or it has ended; 4 not permitted;
5 the kernel lacks a required feature.
END
}

watch=false json=false no_system=false interval='' pid='' color=auto
beside_engine=false

take_options() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --watch) watch=true ;;
      --json) json=true ;;
      --no-color) color=never ;;
      --no-system) no_system=true ;;
      --interval=* | --pid=*)
        set -- "${1%%=*}" "${1#*=}" "${@:2}"
        continue ;;
      --interval | --pid)
        [ $# -gt 1 ] || usage_error "$1 needs a value"
        if [ "$1" = --pid ]; then pid=$2; else interval=$2; fi
        shift ;;
      --help | -h) usage; exit ;;
      *) usage_error "unknown argument '$1'" ;;
    esac
    shift
  done
}

# Sets `pid` to that of the proxy.
choose_server() {
  [ -z "$pid" ] || return 0
  look_up_proxy
  case "$proxy" in
    running | foreign) pid=$proxy_pid ;;
    stale) fail 3 "Proxy is not running (stale PID file: $proxy_why)" "${start_hints[@]}" ;;
    absent)
      fail 3 "Proxy is not running (no PID file): $(shown "$pid_file") does not exist" "${start_hints[@]}" ;;
  esac
}
start_hints=('start it: scripts/run_proxy.sh start'
  'or name a server that runs: --pid N (monitor ls shows which do)')

# The snapshot passes through this script, so tell monitor to colour it as on the terminal.
choose_color() {
  if [ "$color" = auto ] && [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then
    color=always
  fi
}

# Whether MONITOR_PROFILE asks for another profile than the one that counts the server now.
contradicts_engine() {
  case "${MONITOR_PROFILE:-auto}" in
    auto) return 1 ;;
    *) is_attached "$pid" && [ "$attached_profile" != "$MONITOR_PROFILE" ] ;;
  esac
}

# Zeros are a valid result, so they are printed; this adds that there was nothing to count.
note_when_nothing_was_counted() {
  if "$json"; then
    [[ "$1" == *'"active_concurrent":0,'*'"total_requests":0,'* ]] || return 0
  else
    [[ "$1" =~ 'Active Concurrent:'\ +0[^0-9].*'Total Requests:'\ +0[^0-9] ]] || return 0
  fi
  if ! "$beside_engine" && is_attached "$pid"; then
    printf '%s: No concurrency metrics found: no request since the attach, %s\n' "$(basename "$0")" "$attached_since" >&2
    printf '  %s\n' 'send requests: scripts/load_test.sh' >&2
  else
    printf '%s: No concurrency metrics found: no request within %s s\n' "$(basename "$0")" "${interval:-2}" >&2
    printf '  %s\n' 'send requests meanwhile (scripts/load_test.sh), or observe for longer: --watch, --interval 10' >&2
  fi
  if [ "$proxy" = running ] && log_is_fed; then
    printf '  %s\n' "since the server's start: $(tac "$log_file" | grep -m 1 '^\[CONCURRENCY\]')" >&2
  fi
}

take_options "$@"
[ -z "${NO_COLOR:-}" ] || color=never  # sudo may not pass it on
proxy=absent
choose_server
find_monitor || fail 1 "$monitor_missing" "$build_hint"
if contradicts_engine; then
  beside_engine=true
  pins_option=(--pins "$logs/no-engine")  # so that it loads its own, as for a server that is not attached
fi
command=("$monitor" "${pins_option[@]}" "${profile_option[@]}" --pid "$pid")
[ -z "$interval" ] || command+=(--interval "$interval")
if ! may_attach && command -v sudo >/dev/null; then
  command=(sudo "${command[@]}")
fi
if "$json"; then
  command+=(--json)
fi
if "$no_system"; then
  command+=(--no-system)
fi
if "$watch"; then
  [ "$color" = auto ] || command+=(--no-color)
  exec "${command[@]}" --watch
fi
choose_color
snapshot=$("${command[@]}" --color "$color")
printf '%s\n' "$snapshot"
note_when_nothing_was_counted "$(printf '%s\n' "$snapshot" | sed 's/\x1b\[[0-9;]*m//g')"
