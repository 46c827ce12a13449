#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the demo server, or any ASGI application, under uvicorn, with a monitor that counts from its first request on; see
# --help. The parts are in scripts/proxy: settings.sh reads the options, record.sh identifies our process, launch.sh
# starts it.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/scripts/proxy/record.sh"
. "$root/scripts/proxy/monitor.sh"
. "$root/scripts/proxy/launch.sh"
. "$root/scripts/proxy/settings.sh"

usage() {
  cat <<'END'
Runs the demo server, or any ASGI application, under uvicorn, and counts its requests from the first one on.

Usage: run_proxy.sh run|start|restart [OPTION]... [-- UVICORN-OPTION...]
       run_proxy.sh stop [--timeout S]
       run_proxy.sh status
       run_proxy.sh logs [-f] [-n N]

  run       run in the foreground and print the server's output; Ctrl-C or SIGTERM ends it
  start     run in the background with the output in logs/proxy.log; returns once the server listens
  restart   stop and start; without options it reuses those of the last start, with options it uses only these
  stop      send SIGTERM, and after S seconds (30) SIGKILL to the server and workers that still run
  status    show whether the server runs, its pid, uptime and figures; exit status 0 if it runs, otherwise 3
  logs      show the last N lines (50) of logs/proxy.log; with -f, follow the file

The server (defaults in parentheses):
  --app MODULE:APP        the application (the demo, scripts/demo/app.py)
  --app-dir DIR           the directory of MODULE (the current directory)
  --host HOST             the address to listen on (127.0.0.1)
  --port N                the port to listen on (9999); 0 picks a free one
  --workers N             the number of workers (uvicorn's default, 1)
  --python PROGRAM        the Python whose uvicorn to run (the first that has one: active venv, build/venv, python3)
  --log-level L           uvicorn's log level: critical, error, warning, info, debug, trace
  --debug                 same as --log-level debug
The concurrency lines, which monitor counts from outside and appends to logs/proxy.log. It also attaches the server, so
that every later monitor shows the counts since the start:
  --monitor-interval S    seconds between them (5)
  --no-system             omit the lines with CPU, memory and threads

Environment variables; options override them:
  DEBUG=true                           same as --debug
  ENABLE_CONCURRENCY_MONITOR=false     write no concurrency lines, and do not attach
  MONITOR_UPDATE_INTERVAL=5.0          same as --monitor-interval
  MONITOR_NO_SYSTEM=true               same as --no-system
  PROXY_LOG_DIR                        directory to use in place of logs/ in the tree of this script
  PROXY_START_TIMEOUT=60               seconds that start waits for the server to listen; after that the server keeps
                                       starting and start returns
  MONITOR_BINARY, MONITOR_PROFILE      the monitor to use, and its --profile
  MONITOR_PINS                         directory for the attached engine; the same as monitor's --pins

The concurrency lines need root, sudo without a password, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE. Without these,
the server starts all the same.
END
}

# One command at a time: two starts at once would both find nothing running. No process that we start inherits the
# descriptor.
lock_logs() {
  mkdir -p "$logs" || fail 1 "cannot create the directory $(shown "$logs")" 'set PROXY_LOG_DIR to another directory'
  exec {lock}<"$logs"
  flock "$lock"
}

unlock_logs() {
  exec {lock}<&-
}

# Fails if a server or parts of one still run; removes a stale PID file.
ensure_not_running() {
  look_up_proxy
  case "$proxy" in
    running) fail 1 "Proxy is already running (pid $proxy_pid)" 'stop or restart it' ;;
    foreign)
      fail 1 "$(shown "$pid_file") names a server that was not started here:$(called "$proxy_pid")" \
        "end it yourself, or remove $(shown "$pid_file")" ;;
    stale)
      printf 'Removing a stale PID file: %s\n' "$proxy_why"
      rm -f "$pid_file" ;;
  esac
  local left
  left=$(left_behind)
  [ -z "$left" ] || fail 1 "these processes of the previous server (pid $state_pid) still run: ${left//$'\n'/ }" \
    'run_proxy.sh stop ends them'
}

# Ends what was started before the gate opened: without the gate, the server ends, and the monitor ends after it.
abandon() {
  [ -n "${server:-}" ] || return 0
  [ -z "${gate:-}" ] || exec {gate}>&-
  wait "$server" 2>/dev/null || true
  forget "$server"
  await_last_lines
}

# bring_up OUTPUT ERRORS: starts the server and its monitor, then releases the lock. Sets `server`.
bring_up() {
  touch "$log_file" || fail 1 "$(shown "$log_file") cannot be written" 'set PROXY_LOG_DIR to another directory'
  # Until the gate opens, the server process ends when this script does.
  trap abandon EXIT
  remember_settings
  launch "$1" "$2"
  record
  if "$counted" && attach_monitor "$server"; then
    printf 'Concurrency lines go to %s every %s s\n' "$(shown "$log_file")" "$interval"
    [ -z "$not_attached" ] || printf 'Only these lines count from the start: %s\n' "$not_attached"
  fi
  open_gate
  trap - EXIT
  unlock_logs
}

start_in_background() {
  local output offset
  touch "$log_file" || fail 1 "$(shown "$log_file") cannot be written" 'set PROXY_LOG_DIR to another directory'
  exec {output}>>"$log_file"
  offset=$(stat -c %s "$log_file")
  bring_up "$output" "$output"
  exec {output}>&-
  await_serving "$server" "$offset"
}

start() {
  read_environment
  take_options "$@"
  settle
  lock_logs
  ensure_not_running
  start_in_background
}

run() {
  local status interrupted
  read_environment
  take_options "$@"
  settle
  lock_logs
  ensure_not_running
  bring_up 1 2
  printf 'Proxy is pid %d\n' "$server"
  # The server has its own session, so signals from the terminal or a supervisor reach it only from here, and only once.
  trap 'interrupted=true; kill -INT "$server" 2>/dev/null || true' INT
  trap 'interrupted=true; kill -TERM "$server" 2>/dev/null || true' TERM HUP
  while :; do
    interrupted=false status=0
    wait "$server" || status=$?
    "$interrupted" || break
  done
  trap '' INT TERM HUP
  forget "$server"
  await_last_lines
  exit "$status"
}

# The monitor ends by itself after the server, and its last lines hold the server's last figures. It detaches the server.
await_last_lines() {
  local tries
  for ((tries = 0; tries < 100; ++tries)); do
    if ! log_is_fed; then
      clean_engine
      return 0  # in a trap, without the 0, it would be a status from before the trap
    fi
    sleep 0.05
  done
  printf 'The monitor (pid %d) of the ended server is still running\n' "$state_monitor" >&2
}

# Detaches the server started last if it has ended, and its monitor was killed before it could do so.
clean_engine() {
  if [ "${state_words[8]:-false}" = true ] && find_monitor; then
    is_attached "$state_pid" || true
  fi
}

# await_end SECONDS: waits until no process of our server is left.
await_end() {
  local deadline=$(($(now) + $1 * 1000000))
  while is_ours || [ -n "$(ours_left)" ]; do
    [ "$(now)" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}

# signal_left SIGNAL [EXCEPT]: signals each process of our server but EXCEPT.
signal_left() {
  local pid
  for pid in $(ours_left); do
    [ "$pid" = "${2:-}" ] || kill "-$1" "$pid" 2>/dev/null || true
  done
}

# Stops the supervisor first, so that it replaces no worker, and kills it last: the monitor ends with it, and must still
# see the requests that the workers' ends cut off.
kill_ours() {
  local tries
  if is_ours; then
    kill -STOP "$state_pid" 2>/dev/null || true
  fi
  for ((tries = 0; tries < 40; ++tries)); do
    signal_left KILL "$state_pid"
    case "$(ours_left)" in
      "$state_pid" | '') break ;;
    esac
    sleep 0.05
  done
  if is_ours; then
    kill -KILL "$state_pid" 2>/dev/null || true
  fi
  signal_left KILL
}

# Signals only the server at first, because it ends its own workers.
stop_ours() {
  local refused
  if is_ours; then
    if ! refused=$(kill -TERM "$state_pid" 2>&1) && is_ours; then
      fail 1 "pid $state_pid cannot be ended: $refused" 'try it with sudo'
    fi
  else
    signal_left TERM
  fi
  if ! await_end "$1"; then
    printf 'Proxy (pid %d) has not ended within %d s after SIGTERM: SIGKILL\n' "$state_pid" "$1" >&2
    kill_ours
    await_end 10 || fail 1 "processes of the server are still running: $(ours_left | paste -sd ' ')"
  fi
  forget "$state_pid"
  await_last_lines
  printf 'Proxy (pid %d) has ended\n' "$state_pid"
}

# The caller holds the lock.
stop_whatever_runs() {
  look_up_proxy
  if [ "$proxy" = running ] || [ -n "$(left_behind)" ]; then
    stop_ours "$1"
    return
  fi
  case "$proxy" in
    foreign)
      fail 1 "$(shown "$pid_file") names a server that was not started here, so it keeps running:$(called "$proxy_pid")" \
        "to end it yourself: kill $proxy_pid" ;;
    stale)
      rm -f "$pid_file"
      printf 'Proxy is not running (removed a stale PID file: %s)\n' "$proxy_why" ;;
    absent) printf 'Proxy is not running\n' ;;
  esac
  clean_engine
}

stop() {
  local timeout=30
  while [ $# -gt 0 ]; do
    case "$1" in
      --timeout) timeout=${2:-}; shift "$(($# < 2 ? 1 : 2))" ;;
      --timeout=*) timeout=${1#*=}; shift ;;
      *) usage_error "stop: unknown argument '$1'" ;;
    esac
  done
  check_whole --timeout "$timeout" 0 86400
  lock_logs
  stop_whatever_runs "$timeout"
}

restart() {
  if [ $# -eq 0 ] && read_state && [ "${#state_words[@]}" -ge 11 ]; then
    take_settings "${state_words[@]}"
    directory=$state_directory
    read_environment
  else
    read_environment
    take_options "$@"
  fi
  settle
  lock_logs
  stop_whatever_runs 30
  ensure_not_running
  start_in_background
}

status() {
  local addresses left
  [ $# -eq 0 ] || usage_error "status: unknown argument '$1'"
  look_up_proxy
  case "$proxy" in
    running | foreign)
      if ! addresses=$(listening_at "$proxy_pid"); then
        addresses='an address that only its user and root can see'
      fi
      printf 'Proxy is running (pid %d), up %s, ' "$proxy_pid" "$(uptime_of "$proxy_pid")"
      if [ -n "$addresses" ]; then
        printf 'on %s\n' "${addresses//$'\n'/, }"
      else
        printf 'but does not listen yet: it is starting\n'
      fi
      [ "$proxy" = running ] || printf 'It was not started here: %s\n' "$(command_of "$proxy_pid")"
      [ -z "$addresses" ] || show_figures ;;
    stale) printf 'Proxy is not running (stale PID file: %s)\n' "$proxy_why" ;;
    absent) printf 'Proxy is not running (no PID file)\n' ;;
  esac
  if [ "$proxy" = stale ] || [ "$proxy" = absent ]; then
    clean_engine
    left=$(left_behind)
    [ -z "$left" ] || printf 'But some of its processes still run; stop ends them: %s\n' "${left//$'\n'/ }"
    exit 3
  fi
}

# The lines from the last [CONCURRENCY] on.
newest_sample() { tac | sed '/^\[CONCURRENCY\]/q' | tac; }

# Shows what the attached engine has counted since the start; else the newest lines of the monitor that has; or else runs
# another monitor for half a second.
show_figures() {
  local kind kinds=(CONCURRENCY ENDPOINTS SYSTEM) command message
  [ "$proxy" != running ] || mapfile -t kinds < <(remembered_kinds)
  if find_monitor && is_attached "$proxy_pid"; then
    command=("$monitor" "${monitor_options[@]}" --pid "$proxy_pid" --log - --count 1)
    [ "${#kinds[@]}" -eq 3 ] || command+=(--no-system)
    through_sudo
    if message=$(timeout --foreground 10 "${command[@]}" </dev/null 2>/dev/null); then
      printf '%s:\n%s\n' "$(counted_since)" "$message"
      return
    fi
  fi
  if [ "$proxy" = running ] && log_is_fed; then
    printf 'Since its start, from %s:\n' "$(shown "$log_file")"
    for kind in "${kinds[@]}"; do
      tac "$log_file" | grep -m 1 "^\[$kind\]" || true
    done
    newest_sample <"$log_file" | grep '^\[WARNING\]' || true
    return
  fi
  if ! find_monitor; then
    printf 'No figures: %s\n' "$monitor_missing"
    return
  fi
  command=("$monitor" "${monitor_options[@]}" --pid "$proxy_pid" --log - --interval 0.5 --duration 0.5)
  [ "${#kinds[@]}" -eq 3 ] || command+=(--no-system)
  through_sudo
  if message=$("${command[@]}" 2>&1); then
    printf 'Within half a second:\n%s\n' "$(newest_sample <<<"$message")"
  else
    message=${message#monitor: }
    printf 'No figures: %s\n' "${message:-"$monitor ended without a message"}"
  fi
}

# Our server is attached before it listens, but it can have been detached and attached again.
counted_since() {
  local before=$(($(date +%s) - $(seconds_since_start "$proxy_pid")))
  if [ "$proxy" = running ] && [ "$(date -d "$attached_since" +%s)" -le $((before + patience_to_attach)) ]; then
    printf 'Since its start\n'
  else
    printf 'Since it was attached, %s\n' "$attached_since"
  fi
}

show_log() {
  local follow=() count=50
  while [ $# -gt 0 ]; do
    case "$1" in
      -f | --follow) follow=(-F); shift ;;
      -n) count=${2:-}; shift "$(($# < 2 ? 1 : 2))" ;;
      -n*) count=${1#-n}; shift ;;
      *) usage_error "logs: unknown argument '$1'" ;;
    esac
  done
  check_whole -n "$count" 0 999999999
  [ -e "$log_file" ] || fail 1 "there is no $(shown "$log_file")" 'nothing was started yet: run_proxy.sh start'
  exec tail -n "$count" "${follow[@]}" -- "$log_file"
}

task=${1:-}
[ $# -eq 0 ] || shift
case "$task:${1:-}" in
  *:--help | *:-h) task=help ;;
esac
case "$task" in
  run | start | restart | stop | status) "$task" "$@" ;;
  logs) show_log "$@" ;;
  --help | -h | help) usage ;;
  '') usage_error 'no command: give run, start, stop, restart, status or logs' ;;
  *) usage_error "unknown command '$task'" ;;
esac
