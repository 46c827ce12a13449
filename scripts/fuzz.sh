#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fuzzes the parser (tests/fuzz) and reports the executions: `scripts/fuzz.sh [SECONDS]`. The targets share SECONDS (60).
# Each run starts from tests/cases, the corpus in the tree and earlier finds (build/fuzz/finds), with a new seed. It stops
# at the first input that fails, and prints the command that reproduces the failure.
#   --fixed   the mode of the test suite: a fixed number of runs from a fixed seed, without earlier finds. The same tree
#             gives the same inputs on every machine, so that the test is deterministic. It does not explore; SECONDS does.
#   --merge   adds to the corpus of the tree the smallest inputs that cover what the finds reach and the cases do not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh
help_from_head "$@"

# Each target, its share of the time in percent, its runs with --fixed, and the kind of its inputs: a stream, like the
# cases, or a path.
targets=(
  'parser 45 100000 stream'
  'boundaries 45 200000 stream'
  'fold 10 100000 path'
)
out=build/fuzz
stream_limit=4100  # maximum bytes of an input: kHeader + kStream of replay.h
corpus_limit=512   # maximum bytes of one corpus file in the tree

build() {
  cmake --preset fuzz --log-level=WARNING >/dev/null
  cmake --build "$out" --target monitor_fuzz >"$out/build.log" || { cat "$out/build.log" >&2; die 'the targets do not build'; }
  rm -rf "$out/seeds"
  "$out/tests/monitor_fuzz_seeds" tests/cases "$out/seeds"
}

# starts NAME KIND: the folders that a target with this kind of inputs starts from.
starts() {
  echo "tests/fuzz/corpus/$1"
  if [ "$2" = stream ]; then
    echo "$out/seeds"
  fi
}

# statistic LOG NAME: one of the statistics that libFuzzer printed to LOG.
statistic() {
  sed -n "s/^stat::$2: *//p" "$1"
}

# run NAME FINDS ARGUMENT...: runs one target, which writes its finds to the folder FINDS.
run() {
  local name=$1 finds=$2 log=$out/$1.log failure
  shift 2
  mkdir -p "$finds" "$out/failures"
  if ! "$out/tests/monitor_${name}_fuzz" -max_len=$stream_limit -dict=tests/fuzz/http1.dict -print_final_stats=1 \
    -artifact_prefix="$out/failures/$name-" "$finds" "$@" >"$log" 2>&1; then
    grep -avE '^ *#[0-9]+|^(ManualDictEntry|Dictionary|INFO|NOTE|stat::)|^ +Combine' "$log" | tail -n 60 >&2
    failure=$(sed -n 's/.*Test unit written to //p' "$log")
    die "$name fails; to reproduce: $out/tests/monitor_${name}_fuzz $failure"
  fi
  printf '%-10s %10d executions, %7d a second\n' "$name" \
    "$(statistic "$log" number_of_executed_units)" "$(statistic "$log" average_exec_per_sec)"
}

fuzz_for() {
  local target name share kind folders
  for target in "${targets[@]}"; do
    read -r name share _ kind <<<"$target"
    mapfile -t folders < <(starts "$name" "$kind")
    run "$name" "$out/finds/$name" -max_total_time=$(($1 * share / 100 + 1)) "${folders[@]}"
  done
}

# libFuzzer reads folders in the file system's order, and rereads its own finds every second. Both would differ from run
# to run, so this passes a sorted list of files and turns rereading off.
fuzz_fixed() {
  local target name runs kind folders
  rm -rf "$out/fixed"
  for target in "${targets[@]}"; do
    read -r name _ runs kind <<<"$target"
    mapfile -t folders < <(starts "$name" "$kind")
    find "${folders[@]}" -type f | LC_ALL=C sort | paste -sd, >"$out/$name.seeds"
    run "$name" "$out/fixed/$name" -seed=1 -runs="$runs" -reload=0 -seed_inputs="@$out/$name.seeds"
  done
}

# libFuzzer's merge adds to its first folder the inputs of the others that cover more. The first folder starts with the
# cases, which are removed afterwards. Only which lines ran counts, not how often (-use_counters=0): otherwise the corpus
# would be ten times as large and hardly better.
merge() {
  local target name kind corpus merged=$out/merged
  for target in "${targets[@]}"; do
    read -r name _ _ kind <<<"$target"
    corpus=tests/fuzz/corpus/$name
    rm -rf "$merged"
    mkdir -p "$merged" "$out/finds/$name" "$corpus"
    if [ "$kind" = stream ]; then
      cp "$out"/seeds/* "$merged"
    fi
    "$out/tests/monitor_${name}_fuzz" -merge=1 -use_counters=0 -max_len=$corpus_limit "$merged" "$corpus" \
      "$out/finds/$name" >"$out/merge.log" 2>&1 || die "the merge of $name failed: see $out/merge.log"
    rm -f "$merged"/case-* "$corpus"/*
    find "$merged" -type f -exec cp -t "$corpus" {} +
    printf '%-10s %4d files, %s in the corpus\n' "$name" "$(find "$corpus" -type f | wc -l)" "$(du -sh --apparent-size "$corpus" | cut -f1)"
  done
}

case "${1:-60}" in
  --fixed | --merge) ;;
  *[!0-9]*) die "unknown argument '$1': give seconds, --fixed or --merge" ;;
esac
build
case "${1:-60}" in
  --fixed) fuzz_fixed ;;
  --merge) merge ;;
  *) fuzz_for "${1:-60}" ;;
esac
