# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154  # root and scratch are directories that package-test.sh makes
# Sourced by package-test.sh: a clean Debian 12 in $root, on a tmpfs. What debootstrap made is kept in
# build/package/debian-12.tar for the next time.

# What makes a command one in there, with an environment as on a host of its own; make_root fills it in.
in_root=()
in_root() { "${in_root[@]}" "$@"; }

# The mirror that this machine has Debian 12 from, else Debian's own.
find_mirror() {
  local mirror
  # shellcheck disable=SC2016  # apt-get fills it in
  mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    sed -n '/^bookworm main http/{s/.* //p;q}')
  printf '%s\n' "${mirror:-http://deb.debian.org/debian}"
}

# A tmpfs is gone with its mount, and there dpkg's many syncs cost nothing.
make_root() {
  local tar=build/package/debian-12.tar
  mkdir "$root"
  mount -t tmpfs -o size=1g,mode=755 debian "$root"
  exec {lock}>build/package/.lock
  flock "$lock"  # two tests at once would make the same
  if [ -f "$tar" ]; then
    tar --numeric-owner -xf "$tar" -C "$root"
  else
    debootstrap --variant=minbase bookworm "$root" "$(find_mirror)" >"$scratch/debootstrap.log" 2>&1 || {
      tail -n 20 "$scratch/debootstrap.log" >&2
      die 'debootstrap failed: its last words are above'
    }
    tar --numeric-owner --exclude='./var/cache/apt/archives/*.deb' -cf "$tar.new" -C "$root" .
    mv "$tar.new" "$tar"
  fi
  exec {lock}>&-
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  mount --rbind /proc "$root/proc"
  mount --rbind /sys "$root/sys"
  in_root=(chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
    DEBIAN_FRONTEND=noninteractive ${http_proxy:+"http_proxy=$http_proxy"})
}

# install_in_root PACKAGE. The lists of an earlier day may name versions which the mirror no longer has.
install_in_root() {
  local install=(apt-get -q -y --no-install-recommends install "/tmp/${1##*/}")
  cp "$1" "$root/tmp/"
  if ! in_root "${install[@]}" >"$scratch/install.log" 2>&1; then
    in_root apt-get -q update >>"$scratch/install.log" 2>&1 || true
    in_root "${install[@]}" >>"$scratch/install.log" 2>&1 || die "apt cannot install it: $(cat "$scratch/install.log")"
  fi
}
