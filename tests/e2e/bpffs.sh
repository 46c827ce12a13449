#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `monitor attach` mounts the BPF file system where it is not, and leaves it. Around the tests: `bpffs.sh mount FILE` mounts
# it and makes FILE if that was not done already, `bpffs.sh unmount FILE` puts things back as FILE says.
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
