# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154  # the sourcing script defines root
# Sourced by run_proxy.sh and monitor_uvicorn.sh: finds monitor, whether this user may attach it, and what is attached.

# Sets `monitor`, or `monitor_missing` to the reason. The tree's own build takes precedence over an installed monitor.
find_monitor() {
  if [ -n "${MONITOR_BINARY:-}" ]; then
    if ! monitor=$(type -P -- "$MONITOR_BINARY"); then
      monitor_missing="MONITOR_BINARY is not a program: $MONITOR_BINARY"
    fi
  elif [ -x "$root/build/release/monitor" ]; then
    monitor=$root/build/release/monitor
  elif ! monitor=$(command -v monitor); then
    monitor_missing="there is no monitor: neither build/release/monitor nor an installed one"
  fi
  [ -z "${monitor_missing:-}" ]
}
build_hint='build it: scripts/setup.sh && cmake --preset release && cmake --build build/release'

# Whether monitor may attach without sudo: as root, or by capabilities of this shell or of the program file.
may_attach() {
  local effective
  [ "$(id -u)" -ne 0 ] || return 0
  effective=$(sed -n 's/^CapEff:\t//p' /proc/self/status)
  # 39 is CAP_BPF (include/uapi/linux/capability.h).
  (((16#$effective >> 39) & 1)) || PATH=$PATH:/usr/sbin getcap "$monitor" 2>/dev/null | grep -q cap_bpf
}

# Puts sudo before `command`, if monitor needs it and it asks for no password.
through_sudo() {
  if ! may_attach && sudo -n true 2>/dev/null; then
    command=(sudo -n "${command[@]}")
  fi
}

# Options for every monitor: where the attached engine is, and the profile. sudo does not pass variables on.
pins_option=() profile_option=()
if [ -n "${MONITOR_PINS:-}" ]; then
  pins_option=(--pins "$MONITOR_PINS")
fi
if [ -n "${MONITOR_PROFILE:-}" ]; then
  profile_option=(--profile "$MONITOR_PROFILE")
fi
monitor_options=("${pins_option[@]}" "${profile_option[@]}")

# is_attached PID: whether an attached engine counts the server. Sets `attached_since` to the local time of the attach, and
# `attached_profile`. Like every command of monitor, this removes from the engine the servers that have ended.
is_attached() {
  local listed command=("$monitor" sessions "${pins_option[@]}")
  through_sudo
  attached_since='' attached_profile=''
  listed=$(timeout --foreground 10 "${command[@]}" </dev/null 2>/dev/null) || return 1
  attached_since=$(sed -n "s/^pid $1  since \([-0-9]* [:0-9]*\) (.*/\1/p" <<<"$listed")
  attached_profile=$(sed -n 's/^Engine at .*: monitor .*, profile \([a-z]*\).*/\1/p' <<<"$listed")
  [ -n "$attached_since" ]
}
