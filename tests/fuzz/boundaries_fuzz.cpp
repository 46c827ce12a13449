// SPDX-License-Identifier: Apache-2.0
// Where messages begin and end: our parser and Debian's http_parser over the same bytes, requests and responses. As far
// as both accept the bytes they must agree on the end of every head and every message, on method and path, status,
// whether the connection goes on, and whether an upgrade is asked for. What is left out, and why: second_opinion.cpp.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fuzz/second_opinion.h"
#include "parser/cases.h"

namespace monitor::fuzz {
namespace {

struct Judges {
  trace_input input;
  http1_window window;
  Replay replay;
  Opinion ours;
  SecondOpinion second;
};

void put_key(const monitor_endpoint_key& key, Message& message) {
  message.method_length = key.method_length;
  message.path_length = key.path_length;
  message.path_cut = (key.flags & ENDPOINT_PATH_CUT) != 0;
  std::copy_n(static_cast<const char*>(key.method), MONITOR_METHOD_SIZE, message.method.begin());
  std::copy_n(static_cast<const char*>(key.path), MONITOR_PATH_SIZE, message.path.begin());
}

void put_head(const trace_event& event, bool responses, Message& message) {
  message.status = event.status;
  message.closes = responses ? (event.flags & HTTP1_F_CLOSE) != 0 : event.mode == HTTP1_OVER;
  message.upgrades = (event.flags & HTTP1_F_UPGRADE) != 0;
  const bool ends =
      responses ? event.delimiter == HTTP1_INTERIM || event.delimiter == HTTP1_NO_BODY : event.mode == HTTP1_START;
  message.end = ends ? message.head : 0;
}

// The trace in the words of the comparison.
void put_ours(const Judges& judges, Opinion& ours) {
  const Replay& replay = judges.replay;
  const bool responses = (judges.input.options & TRACE_RESPONSES) != 0;
  Message message;
  ours.count = 0;
  ours.until = judges.input.length;
  for (__u32 i = 0; i < replay.count(); ++i) {
    const trace_event& event = replay.said.events[i];
    switch (event.event) {
      case HTTP1_REQUEST_LINE:
        message = {};
        put_key(event.key, message);
        break;
      case HTTP1_HEAD:
        message.head = replay.offsets[i];
        put_head(event, responses, message);
        ours.messages[ours.count] = message;
        ours.count += 1;
        message = {};
        break;
      case HTTP1_END:
        ours.messages[ours.count - 1].end = replay.offsets[i];
        break;
      default:
        // The line that ends here is turned down; http_parser may not have come to its end before it took it.
        ours.until = replay.offsets[i] - 1;
        break;
    }
  }
  if (replay.said.count > TRACE_EVENTS) {
    ours.until = std::min(ours.until, replay.offsets.back());
  }
}

// The end of something, if it lies in what both have an opinion on; else 0.
__u32 within(__u32 offset, __u32 limit) {
  return offset <= limit ? offset : 0;
}

bool same_target(const Message& ours, const Message& theirs) {
  return ours.method_length == theirs.method_length && ours.method == theirs.method &&
         (!theirs.path_known ||
          (ours.path_cut == theirs.path_cut && ours.path_length == theirs.path_length && ours.path == theirs.path));
}

bool agree(const Message& ours, const Message& theirs, __u32 limit, bool responses) {
  if (ours.head != theirs.head || (theirs.end_known && within(ours.end, limit) != within(theirs.end, limit)) ||
      ours.closes != theirs.closes) {
    return false;
  }
  return responses ? ours.status == theirs.status : ours.upgrades == theirs.upgrades && same_target(ours, theirs);
}

bool agree(const Opinion& ours, const Opinion& theirs, bool responses) {
  const __u32 limit = std::min(ours.until, theirs.until);
  for (std::size_t i = 0;; ++i) {
    const bool one = i < ours.count && ours.messages[i].head <= limit;
    const bool other = i < theirs.count && theirs.messages[i].head <= limit;
    if (!one || !other) {
      return one == other;
    }
    if (!agree(ours.messages[i], theirs.messages[i], limit, responses)) {
      return false;
    }
  }
}

void print(const char* whose, const Opinion& opinion) {
  std::fprintf(stderr, "%s, up to %u:\n", whose, opinion.until);
  for (std::size_t i = 0; i < opinion.count; ++i) {
    const Message& m = opinion.messages[i];
    std::fprintf(stderr, "  head %u end %u status %u%s%s%s \"%.*s\" \"%.*s\"\n", m.head, m.end, m.status,
                 m.closes ? " closes" : "", m.upgrades ? " upgrades" : "", m.path_cut ? " path-cut" : "",
                 m.method_length, m.method.data(), m.path_length, m.path.data());
  }
}

void check(const std::uint8_t* data, std::size_t size) {
  static Judges judges;
  if (!take_input(data, size, TRACE_RESPONSES, judges.input)) {
    return;
  }
  const bool responses = (judges.input.options & TRACE_RESPONSES) != 0;
  replay(judges.input, judges.window, judges.replay, 0, nullptr);
  put_ours(judges, judges.ours);
  const Opinion& theirs = judges.second.read(judges.input);
  if (!agree(judges.ours, theirs, responses)) {
    print("ours", judges.ours);
    print("http_parser", theirs);
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
