#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Records the box in README.md from a real run: starts the demo server under load, watches it for ten seconds, and writes
# the command and the last box between the markers in README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. scripts/common.sh
. scripts/demo/server.sh

recording=build/demo/recording.txt

# Prints the last box that the command shows. The first samples would contain requests from before the attach.
last_box() {
  as_root "$monitor" --pid "$server" --watch --interval 1 --duration 10 --no-color | tac | sed '/^╔/q' | tac
}

# Replaces what is between the markers in README.md.
write_into_readme() {
  [ "$(grep -c '^<!-- recording: ' README.md)" -eq 2 ] || die 'README.md must have the two markers of the recording'
  # shellcheck disable=SC2016  # the backquotes are Markdown's
  sed -i -e '/^<!-- recording: begin/,/^<!-- recording: end/ {
    /^<!-- recording: begin/ { p; r '"$recording"'
    }
    /^<!-- recording: end/ p
    d
  }' README.md
}

./scripts/setup.sh demo
build_monitor
trap stop_demo EXIT
start_demo
{
  # shellcheck disable=SC2016  # the backquotes are Markdown's
  printf '\n```\n$ sudo %s --pid %d --watch\n' "$monitor" "$server"
  last_box
  # shellcheck disable=SC2016
  printf '```\n\n'
} >"$recording"
write_into_readme
cat "$recording"
