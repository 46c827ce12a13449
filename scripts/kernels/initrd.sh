# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154  # the sourcing script makes the directory $scratch
# Sourced by kernels.sh: makes the guest's file system, two uncompressed cpio archives that the kernel unpacks one over the
# other. The base (Debian's packages, build/venv) is cached; what changes with every build is packed for each boot. The
# tree has the same path in the guest as here, because it is compiled into programs.

# The packages in the guest; their dependencies are added.
guest_packages=(
  bpftool busybox-static libbpf1 libfmt9 libutf8proc2 libstdc++6 wrk iproute2
  python3 python3-uvicorn python3-httptools python3-uvloop python3-websockets
)

# The files of the base, relative to /, each directory before its content.
base_files() {
  {
    printf '%s\n' /bin /sbin /lib /lib64 /etc /etc/passwd /etc/group
    package_files
    find "$PWD/build/venv" -not -path '*/site-packages/pip/*' -not -path '*/site-packages/setuptools/*' \
      -not -path '*/site-packages/mypy/*' -not -path '*/site-packages/*mypyc*' -not -path '*/venv/bin/ruff'
    parents_of "$PWD/build/venv"
  } | sed 's|^/||' | sort -u
}

# The files of the packages and their dependencies, and Python's byte code: dpkg does not list it, but without it
# everything takes twice as long. /bin, /sbin and /lib are links into /usr, which cpio must not write through.
package_files() {
  local closure
  mapfile -t closure < <(apt-cache depends --installed --recurse --no-recommends --no-suggests --no-conflicts \
    --no-breaks --no-replaces --no-enhances "${guest_packages[@]}" | grep '^[a-z]' | sort -u)
  dpkg-query --listfiles "${closure[@]}" | sed -En 's#^/(bin|sbin|lib|lib64)(/|$)#/usr/\1\2#; /^\/usr/p' |
    grep -v -e '^/usr/share/\(doc\|man\|locale\|info\|lintian\|bug\|perl5\|debconf\)/' -e '^/usr/lib/python3.11/\(test\|idlelib\)/' |
    while read -r name; do [ ! -e "$name" ] || printf '%s\n' "$name"; done
  find /usr/lib/python3 /usr/lib/python3.11 -name __pycache__ -o -path '*/__pycache__/*.pyc'
}

parents_of() {
  local path
  path=$(dirname "$1")
  while [ "$path" != / ]; do
    printf '%s\n' "$path"
    path=$(dirname "$path")
  done
}

archive() {
  (cd / && /usr/bin/busybox cpio -o -H newc 2>"$scratch/cpio.log") || {
    cat "$scratch/cpio.log" >&2
    die 'could not pack the initrd'
  }
}

base_recipe() {
  {
    cat scripts/kernels/initrd.sh build/venv/made-from
    dpkg-query --show
    pwd
  } | sha256sum
}

prepare_base() {
  local recipe
  recipe=$(base_recipe)
  if [ "$(cat build/kernels/base.made-from 2>/dev/null)" = "$recipe" ]; then
    return
  fi
  base_files >"$scratch/base.files"
  archive <"$scratch/base.files" >"$scratch/base.cpio"
  mv "$scratch/base.cpio" build/kernels/base.cpio
  printf '%s\n' "$recipe" >build/kernels/base.made-from
}

# prepare_initrd COMMAND [FILE...]: makes $scratch/initrd.cpio, whose init runs the command in the root of the tree, and
# adds the files.
prepare_initrd() {
  local top=$scratch/top
  local file
  mkdir -p "$top/dev" "$top/proc" "$top/sys" "$top/tmp" "$top/run"
  cp scripts/kernels/init "$top/init"
  printf '%s\n' "$PWD" >"$top/tree"
  printf '%s\n' "$1" >"$top/command"
  shift
  {
    cat build/kernels/base.cpio
    (cd "$top" && find . | /usr/bin/busybox cpio -o -H newc 2>/dev/null)
    {
      for file in "$PWD/build/release/tests/monitor_kernel" "$@"; do
        parents_of "$file"
      done
      find "$PWD/build/release/monitor" "$PWD/build/release/tests/monitor_kernel" "$PWD/tests" "$PWD/docs" \
        "$PWD/scripts" "$PWD/pyproject.toml" "$@" -not -path '*/__pycache__*'
    } | sed 's|^/||' | sort -u | archive
  } >"$scratch/initrd.cpio"
}
