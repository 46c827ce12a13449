// SPDX-License-Identifier: Apache-2.0
// Runs the parser once over a fuzzer's input, cut into receives. Allocates nothing and formats no text, so that a run
// costs little more than the parser itself: a fuzzer depends on its runs per second.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "parser/trace.h"

namespace monitor::fuzz {

// An input consists of two bytes of options, two bytes that seed the cuts, and the bytes of the stream.
constexpr std::size_t kHeader = 4;
// Maximum bytes of a stream: four windows. Longer streams do not reach other paths through the parser.
constexpr std::size_t kStream = 4096;

// The result of one run.
struct Replay {
  trace said;  // events, and the state after the last byte
  // For each event: the bytes of the stream up to the end of the line or body that caused it; 0 for request lines.
  std::array<__u32, TRACE_EVENTS> offsets;
  std::array<__u8, TRACE_EVENTS> methods;  // of the current request: enum http1_method

  // Completes the event that was just recorded. The step that reports a request line goes as far as the received bytes
  // allow, which differs with the cuts, so only the key of that event is compared.
  void note(__u32 at, const http1_window& window) {
    trace_event& event = said.events[at];
    offsets[at] = said.position - (window.end - window.pos);
    methods[at] = said.stream.method;
    if (event.event == HTTP1_REQUEST_LINE) {
      offsets[at] = 0;
      event.mode = HTTP1_FIELD;
      event.flags = 0;
      event.remaining = 0;
    }
  }

  [[nodiscard]] __u32 count() const { return said.count < TRACE_EVENTS ? said.count : TRACE_EVENTS; }
};

// Chooses where the receives end. The same seed gives the same cuts.
class Cuts {
 public:
  explicit Cuts(__u32 seed) : state_(seed * 2654435761U + 1) {}

  // A number below `bound`.
  __u32 below(__u32 bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_ % bound;
  }

  // Chooses the kind of cuts for a run over `length` bytes. A receive costs as much as a line, so a run has a few dozen
  // at most: nearly byte by byte over one stretch, and longer receives before and after it.
  void plan(__u32 length) {
    kind_ = below(4);
    some_ = 2 + length / 8;
    stretch_ = below(length + 1);
  }

  // Bytes of the receive that begins at `position`.
  __u32 next(__u32 position) {
    if (position >= stretch_ && position < stretch_ + kStretch) {
      return 1 + below(3);
    }
    const __u32 count = coarse();
    return position < stretch_ && count > stretch_ - position ? stretch_ - position : count;
  }

 private:
  static constexpr __u32 kStretch = 32;

  // Any length, close to the bytes of a line that the parser examines (176 + 16), close to the space of a window
  // (1,024), or everything at once.
  __u32 coarse() {
    switch (kind_) {
      case 0:
        return 1 + below(some_);
      case 1:
        return 170 + below(30);
      case 2:
        return 1000 + below(50);
      default:
        return kStream;
    }
  }

  __u32 state_;
  __u32 kind_ = 0;
  __u32 some_ = 0;
  __u32 stretch_ = 0;
};

// Decodes the fuzzer's bytes into the input that all runs share; its first two bytes select options and method. False
// if the size is out of range.
inline bool take_input(const std::uint8_t* data, std::size_t size, __u8 options, trace_input& input) {
  if (size < kHeader || size - kHeader > kStream) {
    return false;
  }
  input.options = static_cast<__u8>(data[0] & options);
  input.method = static_cast<__u8>(data[1] % 3);
  input.length = static_cast<__u32>(size - kHeader);
  std::memcpy(static_cast<void*>(input.bytes), data + kHeader, input.length);
  return true;
}

inline __u32 cuts_seed(const std::uint8_t* data) {
  return data[2] | static_cast<__u32>(data[3]) << 8;
}

// Runs the input, as one receive if `cuts` is null, through a window that is full of `old_byte`.
inline void replay(const trace_input& input, http1_window& window, Replay& out, int old_byte, Cuts* cuts) {
  trace& said = out.said;
  trace_loop loop = {&said, &input, &window};

  std::memset(static_cast<void*>(&window), old_byte, sizeof(window));
  said.stream = {};
  said.key = {};
  said.count = 0;
  said.position = 0;
  if ((input.options & TRACE_RESPONSES) != 0) {
    said.stream.flags = HTTP1_F_RESPONSE;
  }
  __u32 seen = 0;
  while (said.position < input.length) {
    const __u32 left = input.length - said.position;
    const __u32 piece = cuts != nullptr ? cuts->next(said.position) : left;
    said.receive_end = said.position + (piece < left ? piece : left);
    http1_open_window(&said.stream, &window);
    while (trace_step(0, &loop) == 0) {
      for (; seen < out.count(); ++seen) {
        out.note(seen, window);
      }
    }
    http1_close_window(&said.stream, &window);
  }
  trace_note(&said, &said.last, HTTP1_MORE, HTTP1_INTERIM);
  // The parser recognises a field line that it can ignore as soon as it has enough of it, so the state in the middle of
  // such a line differs with the cuts. That makes no difference to any event.
  if (said.last.mode == HTTP1_SKIP || said.last.mode == HTTP1_FIELD) {
    said.last.mode = HTTP1_FIELD;
    said.last.flags = static_cast<__u16>(said.last.flags & ~HTTP1_F_FIELD_MASK);
  }
}

}  // namespace monitor::fuzz
