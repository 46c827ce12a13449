// SPDX-License-Identifier: Apache-2.0
// The box: 58 columns between its corners, with no border to the right of text. Wider text is shortened visibly.
// Colours are added last, so the other bytes are the same without them.
#include <fmt/format.h>

#include <algorithm>

#include "output/columns.h"
#include "output/endpoints.h"
#include "output/figures.h"
#include "output/percentiles.h"
#include "output/render.h"
#include "output/text.h"
#include "output/warnings.h"

namespace monitor {
namespace {

constexpr std::size_t kColumns = 58;
constexpr std::size_t kMaxEndpoints = 20;

// ANSI select-graphic-rendition codes.
constexpr std::string_view kPlain;
constexpr std::string_view kBold = "1";
constexpr std::string_view kRed = "31";
constexpr std::string_view kYellow = "33";

// The characters that draw the box.
struct Art {
  std::string_view horizontal;
  std::string_view vertical;
  std::string_view top_left, top_right;
  std::string_view middle_left, middle_right;
  std::string_view bottom_left, bottom_right;
  std::string_view bullet;
  std::string_view ellipsis;
};
constexpr Art kUnicodeArt = {"═", "║", "╔", "╗", "╠", "╣", "╚", "╝", "•", "…"};
constexpr Art kAsciiArt = {"=", "|", "+", "+", "+", "+", "+", "+", "*", "..."};

class Box {
 public:
  explicit Box(const BoxStyle& style) : style_(style), art_(style.unicode ? kUnicodeArt : kAsciiArt) {}

  const Art& art() const { return art_; }

  void top() { rule(art_.top_left, art_.top_right); }
  void middle() { rule(art_.middle_left, art_.middle_right); }
  void bottom() { rule(art_.bottom_left, art_.bottom_right); }

  // `text` is already escaped and has no newline.
  void line(std::string_view text, std::string_view sgr = kPlain) {
    const std::string fitting = shorten(text, kColumns - 1, 0, art_.ellipsis);
    if (style_.color && !sgr.empty()) {
      const std::size_t start = std::min(fitting.find_first_not_of(' '), fitting.size());
      text_ +=
          fmt::format("{}{}\033[{}m{}\033[0m\n", art_.vertical, fitting.substr(0, start), sgr, fitting.substr(start));
    } else {
      text_ += fmt::format("{}{}\n", art_.vertical, fitting);
    }
  }

  template <typename Value>
  void figure(std::string_view label, const Value& value, std::string_view sgr = kPlain) {
    line(fmt::format("  {:<20}{}", label, value), sgr);
  }

  std::string text() && { return std::move(text_); }

 private:
  void rule(std::string_view left, std::string_view right) {
    text_ += left;
    for (std::size_t i = 0; i < kColumns - 2; ++i) {
      text_ += art_.horizontal;
    }
    text_ += right;
    text_ += '\n';
  }

  BoxStyle style_;
  Art art_;
  std::string text_;
};

// "3 (gap 1, tls 2)"
std::string describe_undercount(const Snapshot& snapshot, bool ascii_only) {
  std::string causes;
  for (const auto& [cause, count] : snapshot.undercount) {
    if (count > 0) {
      causes += fmt::format("{}{} {}", causes.empty() ? "" : ", ", escape_text(cause, ascii_only), count);
    }
  }
  return fmt::format("{} ({})", undercount_sum(snapshot.undercount), causes);
}

void add_requests(const Snapshot& snapshot, bool ascii_only, Box& box) {
  box.figure("Active Concurrent:", snapshot.active);
  box.figure("Peak Concurrent:", snapshot.peak);
  box.figure("Total Requests:", snapshot.total);
  box.figure("Failed Requests:", snapshot.failed, snapshot.failed > 0 ? kRed : kPlain);
  box.figure("Queue Depth:", snapshot.queue_depth);
  // more than are in flight: idle ones, streams and WebSockets that were open before the attach and are quiet; unproven
  // ones may be in a request, if their listener speaks HTTP
  if (snapshot.open_connections > snapshot.active) {
    box.figure("Open Connections:",
               snapshot.unproven == 0 ? fmt::format("{}", snapshot.open_connections)
                                      : fmt::format("{} ({} unproven)", snapshot.open_connections, snapshot.unproven));
  }
  if (undercount_sum(snapshot.undercount) > 0) {
    box.figure("Undercount:", describe_undercount(snapshot, ascii_only), kYellow);
  }
  const auto quic = snapshot.undercount.find("quic");
  if (quic != snapshot.undercount.end() && quic->second > 0) {
    box.line("    quic: clients use HTTP/3, which is not counted");
  }
  if (const std::uint64_t requests = crowded_out(snapshot); requests > 0) {
    box.figure("Under (other):", fmt::format("{} (table full: --routes)", requests), kYellow);
  }
}

// Shortens a long path in its middle, because paths of one service differ at either end.
void add_endpoint(const ActivePath& entry, Box& box) {
  const std::string before = fmt::format("    {} ", box.art().bullet);
  const std::string after = fmt::format(": {}", entry.active);
  const std::size_t room = kColumns - 1 - text_columns(before) - after.size();
  box.line(before + shorten(entry.path, room, room / 2, box.art().ellipsis) + after);
}

void add_endpoints(const Snapshot& snapshot, bool ascii_only, Box& box) {
  box.line("  Active Endpoints:");
  const std::vector<ActivePath> paths = active_paths(snapshot, ascii_only);
  const std::size_t shown = std::min(paths.size(), kMaxEndpoints);
  for (std::size_t i = 0; i < shown; ++i) {
    add_endpoint(paths[i], box);
  }
  if (paths.empty()) {
    box.line("    (none)");
  } else if (paths.size() > shown) {
    box.line(fmt::format("    {} and {} more", box.art().ellipsis, paths.size() - shown));
  }
}

// p50, p95 and p99 since the previous sample.
void add_latency(const Snapshot& snapshot, Box& box) {
  box.line("  Latency p50/p95/p99:");
  box.line("    Queue Wait: " + percentiles_text(snapshot.recent.queue_wait));
  box.line("    First Byte: " + percentiles_text(snapshot.recent.first_byte));
  box.line("    Duration:   " + percentiles_text(snapshot.recent.duration));
}

void add_system(const Snapshot& snapshot, Box& box) {
  box.line("  System Metrics:");
  box.line(fmt::format("    CPU: {:.1f}% | Memory: {:.1f} MB | Threads: {}", presentable(snapshot.cpu_percent),
                       megabytes(snapshot.memory_bytes), snapshot.threads));
}

// Where the server listens: first the address that names it, and nothing that only a child serves.
std::vector<std::string> addresses_of(const Snapshot& snapshot) {
  std::vector<std::string> addresses = snapshot.listen;
  std::erase_if(addresses, [&snapshot](const std::string& address) {
    return std::any_of(
        snapshot.listeners.begin(), snapshot.listeners.end(),
        [&address](const ListenerSnapshot& listener) { return listener.address == address && listener.apart; });
  });
  std::stable_partition(addresses.begin(), addresses.end(),
                        [&snapshot](const std::string& address) { return address == snapshot.address; });
  return addresses;
}

// "127.0.0.1:9999, [::1]:80 and 2 more" in at most `columns`; the first address always, shortened in its middle if need
// be.
std::string listeners(const Snapshot& snapshot, std::size_t columns, const BoxStyle& style, const Art& art) {
  const std::vector<std::string> addresses = addresses_of(snapshot);
  std::string text;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const std::string address = escape_text(addresses[i], !style.unicode);
    const std::size_t left = addresses.size() - i;
    const std::string more = fmt::format(" and {} more", left);
    if (text.empty()) {
      const std::size_t room = left == 1 ? columns : columns - std::min(columns, more.size());
      text = shorten(address, room, room / 2, art.ellipsis);
    } else if (text_columns(text) + address.size() + 2 + (left == 1 ? 0 : more.size()) <= columns) {
      text += ", " + address;
    } else {
      return text + more;
    }
  }
  return text;
}

// "pid 42 on 127.0.0.1:9999: uvicorn app:app". However many addresses there are, some of the program stays.
std::string heading(const Snapshot& snapshot, const BoxStyle& style) {
  constexpr std::size_t kProgram = 20;
  const Art& art = style.unicode ? kUnicodeArt : kAsciiArt;
  const std::string title = escape_text(snapshot.title.empty() ? snapshot.command : snapshot.title, !style.unicode);
  std::string text = fmt::format("pid {}", snapshot.pid);
  if (!snapshot.listen.empty()) {
    text += " on ";
    const std::size_t taken = text.size() + 2 + std::min(text_columns(title), kProgram);
    text += listeners(snapshot, kColumns - std::min(taken, kColumns), style, art);
  }
  return shorten(text + ": " + title, kColumns, 0, art.ellipsis) + "\n";
}

// What an operator should know of which server this is, a line each: whose place it took, who serves with it, and what
// the choice of it leaves in doubt.
std::string remarks(const Snapshot& snapshot, const BoxStyle& style) {
  constexpr std::size_t kMaxShown = 3;
  constexpr std::size_t kWide = 100;
  const Art& art = style.unicode ? kUnicodeArt : kAsciiArt;
  std::string text;
  if (snapshot.previous_pid != 0) {
    text += fmt::format("followed in place of pid {}, which has ended\n", snapshot.previous_pid);
  }
  for (const pid_t other : snapshot.beside) {
    text += fmt::format("with pid {}, which serves on the same address\n", other);
  }
  if (snapshot.appeared) {
    text += fmt::format("not seen: the first {:.{}f} s\n", snapshot.not_seen_seconds,
                        snapshot.not_seen_seconds < 0.1 ? 3 : 1);
  }
  if (is_guess(snapshot.evidence)) {
    text += fmt::format("{}\n", evidence_text(snapshot.evidence));
  }
  for (std::size_t i = 0; i < snapshot.passed_over.size(); ++i) {
    if (i == kMaxShown) {
      text += fmt::format("passed over: {} more; monitor ls lists them\n", snapshot.passed_over.size() - i);
      break;
    }
    text += shorten("passed over: " + escape_text(snapshot.passed_over[i], !style.unicode), kWide, 0, art.ellipsis);
    text += "\n";
  }
  return text;
}

}  // namespace

std::string render_box(const Snapshot& snapshot, const BoxStyle& style) {
  Box box(style);
  box.top();
  box.line("  Uvicorn Concurrency Monitor", kBold);
  box.middle();
  add_requests(snapshot, !style.unicode, box);
  box.middle();
  add_endpoints(snapshot, !style.unicode, box);
  if (style.latency) {
    box.middle();
    add_latency(snapshot, box);
  }
  if (snapshot.system) {
    box.middle();
    add_system(snapshot, box);
  }
  box.bottom();
  return std::move(box).text();
}

std::string render_boxes(const std::vector<Snapshot>& snapshots, const BoxStyle& style) {
  std::string text;
  for (const Snapshot& snapshot : snapshots) {
    text += text.empty() ? "" : "\n";
    text += heading(snapshot, style) + remarks(snapshot, style) + render_box(snapshot, style);
  }
  return text;
}

}  // namespace monitor
