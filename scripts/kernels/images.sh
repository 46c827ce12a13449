# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154  # scratch is a directory that kernels.sh makes
# Sourced by kernels.sh: Debian's cloud kernels, downloaded and unpacked under build/kernels/VERSION (vmlinuz, and
# in `package` what it came from), never installed. A newer package in apt's lists replaces the one that is there.

# The meta package that always depends on the newest image of a series; both are in bookworm and bookworm-security.
meta_package() {
  case "$1" in
    6.1) echo linux-image-cloud-amd64 ;;
    *) echo "linux-image-$1-cloud-amd64" ;;
  esac
}

# The image as apt-get download takes it, PACKAGE=VERSION; nothing when apt does not know it.
newest_image() {
  local image
  image=$(apt-cache depends --important "$(meta_package "$1")" 2>/dev/null | sed -n 's/^ *Depends: //p')
  if [ -n "$image" ]; then
    apt-cache show --no-all-versions "$image" | sed -n "s/^Version: /$image=/p"
  fi
}

download_image() {
  local image
  image=$(newest_image "$1")
  [ -n "$image" ] && (cd "$2" && apt-get -q -o APT::Sandbox::User=root download "$image" >download.log 2>&1)
}

# prepare_image VERSION: makes build/kernels/VERSION what apt's lists say it should be.
prepare_image() {
  local version=$1
  local directory=build/kernels/$version
  local image
  image=$(newest_image "$version")
  if [ -f "$directory/vmlinuz" ] && { [ -z "$image" ] || [ "$(cat "$directory/package")" = "$image" ]; }; then
    return
  fi
  local fresh=$scratch/image-$version
  mkdir "$fresh"
  # Lists that are missing or name a version which the mirror no longer has make the first attempt fail.
  if ! download_image "$version" "$fresh"; then
    apt_update
    download_image "$version" "$fresh" || {
      cat "$fresh/download.log" >&2 || true
      die "no kernel $version: apt has no $(meta_package "$version"), which bookworm-security has"
    }
    image=$(newest_image "$version")
  fi
  dpkg-deb -x "$fresh"/*.deb "$fresh/unpacked"
  mv "$fresh"/unpacked/boot/vmlinuz-* "$fresh/vmlinuz"
  rm -r "$fresh"/unpacked "$fresh"/*.deb
  printf '%s\n' "$image" >"$fresh/package"
  rm -rf "$directory"
  mv "$fresh" "$directory"
}
