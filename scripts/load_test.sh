#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sends mixed load to the demo server, with wrk (Debian's package) and scripts/proxy/load.lua; see --help.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/scripts/common.sh"

usage() {
  cat <<'END'
Sends mixed load to the demo server: chats, whole and streamed, completions, users, an unknown path, and now and then a
failure or a request that blocks the event loop. Reports at the end what it sent and how the server answered.

Usage: load_test.sh [--url URL] [--duration S] [--concurrency N] [--requests N]

  --url URL          the server (http://127.0.0.1:9999)
  --duration S       end after S seconds at the latest and cut off requests in flight (30; 600 with --requests)
  --concurrency N    send at most N requests at once (16)
  --requests N       end after exactly N requests, all answered

Exit status: 0 success; 1 the server cannot be reached, or did not answer, or not all N requests in time; 2 wrong usage.
END
}

wrong() {
  printf '%s: %s\n  see %s --help\n' "$(basename "$0")" "$1" "$(basename "$0")" >&2
  exit 2
}

url=http://127.0.0.1:9999 duration='' concurrency=16 requests=''
while [ $# -gt 0 ]; do
  case "$1" in
    --help | -h) usage; exit ;;
    --url=* | --duration=* | --concurrency=* | --requests=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    --url | --duration | --concurrency | --requests) [ $# -gt 1 ] || wrong "$1 needs a value" ;;
    *) wrong "unknown argument '$1'" ;;
  esac
  case "$1" in
    --url) url=$2 ;;
    --duration)
      duration=${2%s}
      [[ "$duration" =~ ^[1-9][0-9]{0,5}$ ]] || wrong "--duration: '$2' is not a whole number of seconds" ;;
    *)
      if ! [[ "$2" =~ ^[1-9][0-9]{0,6}$ ]]; then
        wrong "$1: '$2' is not a whole number from 1 to 9999999"
      fi
      declare "${1#--}=$2" ;;
  esac
  shift 2
done
[[ "$url" =~ ^https?://[^/]+ ]] || wrong "--url: '$url' is not like http://127.0.0.1:9999"
[ "$concurrency" -le 1000 ] || wrong "--concurrency: $concurrency is more than 1000"
command -v wrk >/dev/null || die 'there is no wrk: scripts/setup.sh installs it'
if [ -z "$duration" ]; then
  duration=${requests:+600}
  duration=${duration:-30}
fi

printf 'Load for %s: at most %d requests at once, %s%d s at most\n' "$url" "$concurrency" \
  "${requests:+$requests requests, }" "$duration"
status=0
# wrk's own report precedes the summary and contains less. The timeout is per answer, because chats take seconds.
output=$(wrk --threads 1 --connections "$concurrency" --duration "${duration}s" --timeout 60s \
  --script "$root/scripts/proxy/load.lua" "$url" -- "${requests:-0}" 2>&1) || status=$?
if [ "$status" -ne 0 ] || [[ "$output" != *$'\nSummary\n'* ]]; then
  printf '%s\n' "$output" >&2
  die "wrk could not send to $url: is the server running? scripts/run_proxy.sh start"
fi
printf '%s\n' "${output##*$'\nSummary\n'}"
answered=$(sed -n 's/^ *answered *\([0-9]*\).*/\1/p' <<<"$output")
[ "$answered" -gt 0 ] || die "$url did not answer"
if [ -n "$requests" ] && [ "$answered" -lt "$requests" ]; then
  die "only $answered of $requests requests were answered within $duration s"
fi
