# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154  # variables for the scripts that source this; root is theirs
# Sourced by run_proxy.sh and monitor_uvicorn.sh: where the server's files are, and what they say of it. proxy.pid holds
# the pid alone, for whoever wants to read it. A pid says little, since the kernel gives it out again: proxy.state
# holds what makes it one process (the time it was started at, the boot) and how it was started, for restart.

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
  fail 2 "$1" "$(basename "$0") --help lists what there is"
}

# How a path is best typed from here.
shown() {
  printf '%s\n' "${1#"$PWD"/}"
}

boot() {
  cat /proc/sys/kernel/random/boot_id
}

# Sets `fields` to those of /proc/PID/stat (proc(5)) behind the process's name, which is in parentheses and may hold
# anything: state, parent, process group, session … Fails for a process that is gone, or a zombie.
read_stat() {
  local stat=''
  { read -r -d '' stat <"/proc/$1/stat"; } 2>/dev/null || true
  read -r -a fields <<<"${stat##*) }"
  case "${fields[0]:-}" in
    '' | Z | X) return 1 ;;
  esac
}

# When a process was started, in ticks since the boot.
started_at() {
  local fields
  read_stat "$1" && printf '%s\n' "${fields[19]}"
}

# The processes of a session, which has the pid of the process that made it.
members() {
  local fields entry
  for entry in /proc/[0-9]*; do
    if read_stat "${entry#/proc/}" && [ "${fields[3]}" = "$1" ]; then
      printf '%s\n' "${entry#/proc/}"
    fi
  done
}

# is_process PID START: whether it lives and is that very process.
is_process() {
  [ -n "$2" ] && [ "$(started_at "$1")" = "$2" ]
}

# Whatever it is, harmless on a terminal.
command_of() {
  { tr '\0' ' ' <"/proc/$1/cmdline" | LC_ALL=C tr -cd '[:print:]' | cut -c 1-100; } 2>/dev/null || true
}

called() {
  printf ' process %s (%s)' "$1" "$(command_of "$1")"
}

# For deadlines: now, in microseconds.
now() {
  printf '%s\n' "${EPOCHREALTIME/[.,]/}"
}

# Fills in state_*: of the server started last. Fails when there is no record.
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

# Into place in one step, so that nobody reads half a file.
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

# The processes of the server started last that are there. Its session's number may be another's by now, so each must
# have the mark that our server was given in its environment.
ours_left() {
  local pid
  [ "$state_pid" -ne 0 ] && [ "$state_boot" = "$(boot)" ] || return 0
  for pid in $(members "$state_pid"); do
    if grep -qzxF "PROXY_MARK=$state_mark" "/proc/$pid/environ" 2>/dev/null; then
      printf '%s\n' "$pid"
    fi
  done
}

# Those that outlived the server itself, as workers do when their supervisor is killed.
left_behind() {
  is_ours || ours_left
}

# The log lines of the server started last have a monitor that lives.
log_is_fed() {
  [ "$state_monitor" -ne 0 ] && [ "$state_boot" = "$(boot)" ] && is_process "$state_monitor" "$state_monitor_start"
}

# Sets `proxy` and `proxy_pid`:
#   running   the server that run_proxy.sh started
#   foreign   a server that the pid file names and somebody else started
#   stale     the pid file names none; `proxy_why` says what it does name
#   absent    no pid file
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
  [ ! -f "$pid_file" ] || read -r -n 64 content 2>/dev/null <"$pid_file" || true  # nothing that makes us wait
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
      proxy_why="$(shown "$pid_file") names process $proxy_pid, which has ended; that pid is another's now" ;;
    *uvicorn* | *gunicorn* | *hypercorn*) proxy=foreign ;;
    *) proxy_why="$(shown "$pid_file") names process $proxy_pid, which is no server: $command" ;;
  esac
}

seconds_since_start() {
  local start up
  start=$(started_at "$1") || return 1
  read -r up _ </proc/uptime
  printf '%s\n' $((${up%.*} - start / $(getconf CLK_TCK)))
}

# As in the log lines: 1h 23m 45s.
uptime_of() {
  local seconds text=''
  seconds=$(seconds_since_start "$1") || return 1
  [ "$seconds" -ge 0 ] || seconds=0
  [ "$seconds" -lt 86400 ] || text+="$((seconds / 86400))d "
  [ "$seconds" -lt 3600 ] || text+="$((seconds / 3600 % 24))h "
  [ "$seconds" -lt 60 ] || text+="$((seconds / 60 % 60))m "
  printf '%s\n' "$text$((seconds % 60))s"
}
