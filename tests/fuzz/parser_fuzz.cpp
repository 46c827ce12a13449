// SPDX-License-Identifier: Apache-2.0
// However the input is cut into receives, the parser must report the same events at the same offsets as for the whole
// input, and must not read outside of its window. AddressSanitizer checks the latter. The window starts full of old
// bytes, different ones in each run, so that a read past the window's end changes the events. Built with the preset
// "fuzz", run by scripts/fuzz.sh.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fuzz/replay.h"
#include "parser/cases.h"

namespace monitor::fuzz {
namespace {

struct Runs {
  trace_input input{};
  http1_window window{};
  Replay whole{};
  Replay cut{};
};

bool same(const Replay& a, const Replay& b) {
  const std::size_t count = a.count();
  return a.said.count == b.said.count && std::memcmp(&a.said.last, &b.said.last, sizeof(a.said.last)) == 0 &&
         std::memcmp(a.said.events, b.said.events, count * sizeof(trace_event)) == 0 &&
         std::memcmp(a.offsets.data(), b.offsets.data(), count * sizeof(__u32)) == 0 &&
         std::memcmp(a.methods.data(), b.methods.data(), count) == 0;
}

void print(const char* title, const Replay& replay, const trace_input& input) {
  std::fprintf(stderr, "%s:\n%soffsets", title, describe(replay.said, (input.options & TRACE_RESPONSES) != 0).c_str());
  for (__u32 i = 0; i < replay.count(); ++i) {
    std::fprintf(stderr, " %u", replay.offsets[i]);
  }
  std::fprintf(stderr, "\n");
}

void check(const std::uint8_t* data, std::size_t size) {
  constexpr std::array<int, 7> kOldBytes = {'\n', '\r', ' ', 'a', '0', ':', 0xff};
  static Runs runs;
  Cuts cuts(cuts_seed(data));

  if (!take_input(data, size, TRACE_RESPONSES | TRACE_FOLD, runs.input)) {
    return;
  }
  replay(runs.input, runs.window, runs.whole, 0, nullptr);
  cuts.plan(runs.input.length);
  // Half of the runs parse the bodies that could be skipped.
  runs.input.options = static_cast<__u8>(runs.input.options | (cuts.below(2) != 0 ? TRACE_NO_SKIP : 0));
  replay(runs.input, runs.window, runs.cut, kOldBytes[cuts.below(kOldBytes.size())], &cuts);
  if (!same(runs.whole, runs.cut)) {
    print("whole", runs.whole, runs.input);
    print("cut", runs.cut, runs.input);
    std::abort();
  }
}

}  // namespace
}  // namespace monitor::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size >= monitor::fuzz::kHeader) {
    monitor::fuzz::check(data, size);
  }
  return 0;
}
