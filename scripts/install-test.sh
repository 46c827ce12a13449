#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests `cmake --install`: which files it puts where, whether they work, and whether the target uninstall removes
# exactly these. Installs into a directory below build/ and needs no root: `scripts/install-test.sh [BUILD]`; build
# first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh

build=$(realpath "${1:-build/release}")
records=(install_manifest.txt install_directories.txt)
pids=() abouts=()
for tool in man zsh; do
  command -v "$tool" >/dev/null || die "no $tool here: scripts/setup.sh installs it"
done
mkdir -p build
scratch=$(mktemp -d "$PWD/build/install-test.XXXXXX")

# Sets the records of an earlier install from this build aside meanwhile, so that it can still be uninstalled.
clean_up() {
  local record
  [ "${#pids[@]}" -eq 0 ] || kill "${pids[@]}"
  for record in "${records[@]}"; do
    rm -f "$build/$record"
    [ ! -e "$scratch/$record" ] || mv "$scratch/$record" "$build/$record"
  done
  rm -rf "$scratch"
}

# expect WHAT ACTUAL EXPECTED
expect() {
  [ "$2" = "$3" ] || die "$1 is not as expected:
$(diff <(printf '%s\n' "$3") <(printf '%s\n' "$2") || true)"
}

list() { (cd "$1" && find . -mindepth 1 -printf '%M %P\n' | LC_ALL=C sort -k 2); }

install_files() { cmake --install "$build" "$@" >"$scratch/install.log" 2>&1 || die "$(cat "$scratch/install.log")"; }

uninstall() { cmake --build "$build" --target uninstall >"$scratch/uninstall.log" 2>&1; }

# A prefix with two entries before the install: an empty directory that we would create, and a file of another program.
check_prefix() {
  local prefix=$scratch/prefix before
  mkdir -p "$prefix/share/man" "$prefix/bin"
  touch "$prefix/bin/other-program"
  before=$(list "$prefix")
  (umask 022 && install_files --prefix "$prefix")
  # The documents are compared by name with docs/, so that a new page needs no change here.
  expect 'what is installed' "$(list "$prefix" | grep -v '^d\|/docs/')" \
    '-rwxr-xr-x bin/monitor
-rw-r--r-- bin/other-program
-rw-r--r-- share/bash-completion/completions/monitor
-rw-r--r-- share/doc/uvicorn-monitor/LICENSE
-rw-r--r-- share/doc/uvicorn-monitor/LICENSE.BSD-2-Clause
-rw-r--r-- share/doc/uvicorn-monitor/LICENSE.GPL-2.0-only
-rw-r--r-- share/doc/uvicorn-monitor/README.md
-rw-r--r-- share/doc/uvicorn-monitor/copyright
-rw-r--r-- share/man/man8/monitor.8.gz
-rw-r--r-- share/zsh/site-functions/_monitor'
  expect 'docs' "$(cd "$prefix/share/doc/uvicorn-monitor" && find docs | sort)" "$(find docs | sort)"
  check_man_page "$prefix/share/man"
  local PATH=$prefix/bin:$PATH
  serve
  check_bash "$prefix/share/bash-completion/completions/monitor"
  check_zsh "$prefix/share/zsh/site-functions"
  uninstall || die "$(cat "$scratch/uninstall.log")"
  expect 'what the uninstall left' "$(list "$prefix")" "$before"
  uninstall || die "a second uninstall failed: $(cat "$scratch/uninstall.log")"
  grep -q '^Nothing is installed' "$scratch/uninstall.log" || die "$(cat "$scratch/uninstall.log")"
}

# Installs below a DESTDIR, as packagers do, so that every file is ours. Installs twice, as after a rebuild: the second
# time the directories exist.
check_destdir() {
  local root=$scratch/root
  DESTDIR=$root install_files --prefix /opt/monitor-install-test
  DESTDIR=$root install_files --prefix /opt/monitor-install-test
  # Only the package has the service, at absolute paths. An install by hand must write nothing there.
  expect 'where something is installed' "$(ls "$root")" opt
  ! uninstall || die 'an uninstall without the DESTDIR of the install succeeds'
  DESTDIR=$root uninstall || die "$(cat "$scratch/uninstall.log")"
  [ ! -e "$root" ] || die "the uninstall left below DESTDIR: $(list "$root")"
}

# man finds the page and prints no warning, and the page names every option.
check_man_page() {
  local page option
  expect 'where man finds the page' "$(man -M "$1" -w monitor)" "$1/man8/monitor.8.gz"
  page=$(LC_ALL=C.UTF-8 MANWIDTH=100 man --warnings -l "$1/man8/monitor.8.gz" 2>"$scratch/man.log" | col -b)
  expect 'the warnings of man' "$(cat "$scratch/man.log")" ''
  for option in $(options --help); do
    grep -qFe " $option" <<<"$page" || die "the man page lacks $option"
  done
  grep -q '^EXIT STATUS' <<<"$page" || die 'the man page lacks a section EXIT STATUS'
}

# options ARGUMENT…: the options that a help text lists.
options() { "$build/monitor" "$@" | sed -En 's/^  (-h,)?(--[a-z-]+).*/\2/p'; }

# Starts two programs that monitor lists, as guesses; clean_up ends them. Sets `pids` and `abouts`.
serve() {
  local number tries
  for number in 0 1; do
    python3 -m http.server --bind 127.0.0.1 0 >/dev/null 2>&1 &
    pids+=("$!")
    for ((tries = 0; tries < 200; ++tries)); do
      abouts[number]=$(monitor ls 2>/dev/null | sed -n "s/^pid $! on //p")
      [ -z "${abouts[number]}" ] || break
      sleep 0.05
    done
    [ -n "${abouts[number]}" ] || die "monitor ls does not list pid $!"
  done
}

# check_bash COMPLETION
check_bash() {
  local offer=(bash scripts/install/complete-bash.sh "$1" monitor)
  local command commands
  commands=$("$build/monitor" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
  for command in '' $commands; do
    # shellcheck disable=SC2086  # an empty command must not become a word
    expect "bash: monitor $command --" "$("${offer[@]}" $command -- | sort)" "$(options $command --help | sort)"
  done
  expect 'bash: a command' "$("${offer[@]}" at)" attach
  expect 'bash: --color' "$("${offer[@]}" --watch --color '')" $'auto\nalways\nnever'
  expect 'bash: --profile=s' "$("${offer[@]}" attach --profile = s)" $'socket\nsyscall'
  expect 'bash: a number' "$("${offer[@]}" --count '')" ''
  expect 'bash: a file' "$("${offer[@]}" --log scripts/install-t)" scripts/install-test.sh
  expect 'bash: a directory' "$("${offer[@]}" --pins scripts/i)" scripts/install
  # Other servers may run on this machine.
  local listed number words
  listed=$("${offer[@]}" attach --pid '')
  for number in 0 1; do
    grep -qFx "${pids[number]}  (${abouts[number]:0:70})" <<<"$listed" || die "bash: --pid does not offer ${pids[number]}"
    for words in "--pid ${pids[number]}" "--pid = ${pids[number]}" "detach --pid ${pids[number]}"; do
      # shellcheck disable=SC2086
      expect "bash: $words" "$("${offer[@]}" $words)" "${pids[number]}"
    done
  done
  grep -qFx "${pids[0]}" <(COMP_TYPE=37 "${offer[@]}" --pid '') || die 'bash: a menu would insert the description'
  # Messages name the servers of other users, whose sockets this user may not see.
  mkdir -p "$scratch/unprivileged"
  cat >"$scratch/unprivileged/monitor" <<'END'
#!/bin/sh
echo 'No HTTP server in Python was found.'
echo 'monitor: the sockets of process 77 (uvicorn a:b (x)) cannot be seen: reading /proc/77/fd is not permitted' >&2
echo '  run it with sudo' >&2
END
  chmod +x "$scratch/unprivileged/monitor"
  expect 'bash: --pid without privileges' "$(PATH=$scratch/unprivileged:$PATH COMP_TYPE=63 "${offer[@]}" --pid '')" 77
  expect 'bash: --pid where there is no monitor' "$("${offer[@]/#monitor/\/no\/such}" --pid '' 2>&1)" ''
}

# check_zsh DIRECTORY
check_zsh() {
  local make=(zsh -f scripts/install/complete.zsh "$1")
  expect 'zsh: a command' "$("${make[@]}" 'monitor at')" 'monitor attach '
  expect 'zsh: an option' "$("${make[@]}" 'monitor --wa')" 'monitor --watch '
  expect 'zsh: an option of a command' "$("${make[@]}" 'monitor attach --max-e')" 'monitor attach --max-endpoints='
  expect 'zsh: a word' "$("${make[@]}" 'monitor --color=n')" 'monitor --color=never '
  expect 'zsh: a directory' "$("${make[@]}" 'monitor --pins scripts/i')" 'monitor --pins scripts/install/'
  local line
  for line in "monitor --pid=${pids[0]}" "monitor --pid ${pids[1]}" "monitor attach --pid ${pids[1]}"; do
    expect "zsh: $line" "$("${make[@]}" "$line")" "$line "
  done
  expect 'zsh: a pid that is no server' "$("${make[@]}" 'monitor --pid 4194305')" 'monitor --pid 4194305'
}

trap clean_up EXIT
trap 'exit 130' INT TERM HUP
for record in "${records[@]}"; do
  [ ! -e "$build/$record" ] || mv "$build/$record" "$scratch/$record"
done
check_prefix
check_destdir
