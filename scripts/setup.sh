#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what one task needs on Debian 12: `scripts/setup.sh [build|demo|check|test]`. Without an argument it prepares
# everything that the tests need. It installs only what is missing, and prints nothing when nothing is.
#   build   the compilers and libraries of the program and its unit tests
#   demo    build, and Debian's uvicorn and FastAPI for the demo server
#   check   build, and the formatters and linters of scripts/check.sh and scripts/lint.sh
#   test    all of these, the tools and servers of the tests, build/venv (the current uvicorn from PyPI:
#           scripts/requirements.txt), build/npm (scripts/npm/package.json) and build/debian
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
help_from_head "$@"

# Set and packages. A package belongs to the smallest set that needs it; comments say what is not obvious.
table() {
  sed 's/ *#.*//' <<'END'
build  cmake ninja-build g++ pkg-config clang-14 bpftool libbpf-dev libelf-dev zlib1g-dev
build  libcli11-dev nlohmann-json3-dev libfmt-dev libutf8proc-dev libboost-dev
build  doctest-dev       # the presets configure the tests too
build  python3           # makes the man page and the completions
demo   python3-uvicorn python3-fastapi
check  clang-format-14 clang-tidy-14 shellcheck
test   libclang-rt-14-dev libhttp-parser-dev    # tests/fuzz: libFuzzer, and a second parser to compare with
test   python3-venv python3-httptools python3-uvloop python3-websockets python3-jsonschema
test   wrk ethtool iproute2
test   jq curl           # the documents' recipes run as they are printed
test   python3-gunicorn nginx nodejs openssl    # more servers to observe
test   python3-prometheus-client                # a strict parser of OpenMetrics
test   dpkg-dev file     # cpack -G DEB calls dpkg-shlibdeps and file
test   debootstrap lintian man-db zsh           # the tests of the package, in a clean Debian
test   qemu-system-x86 busybox-static           # scripts/kernels.sh
END
}

# Monitoring systems that the tests run on ports and in directories of their own. Installing their packages would add
# users and services that start at each boot, so they are only unpacked, under build/debian. They link to nothing but
# the C library.
unpacked=(prometheus influxdb influxdb-client)

# packages_of SET...
packages_of() {
  local row
  while read -r -a row; do
    if [[ " $* " == *" ${row[0]} "* ]]; then
      printf '%s\n' "${row[@]:1}"
    fi
  done < <(table)
}

# missing_of PACKAGE...: those that are not installed.
missing_of() {
  local installed
  # dpkg-query fails when it does not know one of the names; its output about the others is right all the same.
  installed=$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
  printf '%s\n' "$@" | grep -vxF -f <(sed -n 's/^installed //p' <<<"$installed") || true
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "$@"
}

# nginx's package would start nginx on port 80, now and at each boot; the tests run an nginx of their own. policy-rc.d
# decides whether a package may start its service (/usr/share/doc/init-system-helpers/README.policy-rc.d.gz). This is
# only for an nginx that was not installed before: an existing one stays as it was.
install_without_nginx_service() {
  local policy=/usr/sbin/policy-rc.d
  local status=0
  if [ -e "$policy" ]; then
    policy=
  else
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    # shellcheck disable=SC2064  # expand the path now
    trap "as_root rm -f $policy" EXIT
  fi
  install_packages "$@" || status=$?
  if [ -n "$policy" ]; then
    as_root rm -f "$policy"
    trap - EXIT
  fi
  as_root update-rc.d nginx disable >/dev/null 2>&1 || true
  # The machine's own policy may have allowed the start.
  if [ -d /run/systemd/system ]; then
    as_root systemctl stop nginx.service || true
  fi
  return "$status"
}

install_packages() {
  command -v apt-get >/dev/null || die "there is no apt-get; install these packages of Debian by hand: $*"
  printf 'Installing from Debian: %s\n' "$*"
  # The first attempt fails if the package lists are missing or name versions that the mirror no longer has.
  if ! apt-get -q --simulate --no-install-recommends install "$@" >/dev/null 2>&1; then
    apt_update
    apt_install "$@"
  elif ! apt_install "$@"; then
    apt_update
    apt_install "$@"
  fi
}

unpack_packages() {
  local into=build/debian.new
  printf 'Unpacking from Debian, under build/debian: %s\n' "${unpacked[*]}"
  rm -rf "$into" build/debian
  mkdir -p "$into/packages"
  # apt warns that its own user cannot write here; it checks the files all the same.
  if ! (cd "$into/packages" && apt-get -q -q download "${unpacked[@]}" 2>/dev/null); then
    apt_update
    (cd "$into/packages" && apt-get -q -q download "${unpacked[@]}")
  fi
  local package
  for package in "$into"/packages/*.deb; do
    dpkg --extract "$package" "$into"
  done
  rm -r "$into/packages"
  printf '%s\n' "${unpacked[@]}" >"$into/made-from"
  mv "$into" build/debian
  hand_back_build
}

# What the venv was made from: its packages, its interpreter, and its path, which the first line of its scripts names.
venv_recipe() {
  { cat scripts/requirements.txt; readlink -f /usr/bin/python3; pwd; } | sha256sum
}

make_venv() {
  printf 'Making build/venv from scripts/requirements.txt\n'
  rm -rf build/venv
  /usr/bin/python3 -m venv build/venv
  build/venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement scripts/requirements.txt
  venv_recipe >build/venv/made-from
  hand_back_build
}

npm_recipe() { cat scripts/npm/package.json scripts/npm/package-lock.json | sha256sum; }

# The lock file has a checksum for each package. Their scripts need not run: the package is plain JavaScript.
install_npm_packages() {
  local into=build/npm.new
  printf 'Installing from npm, under build/npm: scripts/npm/package-lock.json\n'
  rm -rf "$into" build/npm
  mkdir -p "$into"
  cp scripts/npm/package.json scripts/npm/package-lock.json "$into"
  (cd "$into" && npm ci --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
  npm_recipe >"$into/made-from"
  mv "$into" build/npm
  hand_back_build
}

# What the tests need besides Debian's packages.
prepare_test_directories() {
  mkdir -p build
  exec {lock}>build/.setup.lock
  flock "$lock"  # two runs at once would make the same venv
  if [ "$(cat build/venv/made-from 2>/dev/null)" != "$(venv_recipe)" ]; then
    make_venv
  fi
  if [ "$(cat build/debian/made-from 2>/dev/null)" != "$(printf '%s\n' "${unpacked[@]}")" ]; then
    unpack_packages
  fi
  if [ "$(cat build/npm/made-from 2>/dev/null)" != "$(npm_recipe)" ]; then
    install_npm_packages
  fi
}

[ $# -le 1 ] || die 'one set at most: build, demo, check or test'
wanted=${1:-test}
case "$wanted" in
  build) sets=(build) ;;
  demo | check) sets=(build "$wanted") ;;
  test) sets=(build demo check test) ;;
  *) die "unknown set '$wanted'; the sets are build, demo, check and test" ;;
esac
mapfile -t packages < <(packages_of "${sets[@]}")
mapfile -t missing < <(missing_of "${packages[@]}")
# Debian's npm is large (350 packages, 100 MB), but it knows the machine's proxies, certificates and mirrors. Other
# packages of nodejs bring an npm of their own and conflict with Debian's.
if [ "$wanted" = test ] && ! command -v npm >/dev/null; then
  missing+=(npm)
fi
case " ${missing[*]} " in
  '  ') ;;
  *' nginx '*) install_without_nginx_service "${missing[@]}" ;;
  *) install_packages "${missing[@]}" ;;
esac
if [ "$wanted" = test ]; then
  prepare_test_directories
fi
