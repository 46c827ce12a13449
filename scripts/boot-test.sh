#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests the package's service with systemd as the first process: boots a clean Debian 12 with the package on its own kernel,
# in qemu without KVM. `scripts/boot-test.sh [KERNEL]` (6.1); build first. Takes a minute, the first time two, and needs
# root. The test suite does not run it; package-test.sh also tests the service under systemd, on this machine's kernel.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
. scripts/install/clean_debian.sh
. scripts/kernels/images.sh
. scripts/kernels/boot.sh

in_own_mounts "$@"
shift

kernel=${1:-6.1}
for tool in debootstrap dpkg-shlibdeps busybox qemu-system-x86_64; do
  command -v "$tool" >/dev/null || die "no $tool here: scripts/setup.sh installs it"
done
[ -x build/release/monitor ] || die 'no build/release/monitor: cmake --preset release && cmake --build build/release'
mkdir -p build/package build/kernels
scratch=$(mktemp -d "$PWD/build/package/boot.XXXXXX")
root=$scratch/root

clean_up() {
  [ "${#guests[@]}" -eq 0 ] || kill "${guests[@]}" 2>/dev/null || true
  wait
  remove_scratch
  hand_back_build
}

# Prepares the guest's system: installs the package, keeps a copy to install over it, and adds a uvicorn of another user
# and guest.sh, which runs after the boot.
furnish_root() {
  install_in_root "$package" systemd-sysv python3-uvicorn
  mv "$root/tmp/${package##*/}" "$root/root/package.deb"
  cp scripts/install/boot_guest.sh "$root/root/guest.sh"
  printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
  cat >"$root/srv/app.py" <<'PYTHON'
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
PYTHON
  cat >"$root/etc/systemd/system/app.service" <<'UNIT'
[Service]
User=www-data
WorkingDirectory=/srv
ExecStart=/usr/bin/python3 -m uvicorn --port 8000 --lifespan off --workers 2 app:app
UNIT
  cat >"$root/etc/systemd/system/guest.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash /root/guest.sh
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
ExecStopPost=/bin/sh -c 'echo "$EXIT_STATUS" >/dev/ttyS2; systemctl poweroff --force --force'
UNIT
  ln -s /etc/systemd/system/guest.service "$root/etc/systemd/system/multi-user.target.wants/"
  # The unit waits for udev, which is not installed.
  ln -s /dev/null "$root/etc/systemd/system/serial-getty@ttyS0.service"
}

# The kernel unpacks the initrd, whose init unpacks the archive in it to the file system that becomes /.
make_initrd() {
  local top=$scratch/top
  mkdir -p "$top/dev" "$top/new"
  cp /usr/bin/busybox "$top/"
  tar --numeric-owner --one-file-system --exclude=./var/cache/apt --exclude=./usr/share/doc \
    --exclude=./usr/share/locale -cf "$top/root.tar" -C "$root" .
  cat >"$top/init" <<'INIT'
#!/busybox sh
/busybox mount -t tmpfs -o mode=755 root /new
/busybox tar -xf /root.tar -C /new
/busybox rm /root.tar
exec /busybox switch_root /new /sbin/init
INIT
  chmod +x "$top/init"
  (cd "$top" && find . | /usr/bin/busybox cpio -o -H newc 2>/dev/null) >"$scratch/initrd.cpio"
  rm -r "$top"
}

trap clean_up EXIT
trap 'exit 130' INT TERM HUP
exec {lock}>build/kernels/.lock
flock "$lock"  # kernels.sh downloads the same kernels
prepare_image "$kernel"
flock -u "$lock"
pack "$(realpath build/release)"
make_root
furnish_root
make_initrd
run_command "$kernel" || die "failed on kernel $kernel: see above"
