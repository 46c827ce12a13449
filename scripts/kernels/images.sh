# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154  # the sourcing script makes the directory $scratch
# Sourced by kernels.sh and boot-test.sh: downloads Debian's cloud kernels and unpacks them under build/kernels/VERSION
# (vmlinuz, and the name of its package in `package`), without installing them. A newer package in apt's lists replaces an
# older one.

# meta_package VERSION: the meta package that depends on the newest image of a series. Images and meta packages are in
# bookworm and bookworm-security.
meta_package() {
  case "$1" in
    6.1) echo linux-image-cloud-amd64 ;;
    *) echo "linux-image-$1-cloud-amd64" ;;
  esac
}

# newest_image VERSION: the image as PACKAGE=VERSION, for apt-get download; prints nothing if apt does not know it.
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

# prepare_image VERSION: brings build/kernels/VERSION up to date with apt's lists.
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
  # The first attempt fails if apt's lists are missing or name a version that the mirror no longer has.
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
