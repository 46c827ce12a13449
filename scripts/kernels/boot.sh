# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154  # the sourcing script makes the directory $scratch
# Sourced by kernels.sh and boot-test.sh: boots one kernel in qemu without KVM, network or disk. The guest's serial ports
# are the console, the command's output and the command's exit status.

# The timeout of a guest: about five times as long as the tests take.
patience=15m

# Pids of the running guests; the sourcing script kills them when it ends.
guests=()

# start_guest VERSION PORT [shell]: runs until the guest powers off. PORT is the destination of the command's output, as
# qemu's -serial takes it. The console and the status go to files in $scratch/VERSION.
start_guest() {
  local version=$1
  local port=$2
  local more=${3:-}
  mkdir -p "$scratch/$version"
  exec timeout --foreground "$patience" qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 \
    -m 1536M -nodefaults -display none -net none -no-reboot -kernel "build/kernels/$version/vmlinuz" \
    -initrd "$scratch/initrd.cpio" -append "console=ttyS0 panic=-1 quiet random.trust_cpu=on $more" \
    -serial "file:$scratch/$version/console" -serial "$port" -serial "file:$scratch/$version/status"
}

# guest_status VERSION: returns the exit status of the command in a guest that has ended, or fails with the reason.
guest_status() {
  local directory=$scratch/$1
  if [ ! -s "$directory/status" ]; then
    tail -n 50 "$directory/console" >&2 || true
    printf 'kernel %s ended without a status, or took more than %s: its console is above\n' "$1" "$patience" >&2
    return 1
  fi
  return "$(tr -dc 0-9 <"$directory/status")"
}

# run_tests VERSION...: runs the command in all guests in parallel, because a guest rarely keeps more than one core busy.
run_tests() {
  local version
  local failed=()
  local -A job=()
  for version in "$@"; do
    (start_guest "$version" "file:$scratch/$version/output") </dev/null &
    job[$version]=$!
    guests+=($!)
  done
  for version in "$@"; do
    printf '== kernel %s, %s\n' "$version" "$(cat "build/kernels/$version/package")"
    wait "${job[$version]}" || true
    if guest_status "$version"; then
      tail -n 2 "$scratch/$version/output"
    else
      cat "$scratch/$version/output"
      failed+=("$version")
    fi
  done
  [ "${#failed[@]}" -eq 0 ] || die "failed on kernel ${failed[*]}: see above"
}

# run_command VERSION...: runs the command in one guest after another and prints its output live. Returns the status of
# the last one that failed.
run_command() {
  local version
  local status=0
  for version in "$@"; do
    (start_guest "$version" stdio) </dev/null &
    guests+=($!)
    wait $! || true
    guest_status "$version" || status=$?
  done
  return "$status"
}

run_shell() {
  patience=1d
  (start_guest "$1" mon:stdio shell)
}
