#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building, testing and the demo need on Debian 12: Debian's packages, and under build/venv the current
# uvicorn from PyPI (scripts/requirements.txt). Run it as often as you like: it does only what is missing, and says
# nothing when nothing is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh

packages=(
  # building
  cmake ninja-build g++ pkg-config clang-14 bpftool libbpf-dev libelf-dev zlib1g-dev
  libcli11-dev nlohmann-json3-dev libfmt-dev libutf8proc-dev
  # checking
  doctest-dev clang-format-14 clang-tidy-14 libclang-rt-14-dev shellcheck
  # Debian's uvicorn, one of the two that are tested, and the tests' tools
  python3-venv python3-uvicorn python3-httptools python3-uvloop python3-fastapi python3-websockets python3-jsonschema
  wrk ethtool iproute2
  # other kernels (scripts/kernels.sh)
  qemu-system-x86 busybox-static
)

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

mapfile -t missing < <(missing_packages)
if [ "${#missing[@]}" -gt 0 ]; then
  install_packages "${missing[@]}"
fi

mkdir -p build
exec {lock}>build/.setup.lock
flock "$lock"  # two set-ups at once would make the same venv
if [ "$(cat build/venv/made-from 2>/dev/null)" != "$(venv_recipe)" ]; then
  make_venv
fi
