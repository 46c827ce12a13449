# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by kernels.sh: boots one kernel in qemu without KVM, without a network and without a disk. Its serial ports
# are the console, the command's output and the command's exit status.

# boot VERSION [shell]: prints what the command in $scratch/initrd.cpio prints, and returns its exit status. The console
# is in $scratch/console.log. With `shell` the second port is this terminal; Ctrl-A X ends the guest.
boot() {
  local version=$1
  local more=${2:-}
  local port=(-serial stdio)
  if [ "$more" = shell ]; then
    port=(-serial mon:stdio)
  else
    exec </dev/null
  fi
  rm -f "$scratch/status"
  timeout --foreground "$patience" qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 2G \
    -nodefaults -display none -net none -no-reboot -kernel "build/kernels/$version/vmlinuz" \
    -initrd "$scratch/initrd.cpio" -append "console=ttyS0 panic=-1 quiet random.trust_cpu=on $more" \
    -serial "file:$scratch/console.log" "${port[@]}" -serial "file:$scratch/status" || true
  if [ ! -s "$scratch/status" ]; then
    tail -n 50 "$scratch/console.log" >&2
    printf 'kernel %s ended without a status, or took more than %s; its console is above\n' "$version" "$patience" >&2
    return 1
  fi
  return "$(tr -dc 0-9 <"$scratch/status")"
}
