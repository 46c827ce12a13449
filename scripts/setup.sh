#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building, testing and the demo need on Debian 12: Debian's packages, under build/venv the current uvicorn
# from PyPI (scripts/requirements.txt), and under build/npm what the tests need from npm (scripts/npm/package.json). Run
# it as often as you like: it does only what is missing, and says nothing when nothing is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh

packages=(
  # building
  cmake ninja-build g++ pkg-config clang-14 bpftool libbpf-dev libelf-dev zlib1g-dev
  libcli11-dev nlohmann-json3-dev libfmt-dev libutf8proc-dev libboost-dev
  # checking
  doctest-dev clang-format-14 clang-tidy-14 libclang-rt-14-dev shellcheck
  libhttp-parser-dev  # a second opinion on where messages end: tests/fuzz/boundaries_fuzz.cpp
  # Debian's uvicorn, one of the two that are tested, and the tests' tools
  python3-venv python3-uvicorn python3-httptools python3-uvloop python3-fastapi python3-websockets python3-jsonschema
  wrk ethtool iproute2
  jq curl  # the recipes of the documents are tested as they are typed
  # more servers that are tested, behind which uvicorn runs or beside it
  python3-gunicorn nginx nodejs openssl
  # what OpenMetrics is read by, strictly
  python3-prometheus-client
  # the Debian package: dpkg-shlibdeps, and by what CPack knows a program
  dpkg-dev file
  # its tests: a clean Debian to install it in, Debian's own checks, and who reads the man page and the completions
  debootstrap lintian man-db zsh
  # other kernels (scripts/kernels.sh)
  qemu-system-x86 busybox-static
)
# Debian's npm is large (350 packages, 100 MB), but it is the one that knows the machine's proxies, certificates and
# mirrors. Other packages of nodejs bring an npm of their own and conflict with it.
command -v npm >/dev/null || packages+=(npm)

# Monitoring systems that the tests run on ports and in directories of their own. Installing their packages would make
# users and services that start at each boot; unpacked under build/debian they leave the machine as it was. They are
# linked with nothing but the C library.
unpacked=(prometheus influxdb influxdb-client)

missing_packages() {
  local installed
  # dpkg-query fails when it does not know one of the names; what it prints about the others is right all the same.
  installed=$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
  printf '%s\n' "${packages[@]}" | grep -vxF -f <(sed -n 's/^installed //p' <<<"$installed") || true
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "$@"
}

# nginx's package would start it on port 80, now and at each boot; the tests run one of their own. policy-rc.d is how
# Debian asks whether a service may be started (/usr/share/doc/init-system-helpers/README.policy-rc.d.gz). Only for an
# nginx that was not there before: somebody else's goes on as it was.
install_without_nginx_service() {
  local policy=/usr/sbin/policy-rc.d
  local status=0
  if [ -e "$policy" ]; then
    policy=
  else
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    # shellcheck disable=SC2064  # the path of now
    trap "as_root rm -f $policy" EXIT
  fi
  install_packages "$@" || status=$?
  if [ -n "$policy" ]; then
    as_root rm -f "$policy"
    trap - EXIT
  fi
  as_root update-rc.d nginx disable >/dev/null 2>&1 || true
  # Where a policy of the machine's own was there, it may have allowed the start.
  if [ -d /run/systemd/system ]; then
    as_root systemctl stop nginx.service || true
  fi
  return "$status"
}

install_packages() {
  command -v apt-get >/dev/null || die "no apt-get here: install by hand what Debian calls: $*"
  printf 'Installing from Debian: %s\n' "$*"
  # Lists that are missing or name versions which the mirror no longer has make the first attempt fail.
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
  # apt warns that its own user cannot write there; the files are checked all the same.
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

# What the venv was made from: its packages, its interpreter, and its place, which its scripts name in their first line.
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

# The lock file has a checksum for each package. No script of theirs is run: what is wanted is plain JavaScript.
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

mapfile -t missing < <(missing_packages)
case " ${missing[*]} " in
  '  ') ;;
  *' nginx '*) install_without_nginx_service "${missing[@]}" ;;
  *) install_packages "${missing[@]}" ;;
esac

mkdir -p build
exec {lock}>build/.setup.lock
flock "$lock"  # two set-ups at once would make the same venv
if [ "$(cat build/venv/made-from 2>/dev/null)" != "$(venv_recipe)" ]; then
  make_venv
fi
if [ "$(cat build/debian/made-from 2>/dev/null)" != "$(printf '%s\n' "${unpacked[@]}")" ]; then
  unpack_packages
fi
if [ "$(cat build/npm/made-from 2>/dev/null)" != "$(npm_recipe)" ]; then
  install_npm_packages
fi
