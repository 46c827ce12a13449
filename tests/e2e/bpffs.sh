#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `monitor attach` mounts the BPF file system if it is not mounted, and leaves it mounted. `bpffs.sh mount FILE` mounts
# it before the tests, and creates FILE if it was not mounted; `bpffs.sh unmount FILE` unmounts it afterwards if FILE
# exists.
set -euo pipefail

place=/sys/fs/bpf
case "$1" in
  mount)
    rm -f "$2"
    if [ "$(stat -f -c %T "$place")" != bpf_fs ] && [ "$(id -u)" -eq 0 ]; then
      mount -t bpf -o nosuid,nodev,noexec,mode=700 bpf "$place"
      touch "$2"
    fi ;;
  unmount)
    if [ -e "$2" ]; then
      umount "$place"
      rm "$2"
    fi ;;
esac
