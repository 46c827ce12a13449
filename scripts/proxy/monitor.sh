# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154  # root is the sourcing script's
# Sourced by run_proxy.sh and monitor_uvicorn.sh: finds monitor, and says how this user gets the rights that it needs.

# Sets `monitor`. The tree's own build comes before what is installed: whoever builds means what was built.
find_monitor() {
  if [ -n "${MONITOR_BINARY:-}" ]; then
    if ! monitor=$(type -P -- "$MONITOR_BINARY"); then
      monitor_missing="MONITOR_BINARY names no program: $MONITOR_BINARY"
    fi
  elif [ -x "$root/build/release/monitor" ]; then
    monitor=$root/build/release/monitor
  elif ! monitor=$(command -v monitor); then
    monitor_missing="there is no monitor: neither build/release/monitor, nor one that is installed"
  fi
  [ -z "${monitor_missing:-}" ]
}
build_hint='build it: scripts/setup.sh && cmake --preset release && cmake --build build/release'

# Whether monitor may attach as it is: as root, or by capabilities, this shell's or the program's own.
may_attach() {
  local effective
  [ "$(id -u)" -ne 0 ] || return 0
  effective=$(sed -n 's/^CapEff:\t//p' /proc/self/status)
  # 39 is CAP_BPF (include/uapi/linux/capability.h).
  (((16#$effective >> 39) & 1)) || PATH=$PATH:/usr/sbin getcap "$monitor" 2>/dev/null | grep -q cap_bpf
}

# What every monitor is started with: the kernel hooks to use, when MONITOR_PROFILE says which.
monitor_options=()
if [ -n "${MONITOR_PROFILE:-}" ]; then
  monitor_options+=(--profile "$MONITOR_PROFILE")
fi
