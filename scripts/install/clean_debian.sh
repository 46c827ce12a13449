# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154  # the sourcing scripts use $package, and define $root and $scratch
# Sourced by package-test.sh and boot-test.sh: makes the package, and a clean Debian 12 with systemd in $root, on a tmpfs.
# Caches the result of debootstrap in build/package.

skip() {
  printf 'skipped: %s\n' "$1" >&2
  exit 77
}

# in_own_mounts ARGUMENT…: restarts the script, with --mounts-are-ours before its arguments, in a mount namespace of its
# own. The kernel removes the namespace and its mounts after the last process, however that ends.
in_own_mounts() {
  [ "$(id -u)" -eq 0 ] || skip 'mount and chroot need root'
  if [ "${1:-}" != --mounts-are-ours ]; then
    unshare --mount true 2>/dev/null || skip 'this machine does not allow a mount namespace (unshare --mount)'
    exec unshare --mount --propagation private "$0" --mounts-are-ours "$@"
  fi
}

# pack BUILD: makes the package from this build and sets `package` to its path.
pack() {
  cpack --config "$1/CPackConfig.cmake" -B "$scratch/deb" >"$scratch/cpack.log" 2>&1 ||
    die "$(cat "$scratch/cpack.log")"
  package=$(echo "$scratch"/deb/*.deb)
}

# The prefix that runs a command in $root, with the environment of a separate host. make_root sets it.
in_root=()
in_root() { "${in_root[@]}" "$@"; }

# The mirror of Debian 12 that this machine uses, or else Debian's own.
find_mirror() {
  local mirror
  # shellcheck disable=SC2016  # apt-get fills it in
  mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    sed -n '/^bookworm main http/{s/.* //p;q}')
  printf '%s\n' "${mirror:-http://deb.debian.org/debian}"
}

# A tmpfs, because it disappears with its mount and makes dpkg's many syncs free.
make_root() {
  local tar=build/package/debian-12-systemd.tar
  mkdir "$root"
  mount -t tmpfs -o size=1g,mode=755 debian "$root"
  exec {lock}>build/package/.lock
  flock "$lock"  # two tests at once would make the same archive
  if [ -f "$tar" ]; then
    tar --numeric-owner -xf "$tar" -C "$root"
  else
    debootstrap --variant=minbase --include=systemd bookworm "$root" "$(find_mirror)" >"$scratch/debootstrap.log" 2>&1 || {
      tail -n 20 "$scratch/debootstrap.log" >&2
      die 'debootstrap failed: the end of its log is above'
    }
    tar --numeric-owner --exclude='./var/cache/apt/archives/*.deb' -cf "$tar.new" -C "$root" .
    mv "$tar.new" "$tar"
  fi
  exec {lock}>&-
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  mount --rbind /proc "$root/proc"
  mount --rbind /sys "$root/sys"
  # monitor attach refuses a BPF file system that the host does not see, such as one that it mounts here itself. With this
  # mount, the script's namespace passes for the host's.
  mount --bind "/proc/$$/mountinfo" "$root/proc/1/mountinfo"
  in_root=(chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
    DEBIAN_FRONTEND=noninteractive ${http_proxy:+"http_proxy=$http_proxy"})
}

# install_in_root PACKAGE…: installs package files, by absolute path, or Debian's packages, by name. Retries with new lists,
# because cached ones can name versions that the mirror no longer has.
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

# Removes the directory only after unmounting: /proc and /sys are mounted below it.
remove_scratch() {
  if ! mountpoint -q "$root" || umount --recursive "$root"; then
    rm -rf --one-file-system "$scratch"
  fi
}
