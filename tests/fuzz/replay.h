// SPDX-License-Identifier: Apache-2.0
// One run of the parser over a fuzzer's input, cut into receives. Everything lies in static memory and nothing is put
// into words, so that a run costs no more than the parser: a fuzzer lives of runs per second.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "parser/trace.h"

namespace monitor::fuzz {

// An input is two bytes of options, two that choose the cuts, and the bytes of the stream.
constexpr std::size_t kHeader = 4;
// Bytes of a stream at most: four windows. What takes more, takes no other way through the parser.
constexpr std::size_t kStream = 4096;

// What the parser said in one run.
struct Replay {
  trace said;  // events, and the state behind the last byte
  // Of each event: bytes of the stream up to the end of the line or body that made it; 0 of request lines.
  std::array<__u32, TRACE_EVENTS> offsets;
  std::array<__u8, TRACE_EVENTS> methods;  // of the request under way: enum http1_method

  // Completes an event that was written down just now. How far the step went that told of a request line depends on how
  // much was there: of that event only the key counts.
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

// Says where the receives end. The same seed gives the same cuts.
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

  // Decides for a run over `length` bytes how they come. Each receive costs as much as a line does, so that a run has
  // some dozens at most: nearly byte by byte over one stretch, and longer ones before and behind it.
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

  // Of any length, of one near a line's judged bytes (176 + 16), of one near a window's room (1,024), or all at once.
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

// The input that the runs share, with the options and the method of its first two bytes. False: it is none.
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

// Runs the input, in one receive without `cuts`, through a window that held `old_byte` everywhere.
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
  // A line of no interest, which no other can continue, is known for one as soon as enough of it is there: no
  // difference to anybody until its end.
  if (said.last.mode == HTTP1_SKIP || said.last.mode == HTTP1_FIELD) {
    said.last.mode = HTTP1_FIELD;
    said.last.flags = static_cast<__u16>(said.last.flags & ~HTTP1_F_FIELD_MASK);
  }
}

}  // namespace monitor::fuzz
