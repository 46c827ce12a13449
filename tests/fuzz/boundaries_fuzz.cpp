// SPDX-License-Identifier: Apache-2.0
// Compares where our parser and Debian's http_parser see messages begin and end in the same bytes, for requests and
// responses. As long as both accept the bytes, they must agree on the end of every head and every message, on method,
// path and status, on whether the connection persists, and on whether the request asks for an upgrade.
// second_opinion.cpp documents what is not compared, and why.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fuzz/second_opinion.h"
#include "parser/cases.h"

namespace monitor::fuzz {
namespace {

struct Judges {
  trace_input input{};
  http1_window window{};
  Replay replay{};
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

void put_end(const trace_event& event, __u32 offset, Message& message) {
  message.end = offset;
  message.captured = event.captured;
  std::copy_n(static_cast<const char*>(event.capture), std::min<int>(event.captured, HTTP1_CAPTURE),
              message.capture.begin());
}

// Converts our trace to the form that is compared.
void put_ours(const Judges& judges, Opinion& ours) {
  const Replay& replay = judges.replay;
  const bool responses = (judges.input.options & TRACE_RESPONSES) != 0;
  Message message;
  ours.count = 0;
  ours.until = judges.input.length;
  ours.rejected = false;
  for (__u32 i = 0; i < replay.count(); ++i) {
    const trace_event& event = replay.said.events[i];
    switch (event.event) {
      case HTTP1_REQUEST_LINE:
        message = {};
        put_key(event.key, message);
        break;
      case HTTP1_HEAD_COMPLETE:
        message.head = replay.offsets[i];
        message.kind = responses ? 0 : replay.methods[i];
        put_head(event, responses, message);
        ours.messages[ours.count] = message;
        ours.count += 1;
        message = {};
        break;
      case HTTP1_END:
        put_end(event, replay.offsets[i], ours.messages[ours.count - 1]);
        break;
      default:
        // We reject the line that ends here. http_parser can reject it too before it reaches the line's end.
        ours.until = replay.offsets[i] - 1;
        ours.rejected = true;
        break;
    }
  }
  if (replay.said.count > TRACE_EVENTS) {
    ours.until = std::min(ours.until, replay.offsets.back());
  }
}

// `offset` if it lies in the part that both parsers judge, otherwise 0.
__u32 within(__u32 offset, __u32 limit) {
  return offset <= limit ? offset : 0;
}

bool same_target(const Message& ours, const Message& theirs) {
  return ours.method_length == theirs.method_length && ours.method == theirs.method && ours.kind == theirs.kind &&
         (!theirs.path_known ||
          (ours.path_cut == theirs.path_cut && ours.path_length == theirs.path_length && ours.path == theirs.path));
}

// Compares captured bodies. Ours captures only those of responses that the server itself may have written (400, 503).
bool same_capture(const Message& ours, const Message& theirs) {
  const bool kept = theirs.status == 400 || theirs.status == 503;
  return !kept || (ours.captured == theirs.captured && ours.capture == theirs.capture);
}

bool agree(const Message& ours, const Message& theirs, __u32 limit, bool responses) {
  const __u32 end = within(ours.end, limit);
  if (ours.head != theirs.head || ours.closes != theirs.closes ||
      (theirs.end_known && end != within(theirs.end, limit))) {
    return false;
  }
  if (responses) {
    return ours.status == theirs.status && (end == 0 || same_capture(ours, theirs));
  }
  return ours.upgrades == theirs.upgrades && same_target(ours, theirs);
}

// The end of the last head or message in the opinion.
__u32 reach(const Opinion& opinion) {
  const Message* const last = opinion.count != 0 ? &opinion.messages[opinion.count - 1] : nullptr;
  return last != nullptr ? std::max(last->head, last->end) : 0;
}

bool agree(const Opinion& ours, const Opinion& theirs, bool responses) {
  // Our parser is the lenient one: it must not reject what the other continues to parse as HTTP.
  if (ours.rejected && ours.until < std::min(reach(theirs), theirs.until)) {
    return false;
  }
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
