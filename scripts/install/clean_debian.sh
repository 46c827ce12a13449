# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154  # $package is for those below, who make the directories $root and $scratch
# Sourced by package-test.sh and boot-test.sh: the package, and a clean Debian 12 in $root, on a tmpfs, with systemd as
# every host has it. What debootstrap made is kept in build/package for the next time.

skip() {
  printf 'skipped: %s\n' "$1" >&2
  exit 77
}

# in_own_mounts ARGUMENT…: the script anew, with --mounts-are-ours before its arguments, in a mount name space of its
# own: that goes with its last process, however that ends.
in_own_mounts() {
  [ "$(id -u)" -eq 0 ] || skip 'a clean Debian is made with mount and chroot, which need root'
  if [ "${1:-}" != --mounts-are-ours ]; then
    unshare --mount true 2>/dev/null || skip 'this machine allows no mount name space (unshare --mount)'
    exec unshare --mount --propagation private "$0" --mounts-are-ours "$@"
  fi
}

# pack BUILD: $package, made anew of this build.
pack() {
  cpack --config "$1/CPackConfig.cmake" -B "$scratch/deb" >"$scratch/cpack.log" 2>&1 ||
    die "$(cat "$scratch/cpack.log")"
  package=$(echo "$scratch"/deb/*.deb)
}

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
  local tar=build/package/debian-12-systemd.tar
  mkdir "$root"
  mount -t tmpfs -o size=1g,mode=755 debian "$root"
  exec {lock}>build/package/.lock
  flock "$lock"  # two tests at once would make the same
  if [ -f "$tar" ]; then
    tar --numeric-owner -xf "$tar" -C "$root"
  else
    debootstrap --variant=minbase --include=systemd bookworm "$root" "$(find_mirror)" >"$scratch/debootstrap.log" 2>&1 || {
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

# install_in_root PACKAGE…: files, or of Debian by name. The lists of an earlier day may name versions which the mirror no
# longer has.
install_in_root() {
  local wanted
  local install=(apt-get -q -y --no-install-recommends install)
  for wanted in "$@"; do
    case "$wanted" in
      /*) cp "$wanted" "$root/tmp/" && install+=("/tmp/${wanted##*/}") ;;
      *) install+=("$wanted") ;;
    esac
  done
  if ! in_root "${install[@]}" >"$scratch/install.log" 2>&1; then
    in_root apt-get -q update >>"$scratch/install.log" 2>&1 || true
    in_root "${install[@]}" >>"$scratch/install.log" 2>&1 || die "apt cannot install it: $(cat "$scratch/install.log")"
  fi
}

# Never a recursive removal with /proc and /sys mounted below.
remove_scratch() {
  if ! mountpoint -q "$root" || umount --recursive "$root"; then
    rm -rf --one-file-system "$scratch"
  fi
}
