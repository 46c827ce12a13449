# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154  # the sourcing script defines root
# Sourced by run_proxy.sh and monitor_uvicorn.sh: finds monitor, and whether this user may attach it.

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

# Options for every monitor: the profile, if MONITOR_PROFILE names one.
monitor_options=()
if [ -n "${MONITOR_PROFILE:-}" ]; then
  monitor_options+=(--profile "$MONITOR_PROFILE")
fi
