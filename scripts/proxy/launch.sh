# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154  # settings.sh and record.sh define the variables
# Sourced by run_proxy.sh: starts a server under its monitor. This order makes sure that the counts begin with the first
# request, and that a PID file names every server:
#   launch             starts the process that will become the server; it waits at a gate (launch.py)
#   record             writes its pid down
#   attach_monitor     starts to count it, and to write the log lines
#   open_gate          lets it become uvicorn; if this script ends before that, the process ends too
#   await_serving      waits until it listens (only `start`)

patience_to_attach=30  # seconds

has_uvicorn() {
  "$1" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("uvicorn") is None)' 2>/dev/null
}

# Sets `python` to the first candidate that has uvicorn, unless --python names one.
choose_python() {
  local candidate
  if [ -n "$python" ]; then
    has_uvicorn "$python" || fail 1 "--python $python has no uvicorn" "install it there, or name another Python"
    return
  fi
  for candidate in "${VIRTUAL_ENV:+$VIRTUAL_ENV/bin/python}" "$root/build/venv/bin/python" \
    "$(command -v python3 || true)" /usr/bin/python3; do
    if [ -n "$candidate" ] && [ -x "$candidate" ] && has_uvicorn "$candidate"; then
      python=$candidate
      return
    fi
  done
  fail 1 'no uvicorn was found: not in an active venv, not in build/venv, not in the python3 of the system' \
    'scripts/setup.sh makes build/venv; --python names another Python'
}

# The process that listens on $port, if it is visible.
owner_of_port() {
  local pid
  pid=$(ss -Hltnp "sport = :$port" 2>/dev/null | sed -n 's/.*[(,]pid=\([0-9]*\).*/\1/p' | head -n 1) || true
  if [ -n "$pid" ]; then
    printf ' by%s' "$(called "$pid")"
  fi
}

port_in_use() {
  fail 1 "port $port of $host is in use$(owner_of_port)" "end that, or choose another port with --port"
}

uvicorn_arguments() {
  local arguments=(--app-dir "$app_dir") level=$log_level
  if [ -z "$level" ] && "$debug"; then
    level=debug
  fi
  if [ -z "$unix_socket" ]; then
    arguments+=(--host "$host" --port "$port")
  fi
  [ -z "$workers" ] || arguments+=(--workers "$workers")
  [ -z "$level" ] || arguments+=(--log-level "$level")
  printf '%s\0' "${arguments[@]}" "${uvicorn_options[@]}" "$app"
}

# launch OUTPUT ERRORS: starts the process with these two descriptors as the server's output. Sets `server`, `gate` and
# `answers`.
launch() {
  local pipes answer='' kind=tcp arguments
  local environment
  [ -z "$unix_socket" ] || kind=unix
  state_mark=$$-$(now)
  environment=("PROXY_MARK=$state_mark")
  # The demo is part of the source tree, where Python must not write byte code.
  [ "$app_dir" != "$root/scripts/demo" ] || environment+=(PYTHONDONTWRITEBYTECODE=1)
  mapfile -d '' -t arguments < <(uvicorn_arguments)
  pipes=$(mktemp -d "$logs/.start.XXXXXX")
  mkfifo "$pipes/gate" "$pipes/answers"
  (cd "$directory" && exec env "${environment[@]}" "$python" -I -S "$root/scripts/proxy/launch.py" \
    "$kind" "$host" "$port" "${arguments[@]}") <"$pipes/gate" 3>&"$1" 2>&"$2" >"$pipes/answers" &
  server=$!
  # Opening a FIFO blocks until the other side opens it too.
  exec {gate}>"$pipes/gate" {answers}<"$pipes/answers"
  rm -r "$pipes"
  read -r answer <&"$answers" || true
  [ "$answer" != ready ] || return 0
  wait "$server" || true  # it is about to end
  case "$answer" in
    in-use) port_in_use ;;
    refused*) fail 1 "cannot listen on port $port of $host: ${answer#refused }" 'see --host and --port' ;;
    unknown*) fail 1 "--host $host: ${answer#unknown }" 'give a name or an address of this machine' ;;
    *) fail 1 "$python did not start" 'its output is above, or in the log' ;;
  esac
}

record() {
  state_pid=$server state_start=$(started_at "$server") state_boot=$(boot)
  state_monitor=0 state_monitor_start=0 state_directory=$directory
  write_state
  printf '%s\n' "$server" | replace_file "$pid_file"
}

# Removes the PID file unless it names another server by now. The state file stays: restart needs it.
forget() {
  local content=''
  read -r content 2>/dev/null <"$pid_file" || true
  [ "$content" != "$1" ] || rm -f "$pid_file"
}

# log_after OFFSET: what was appended to the log after its first OFFSET bytes.
log_after() {
  tail -c "+$(($1 + 1))" "$log_file"
}

# attach_engine PID: attaches the server, so that every later monitor shows what was counted since its start. The monitor
# that writes the log lines detaches it when it has ended. Fails, and sets `not_attached` to the reason, if the server
# cannot be attached.
attach_engine() {
  local said status=0 command=("$monitor" attach "${monitor_options[@]}" --keep-ended 0 --pid "$1")
  through_sudo
  # The subshell would keep the gate open after this script.
  said=$(exec {lock}>&- {gate}>&- {answers}<&-
    timeout --foreground -k 5 "$patience_to_attach" "${command[@]}" 2>&1 >/dev/null </dev/null) || status=$?
  case "$status" in
    0) return 0 ;;
    124 | 137) not_attached="monitor attach did not end within $patience_to_attach s" ;;
    *) not_attached=$(in_one_line "$said") ;;
  esac
  not_attached=${not_attached:-"$monitor attach ended without a message"}
  return 1
}

# A message of monitor, and what to do about it, without its name.
in_one_line() {
  sed '1s/^monitor: //; s/^  *//' <<<"$1" | awk '{ printf "%s%s", (NR > 1 ? "; " : ""), $0 }'
}

# attach_monitor PID: starts a monitor in a process group of its own, so that an interrupt at the terminal does not end it;
# it ends after the server. Fails, and says why, if the server will not be counted.
attach_monitor() {
  local offset command reason deadline=$(($(now) + patience_to_attach * 1000000))
  if ! find_monitor; then
    not_counted "$monitor_missing" "$build_hint"
    return 1
  fi
  not_attached=''
  attach_engine "$1" || true
  command=("$monitor" "${monitor_options[@]}" --pid "$1" --log "$log_file" --interval "$interval")
  if "$no_system"; then
    command+=(--no-system)
  fi
  through_sudo
  offset=$(stat -c %s "$log_file")
  set -m
  "${command[@]}" </dev/null >/dev/null 2>>"$log_file" {lock}>&- {gate}>&- {answers}<&- &
  set +m
  state_monitor=$! state_monitor_start=$(started_at "$!" || echo 0)
  # Nothing else writes to the log yet, so the first lines show that the monitor counts.
  while [ "$(now)" -lt "$deadline" ]; do
    if log_after "$offset" | grep -q '^\[CONCURRENCY\]'; then
      write_state
      return
    fi
    is_process "$state_monitor" "$state_monitor_start" || break
    sleep 0.05
  done
  if is_process "$state_monitor" "$state_monitor_start"; then
    write_state
    not_counted "monitor did not attach within $patience_to_attach s" \
      'it keeps trying; requests until then are not counted'
  else
    state_monitor=0 state_monitor_start=0
    reason=$(in_one_line "$(log_after "$offset")")
    not_counted "${reason:-"$monitor ended without a message"}"
  fi
  return 1
}

not_counted() {
  printf '%s: the server starts, but without concurrency lines in %s: %s\n' \
    "$(basename "$0")" "$(shown "$log_file")" "$1" >&2
  shift
  [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
}

open_gate() {
  printf 'go\n' >&"$gate" || true
  read -r _ <&"$answers" || true  # ends when launch.py has closed its own socket
  exec {gate}>&- {answers}<&-
}

# Formats an address as /proc/net/tcp has it: 0100007F:270F is 127.0.0.1:9999, each word in this machine's byte order. The
# path of a Unix socket stays as it is.
address_shown() {
  local hex=${1%:*} name
  case "${#hex}:$1" in
    *:unix:*)
      printf '%s\n' "$1"
      return ;;
    8:*) name=$((16#${hex:6:2})).$((16#${hex:4:2})).$((16#${hex:2:2})).$((16#${hex:0:2})) ;;
    32:00000000000000000000000000000000:*) name='[::]' ;;
    32:00000000000000000000000001000000:*) name='[::1]' ;;
    *) name='[IPv6]' ;;
  esac
  printf '%s:%d\n' "$name" "0x${1##*:}"
}

# The addresses that a server listens on, one per line: those of its process, which holds the sockets that its workers
# share, and of its session. Fails if they cannot be read.
listening_at() {
  local pid inode address
  local -A own=()
  [ -r "/proc/$1/fd" ] || return 1
  while read -r inode; do
    [ -z "$inode" ] || own[$inode]=  # closed during the search
  done < <(for pid in "$1" $(members "$1"); do
    find "/proc/$pid/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null
  done | tr -cd '0-9\n')
  while read -r inode address; do
    if [ -n "${own[$inode]+there}" ]; then
      address_shown "$address"
    fi
  done < <(listeners "$1")
}

# All listening sockets in the network namespace of a process: inode and address, as the kernel prints them. awk, because
# the tables can be long and bash reads slowly. 0A is TCP_LISTEN (include/net/tcp_states.h), 00010000 is __SO_ACCEPTCON
# (include/uapi/linux/net.h).
listeners() {
  awk '$4 == "0A" { print $10, $2 }' "/proc/$1/net/tcp" 2>/dev/null || true
  awk '$4 == "0A" { print $10, $2 }' "/proc/$1/net/tcp6" 2>/dev/null || true
  awk '$4 == "00010000" { print $7, "unix:" $8 }' "/proc/$1/net/unix" 2>/dev/null || true
}

# await_serving PID OFFSET: waits until the server listens, $start_timeout seconds at most. The log after OFFSET is the
# server's. An interrupt stops the server.
await_serving() {
  local addresses polls=0 deadline=$(($(now) + start_timeout * 1000000))
  local -A workers_seen=()
  local none_since=''
  trap 'call_off; exit 130' INT
  while [ "$(now)" -lt "$deadline" ]; do
    is_process "$1" "$state_start" || died_starting "$1" "$2"
    addresses=$(listening_at "$1" || true)
    if [ -n "$addresses" ]; then
      printf 'Proxy is running (pid %d) on %s\n' "$1" "${addresses//$'\n'/, }"
      return
    fi
    workers_may_come_up "$1" || workers_died "$2"
    sleep "0.$((++polls > 50 ? 5 : 1))"
  done
  printf 'Proxy is starting (pid %d): after %d s it does not listen yet. Its log says:\n' "$1" "$start_timeout"
  said_since "$2" | tail -n 10
}

# Whether the server is a supervisor that must keep its workers running. With --reload it is not: after a worker's end it
# waits for a file to change.
has_workers() {
  local word
  [ "${workers:-${WEB_CONCURRENCY:-1}}" -gt 1 ] 2>/dev/null || return 1
  for word in "${uvicorn_options[@]}"; do
    [ "$word" != --reload ] || return 1
  done
}

# The workers of a supervisor, one per line: `there` or `ended`, pid and start. --multiprocessing-fork marks the processes
# that Python's multiprocessing starts, but not its resource tracker, which ends last. A worker that has ended is a zombie
# until the supervisor reaps it.
workers_of() {
  local fields entry
  for entry in /proc/[0-9]*; do
    read_stat "${entry#/proc/}" || [ "${fields[0]:-}" = Z ] || continue
    [ "${fields[1]}" = "$1" ] || continue
    if [ "${fields[0]}" = Z ]; then
      printf 'ended %s:%s\n' "${entry#/proc/}" "${fields[19]}"
    elif grep -qzxF -- --multiprocessing-fork "$entry/cmdline" 2>/dev/null; then
      printf 'there %s:%s\n' "${entry#/proc/}" "${fields[19]}"
    fi
  done
}

# workers_may_come_up PID: uses the variables of await_serving. A supervisor outlives its workers: uvicorn replaces those
# that die forever, and before 0.30 it waits forever. Fails if more workers have ended than the server should have, since
# one of them must have been a replacement; or if all have ended and no new one has appeared for
# $patience_without_workers s.
patience_without_workers=3
workers_may_come_up() {
  local state worker ended there=0 wanted=${workers:-${WEB_CONCURRENCY:-1}}
  has_workers || return 0
  while read -r state worker; do
    workers_seen[$worker]=
    [ "$state" = ended ] || there=$((there + 1))
  done < <(workers_of "$1")
  ended=$((${#workers_seen[@]} - there))
  if [ "$there" -gt 0 ] || [ "$ended" -eq 0 ]; then
    none_since=''
  elif [ -z "$none_since" ]; then
    none_since=$(now)
  fi
  [ "$ended" -le "$wanted" ] &&
    { [ -z "$none_since" ] || [ "$(now)" -lt $((none_since + patience_without_workers * 1000000)) ]; }
}

# Stops the server that was started; waits for the lock first.
call_off() {
  trap '' INT
  printf 'Stopping the server (pid %d)\n' "$server"
  lock_logs
  stop_ours 30
}

# said_since OFFSET: the log after OFFSET, without the concurrency lines.
said_since() {
  log_after "$1" | grep -v '^\[\(CONCURRENCY\|ENDPOINTS\|SYSTEM\|WARNING\)\]' || true
}

workers_died() {
  said_since "$1" | tail -n 20 >&2
  call_off
  fail 1 'the workers of the server ended while they were starting' \
    "their output is above, and in $(shown "$log_file")"
}

died_starting() {
  forget "$1"
  said_since "$2" | tail -n 20 >&2
  await_last_lines
  if [ -z "$unix_socket" ] && log_after "$2" | grep -qi 'address already in use'; then
    port_in_use
  fi
  fail 1 'the server ended while it was starting' "its output is above, and in $(shown "$log_file")"
}
