#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests the Debian package from end to end: makes it, installs it with apt in a clean Debian 12 without a compiler,
# observes a real uvicorn from there, by hand and with the package's service, and removes it again. Build first, then run
# `scripts/package-test.sh [BUILD]`. Needs root. Exits 77 with the reason if the machine cannot run it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
. scripts/install/clean_debian.sh
. scripts/install/service_test.sh

[ -r /sys/kernel/btf/vmlinux ] || skip 'this kernel has no BTF (/sys/kernel/btf/vmlinux), so monitor cannot run on it'
in_own_mounts "$@"
shift

build=$(realpath "${1:-build/release}")
for tool in debootstrap dpkg-shlibdeps lintian; do
  command -v "$tool" >/dev/null || die "no $tool here: scripts/setup.sh installs it"
done
[ -x build/venv/bin/uvicorn ] || die 'no build/venv/bin/uvicorn: scripts/setup.sh makes it'

mkdir -p build/package
scratch=$(mktemp -d "$PWD/build/package/run.XXXXXX")
root=$scratch/root
declare -A children=()  # by pid

clean_up() {
  if [ "${#children[@]}" -gt 0 ]; then
    kill "${!children[@]}" 2>/dev/null || true
    wait "${!children[@]}" 2>/dev/null || true
  fi
  remove_scratch
}

# start LOG COMMAND…: runs a command in the background; the kernel kills it if this script is killed.
start() {
  : >"$1"  # here, not in the child: a reader must not find the output of an earlier command
  setpriv --pdeathsig KILL -- "${@:2}" >"$1" 2>&1 </dev/null &
  children[$!]=1
}

# stop PID: ends a command of start; returns its exit status.
stop() {
  kill "$1"
  unset "children[$1]"
  wait "$1"
}

# wait_until WHAT COMMAND…: waits until the command succeeds, 20 seconds at most.
wait_until() {
  local attempt
  for attempt in {1..400}; do
    if "${@:2}"; then
      return
    fi
    sleep 0.05
  done
  tail -n 20 "$scratch"/*.log >&2
  die "$1: not within 20 seconds ($attempt attempts); the ends of the logs are above"
}

make_package() {
  pack "$build"
  name=$(dpkg-deb --field "$package" Package)
  lintian --fail-on error,warning --allow-root "$package" || die 'lintian complains: see above'
  [ "$(dpkg-deb --field "$package" Version)" = "$(dpkg-parsechangelog -l scripts/install/changelog -S Version)" ] ||
    die 'scripts/install/changelog does not begin with the version in CMakeLists.txt'
}

# All files but the records that apt, dpkg and ldconfig keep for themselves.
list_files() {
  find "$root" -xdev -path "$root/var" -prune -o -path "$root/tmp" -prune -o ! -name 'ld.so.cache*' -printf '%P\n' | sort
}

check_installed() {
  local file
  [ "$(in_root monitor --version)" = "$("$build/monitor" --version)" ] || die 'the installed monitor is another version'
  for file in share/man/man8/monitor.8.gz share/zsh/vendor-completions/_monitor "share/doc/$name/copyright"; do
    [ -s "$root/usr/$file" ] || die "the package has no /usr/$file"
  done
  [ "$(in_root bash -s -- /usr/share/bash-completion/completions/monitor monitor --col \
    <scripts/install/complete-bash.sh)" = --color ] || die 'bash does not complete --col'
  ! in_root sh -c 'command -v cc gcc g++ clang' || die 'this Debian has a compiler, so it is not clean'
  in_root dpkg --verify "$name" || die "the package's installed files have changed: see above"
}

find_port() {
  port=$(sed -n 's|.*running on http://127\.0\.0\.1:\([0-9]*\).*|\1|p' "$scratch/server.log")
  [ -n "$port" ]
}

# request N: sends N requests, one after another, to the server on $port.
request() {
  build/venv/bin/python - "$port" "$1" <<'PYTHON'
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    connection.request("GET", "/health")
    assert connection.getresponse().read() == b'{"status":"ok"}'
PYTHON
}

# Sets `totals` from monitor's last line: requests that have ended, requests in flight, undercount.
read_totals() {
  totals=$(tail -n 1 "$scratch/monitor.log" |
    sed -n 's/.*"active_concurrent":\([0-9]*\).*"total_requests":\([0-9]*\).*"undercount":\([0-9]*\).*/\2 \1 \3/p')
}
begun() { read_totals && [ -n "$totals" ]; }
all_seen() { read_totals && [ "${totals%% *}" -ge "$requests" ]; }

# uvicorn runs outside of the clean Debian, as if the package were installed on the host. The kernel picks the port.
observe() {
  requests=100
  start "$scratch/server.log" build/venv/bin/uvicorn --app-dir scripts/demo --port 0 --no-access-log \
    --no-use-colors app:app
  local server=$!
  wait_until 'uvicorn listens' find_port
  start "$scratch/monitor.log" "${in_root[@]}" monitor --pid "$server" --json --watch --interval 0.2
  local monitor=$!
  wait_until 'monitor in the clean Debian observes uvicorn' begun
  request "$requests"
  wait_until "monitor shows $requests requests" all_seen
  stop "$monitor" || die "monitor ended with status $?: $(tail -n 1 "$scratch/monitor.log")"
  stop "$server" || true
  read_totals
  [ "$totals" = "$requests 0 0" ] || die "ended, in flight, undercount: $totals, but $requests requests were sent"
}

trap clean_up EXIT
trap 'exit 130' INT TERM HUP
make_package
make_root
list_files >"$scratch/before"
install_in_root "$package"
check_installed
observe
test_service
booted apt-get -q -y --purge --auto-remove remove "$name" >"$scratch/remove.log" 2>&1 ||
  die "$(cat "$scratch/remove.log")"
stop_systemd
list_files | diff "$scratch/before" - || die 'removing the package does not restore the files from before (<): see above'
check_purged
printf '%s: installed, observed %d of %d requests, served, removed\n' "${package##*/}" "${totals%% *}" "$requests"
