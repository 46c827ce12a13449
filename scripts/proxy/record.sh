# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154  # variables for the scripts that source this, which define root
# Sourced by run_proxy.sh and monitor_uvicorn.sh: the server's files and the state of the server that they name. proxy.pid
# holds only the pid, for anyone to read. The kernel reuses pids, so proxy.state adds what identifies the process (its
# start and the boot), and how it was started, for restart.

logs=${PROXY_LOG_DIR:-$root/logs}
case "$logs" in
  /*) ;;
  *) logs=$PWD/$logs ;;
esac
pid_file=$logs/proxy.pid
log_file=$logs/proxy.log
state_file=$logs/proxy.state
state_version='run_proxy 2'

# fail STATUS MESSAGE [WHAT TO DO]...
fail() {
  local status=$1
  printf '%s: %s\n' "$(basename "$0")" "$2" >&2
  shift 2
  [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
  exit "$status"
}

usage_error() {
  fail 2 "$1" "see $(basename "$0") --help"
}

# A path as one would type it in the current directory.
shown() {
  printf '%s\n' "${1#"$PWD"/}"
}

boot() {
  cat /proc/sys/kernel/random/boot_id
}

# Sets `fields` to the fields of /proc/PID/stat (proc(5)) after the process's name: state, parent, process group, session …
# The name is in parentheses and can contain any byte. Fails for a process that is gone or a zombie.
read_stat() {
  local stat=''
  { read -r -d '' stat <"/proc/$1/stat"; } 2>/dev/null || true
  read -r -a fields <<<"${stat##*) }"
  case "${fields[0]:-}" in
    '' | Z | X) return 1 ;;
  esac
}

# The start of a process, in clock ticks since boot.
started_at() {
  local fields
  read_stat "$1" && printf '%s\n' "${fields[19]}"
}

# The processes of a session. Its id is the pid of the process that created it.
members() {
  local fields entry
  for entry in /proc/[0-9]*; do
    if read_stat "${entry#/proc/}" && [ "${fields[3]}" = "$1" ]; then
      printf '%s\n' "${entry#/proc/}"
    fi
  done
}

# is_process PID START: whether the process lives and is the one with this start.
is_process() {
  [ -n "$2" ] && [ "$(started_at "$1")" = "$2" ]
}

# The command line of a process, made safe for a terminal.
command_of() {
  { tr '\0' ' ' <"/proc/$1/cmdline" | LC_ALL=C tr -cd '[:print:]' | cut -c 1-100; } 2>/dev/null || true
}

called() {
  printf ' process %s (%s)' "$1" "$(command_of "$1")"
}

# The current time in microseconds, for deadlines.
now() {
  printf '%s\n' "${EPOCHREALTIME/[.,]/}"
}

# Sets state_* to the record of the server started last. Fails if there is no record.
read_state() {
  local words
  state_pid=0 state_start=0 state_boot='' state_monitor=0 state_monitor_start=0
  state_mark='' state_directory='' state_words=()
  [ -r "$state_file" ] && mapfile -d '' -t words <"$state_file" || return 1
  if [ "${words[0]:-}" != "$state_version" ] || [ "${#words[@]}" -lt 8 ]; then
    return 1
  fi
  state_pid=${words[1]} state_start=${words[2]} state_boot=${words[3]}
  state_monitor=${words[4]} state_monitor_start=${words[5]}
  state_mark=${words[6]} state_directory=${words[7]}
  state_words=("${words[@]:8}")
}

# Replaces a file atomically, so that no reader sees half of it.
replace_file() {
  cat >"$1.$$"
  mv -f "$1.$$" "$1"
}

write_state() {
  printf '%s\0' "$state_version" "$state_pid" "$state_start" "$state_boot" "$state_monitor" "$state_monitor_start" \
    "$state_mark" "$state_directory" "${state_words[@]}" | replace_file "$state_file"
}

is_ours() {
  [ "$state_boot" = "$(boot)" ] && is_process "$state_pid" "$state_start"
}

# The live processes of the server started last. Another session may have its session id by now, so each process must
# have our server's mark in its environment.
ours_left() {
  local pid
  [ "$state_pid" -ne 0 ] && [ "$state_boot" = "$(boot)" ] || return 0
  for pid in $(members "$state_pid"); do
    if grep -qzxF "PROXY_MARK=$state_mark" "/proc/$pid/environ" 2>/dev/null; then
      printf '%s\n' "$pid"
    fi
  done
}

# The processes that outlived the server itself, as workers do when their supervisor is killed.
left_behind() {
  is_ours || ours_left
}

# Whether the monitor that writes the log lines of the server started last still runs.
log_is_fed() {
  [ "$state_monitor" -ne 0 ] && [ "$state_boot" = "$(boot)" ] && is_process "$state_monitor" "$state_monitor_start"
}

# Sets `proxy` and `proxy_pid`:
#   running   the server that run_proxy.sh started
#   foreign   the PID file names a server that run_proxy.sh did not start
#   stale     the PID file does not name a server; `proxy_why` says what it names
#   absent    there is no PID file
look_up_proxy() {
  local content='' command
  proxy=absent proxy_pid='' proxy_why=''
  read_state || true
  if is_ours; then
    proxy=running proxy_pid=$state_pid
    return
  fi
  [ -e "$pid_file" ] || return 0
  proxy=stale
  [ ! -f "$pid_file" ] || read -r -n 64 content 2>/dev/null <"$pid_file" || true  # a FIFO would block
  if ! [[ "$content" =~ ^[1-9][0-9]{0,9}$ ]]; then
    proxy_why="$(shown "$pid_file") holds no pid"
    return
  fi
  proxy_pid=$content
  if ! started_at "$proxy_pid" >/dev/null; then
    proxy_why="$(shown "$pid_file") names process $proxy_pid, which has ended"
    return
  fi
  command=$(command_of "$proxy_pid")
  case "$state_pid:$command" in
    "$proxy_pid":*)
      proxy_why="$(shown "$pid_file") names process $proxy_pid, which has ended; its pid now belongs to another process" ;;
    *uvicorn* | *gunicorn* | *hypercorn*) proxy=foreign ;;
    *) proxy_why="$(shown "$pid_file") names process $proxy_pid, which is not a server: $command" ;;
  esac
}

seconds_since_start() {
  local start up
  start=$(started_at "$1") || return 1
  read -r up _ </proc/uptime
  printf '%s\n' $((${up%.*} - start / $(getconf CLK_TCK)))
}

# The uptime in the format of the log lines: 1h 23m 45s.
uptime_of() {
  local seconds text=''
  seconds=$(seconds_since_start "$1") || return 1
  [ "$seconds" -ge 0 ] || seconds=0
  [ "$seconds" -lt 86400 ] || text+="$((seconds / 86400))d "
  [ "$seconds" -lt 3600 ] || text+="$((seconds / 3600 % 24))h "
  [ "$seconds" -lt 60 ] || text+="$((seconds / 60 % 60))m "
  printf '%s\n' "$text$((seconds % 60))s"
}
