# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the other scripts, which run from the root of the tree: help, becoming root, ending with an error message,
# updating apt's lists, and handing build/ back to the caller.

die() {
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  exit 1
}

# With -h or --help as the first argument, prints the comment at the head of the script and ends it.
help_from_head() {
  case "${1:-}" in
    -h | --help)
      sed -n '3,/^[^#]/{ /^#/!d; s/^# \{0,1\}//; p; }' "scripts/$(basename "$0")"
      exit 0
      ;;
  esac
}

# Runs a command as root: directly, or through sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "'$1' needs root and there is no sudo: run this script as root"
  fi
}

# apt-get waits for dpkg's lock by itself, but not for that of the package lists.
apt_update() {
  local output
  local attempt
  for attempt in {1..60}; do
    if output=$(as_root apt-get -q update 2>&1); then
      return
    fi
    grep -q 'Could not get lock' <<<"$output" || break
    sleep 2
  done
  printf '%s\n' "$output" >&2
  die "could not bring the package lists up to date (attempt $attempt): see above"
}

# What root wrote under build/ goes back to the person who called: without this, their next build could not write there.
hand_back_build() {
  local owner="${SUDO_UID:-$(id -u)}:${SUDO_GID:-$(id -g)}"
  if [ -d build ] && [ "$owner" != 0:0 ]; then
    as_root chown -R --no-dereference "$owner" build
  fi
}
