# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154  # package-test.sh defines or uses the variables
# Sourced by package-test.sh: tests the package's service as an operator uses it, under Debian's own systemd in $root. Only
# process 1 can be the system manager, so this systemd runs as a user manager. As root, it applies the same capabilities,
# mounts and system call filters to a service. It listens at the system manager's socket, so that systemctl and the
# package's scripts talk to it.

unit=uvicorn-monitor.service
defaults=etc/default/uvicorn-monitor

# Runs a command as on a machine with systemd: systemctl would otherwise notice the chroot and do nothing.
booted() { in_root SYSTEMD_IGNORE_CHROOT=1 "$@"; }

# Runs systemctl without systemd, because a user manager would create the links in the user's home.
on_disk() { in_root SYSTEMD_OFFLINE=1 systemctl "$@" "$unit"; }

property() { booted systemctl show --property "$1" --value "$unit"; }
is() { [ "$(property "$1")" = "$2" ]; }

# expect_property NAME VALUE: fails unless the service's property has this value.
expect_property() {
  is "$1" "$2" || die "the service's $1 is $(property "$1") and not $2: $(booted systemctl status "$unit" 2>&1)"
}

# GROUP COMMAND…: runs a command in a new control group. Kills all processes of the group and removes it when the command
# ends, on SIGTERM, and when this script is killed.
# shellcheck disable=SC2016  # another shell expands it
group_keeper='
  set -e
  trap : TERM
  mkdir "$1"
  (cd "$1" && echo "$BASHPID" >cgroup.procs && cd / && exec "${@:2}") &
  cd "$1"
  wait $! || true
  echo 1 >cgroup.kill
  until grep -q "^populated 0" cgroup.events; do sleep 0.02; done
  cd ..
  find "./${1##*/}" -depth -type d -exec rmdir {} \;'

# Starts systemd with an empty /run, bpffs and targets, because a machine's own targets would start its other services.
start_systemd() {
  local target
  mount -t tmpfs run "$root/run"
  mount -t bpf -o mode=700 bpf "$root/sys/fs/bpf"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  mkdir -p "$root/run/systemd/system" "$root/run/targets/$unit.d"
  for target in default basic shutdown; do
    printf '[Unit]\nDefaultDependencies=no\n' >"$root/run/targets/$target.target"
  done
  # systemd keeps the state of a unit only while another unit refers to it.
  printf 'After=%s\n' "$unit" >>"$root/run/targets/default.target"
  # There is no journal.
  printf '[Service]\nStandardError=append:/run/service.log\n' >"$root/run/targets/$unit.d/log.conf"
  ln -s "$root/run/service.log" "$scratch/service.log"
  setpriv --pdeathsig TERM -- bash -c "$group_keeper" keeper "$root/sys/fs/cgroup/monitor-package-test.$$" \
    "${in_root[@]}" XDG_RUNTIME_DIR=/run SYSTEMD_UNIT_PATH=/run/targets:/etc/systemd/system:/lib/systemd/system \
    SYSTEMD_LOG_TARGET=null /lib/systemd/systemd --user >"$scratch/systemd.log" 2>&1 </dev/null &
  children[$!]=1
  systemd=$!
  wait_until 'systemd can be reached' test -S "$root/run/systemd/private"
  wait_until 'systemd runs' booted systemctl --quiet is-active default.target
}

stop_systemd() {
  stop "$systemd" || die "the control group of systemd was not removed: $(cat "$scratch/systemd.log")"
  umount "$root/sys/fs/cgroup" "$root/sys/fs/bpf" "$root/run"
}

# The unit's exposure level is 2.5 (threshold 25): it runs as root with four capabilities, and needs the network and other
# processes.
check_unit() {
  local complaints
  # This Debian has no man; install-test.sh checks the page.
  complaints=$(in_root systemd-analyze verify --man=no "/lib/systemd/system/$unit" 2>&1) || true
  [ -z "$complaints" ] || die "systemd complains about the unit: $complaints"
  in_root systemd-analyze security --offline=true --threshold=25 "/lib/systemd/system/$unit" \
    >"$scratch/security.log" 2>&1 || die "the unit is less hardened than it was: $(cat "$scratch/security.log")"
}

# Leaves pins of a listener that was attached and has ended. The next monitor that runs as root must remove them.
leave_pins_behind() {
  start "$scratch/listener.log" build/venv/bin/python -c \
    'import socket; listening = socket.create_server(("127.0.0.1", 0)); print(flush=True); listening.accept()'
  local listener=$!
  wait_until 'a listener listens' test -s "$scratch/listener.log"
  in_root monitor attach --keep-ended 0 --pid "$listener" >"$scratch/attach.log" || die 'monitor attach failed'
  stop "$listener" || true
  [ -d "$root/sys/fs/bpf/monitor/engine" ] || die 'monitor attach has pinned nothing'
}

# Sets `url` to the address of the service that started last; the kernel picked the port.
find_url() {
  url=$(sed -n 's/^monitor: serving //p' "$scratch/service.log" | tail -n 1)
  [ -n "$url" ]
}

start_service() {
  : >"$scratch/service.log"
  booted systemctl start "$unit" || die "systemctl cannot start it: $(booted systemctl status "$unit" 2>&1)"
  wait_until 'the service serves' find_url
}

# counts N: whether the service's metrics say that N requests to the server on $port have ended.
counts() {
  build/venv/bin/python -c 'import sys, urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[1]).read())' "$url" \
    >"$scratch/metrics.log"
  grep -qxF "uvicorn_requests_total{target=\"127.0.0.1:$port\"} $1" "$scratch/metrics.log"
}

# Checks the sandbox that systemd sets up: the process has at most four capabilities and a system call filter,
# and can write only to bpffs.
check_sandbox() {
  local process
  local expected
  process=/proc/$(property MainPID)
  for expected in $'CapBnd:\t000000c000080004' $'NoNewPrivs:\t1' $'Seccomp:\t2'; do
    grep -qxF "$expected" "$process/status" || die "the service is not confined: $expected is not in $process/status"
  done
  expected='/ ro
/proc ro
/sys ro
/sys/fs/bpf rw'
  # If mounts are stacked, the last one counts.
  diff <(sed -En 's|^([^ ]+ ){4}(/(proc\|sys\|sys/fs/bpf)?) (r[ow]),.*|\2 \4|p' "$process/mountinfo" |
    tac | LC_ALL=C sort -u -k 1,1) <(printf '%s\n' "$expected") || die 'the service can write where it should not (>)'
}

check_asleep() {
  local state
  state=$(on_disk is-enabled || true)
  [ "$state" = disabled ] || die "the service is $state after the installation: it should be disabled"
  expect_property ActiveState inactive
}

# The server belongs to another user, so that the service needs its capabilities to see it. CAP_DAC_READ_SEARCH lets the
# server read the build, wherever it is.
check_service() {
  local before
  # The change of user resets the --pdeathsig of start, so set it again.
  start "$scratch/server.log" setpriv --pdeathsig KILL --reuid 65534 --regid 65534 --clear-groups \
    --inh-caps +dac_read_search --ambient-caps +dac_read_search -- build/venv/bin/uvicorn --app-dir scripts/demo \
    --port 0 --no-access-log --no-use-colors app:app
  local server=$!
  wait_until 'uvicorn of another user listens' find_port
  leave_pins_behind
  printf 'ARGS="--listen 127.0.0.1:0"\n' >>"$root/$defaults"
  start_service
  check_sandbox
  [ ! -e "$root/sys/fs/bpf/monitor" ] || die 'the service has not removed the pins that were left behind'
  request 20
  wait_until 'the service counts 20 requests' counts 20

  # After an upgrade, the new service reads the server that the operator has attached in the meantime, pinned by root.
  in_root monitor attach --pid "$server" >"$scratch/attach.log" || die 'monitor attach failed'
  request 10
  before=$(property MainPID)
  : >"$scratch/service.log"
  upgrade
  expect_property ActiveState active
  ! is MainPID "$before" || die 'an upgrade did not restart the service'
  wait_until 'the new service serves' find_url
  wait_until 'the service counts the 10 requests since the attach' counts 10
  in_root monitor detach --all >"$scratch/attach.log" || die 'monitor detach failed'

  booted systemctl stop "$unit"
  expect_property Result success
  expect_property ExecMainCode 1  # CLD_EXITED: the signal did not kill it
  expect_property ExecMainStatus 0
  upgrade
  expect_property ActiveState inactive
}

# Installs the package over itself; dpkg calls its scripts as for an upgrade to another version.
upgrade() {
  booted dpkg --install "/tmp/${package##*/}" >"$scratch/upgrade.log" 2>&1 || die "$(cat "$scratch/upgrade.log")"
}

# systemd must not restart the service after a usage error, which a restart cannot cure.
check_wrong_option() {
  printf 'ARGS=--nonsense\n' >>"$root/$defaults"
  booted systemctl start "$unit" 2>/dev/null || true
  wait_until 'the service has failed' is ActiveState failed
  expect_property ExecMainStatus 2
  expect_property NRestarts 0
  booted systemctl reset-failed "$unit"
  sed -i '$d' "$root/$defaults"
}

# Removes the package while its service is enabled and running, and installs it again.
check_removal() {
  local link=$root/etc/systemd/system/multi-user.target.wants/$unit
  on_disk --quiet enable >"$scratch/enable.log" 2>&1 || die "$(cat "$scratch/enable.log")"
  [ -L "$link" ] || die 'systemctl enable has made no link in multi-user.target.wants'
  upgrade
  [ -L "$link" ] || die 'an upgrade has disabled the service'
  start_service
  booted apt-get -q -y remove "$name" >"$scratch/remove.log" 2>&1 || die "$(cat "$scratch/remove.log")"
  expect_property ActiveState inactive
  [ -s "$root/$defaults" ] || die 'removing the package without purging it has removed its options'
  upgrade
  [ -L "$link" ] || die 'the service was enabled, but is not after the package is installed again'
  expect_property ActiveState inactive
}

# Checks for leftovers that dpkg's own list of files does not contain.
check_purged() {
  local left
  left=$(find "$root/etc" "$root/lib/systemd/" "$root/var/lib/systemd" -name '*uvicorn-monitor*')
  [ -z "$left" ] || die "the purge of the package has left $left"
}

test_service() {
  start_systemd
  check_unit
  check_asleep
  check_service
  check_wrong_option
  check_removal
}
