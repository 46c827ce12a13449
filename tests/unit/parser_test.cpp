// SPDX-License-Identifier: Apache-2.0
// Runs the parser natively over its cases: whole, split in two at every position, byte by byte, with bodies parsed
// instead of skipped, over windows full of old bytes, and with the window's end at an unreadable page.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <new>

#include "parser/cases.h"

namespace monitor {
namespace {

// A window that ends at an unreadable page, so that a load past its end faults.
class GuardedWindow {
 public:
  GuardedWindow() {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    size_ = (sizeof(http1_window) + page - 1) / page * page + page;
    memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory_ != MAP_FAILED);
    char* const guard = static_cast<char*>(memory_) + size_ - page;
    REQUIRE(mprotect(guard, page, PROT_NONE) == 0);
    window_ = new (guard - sizeof(http1_window)) http1_window{};
  }
  GuardedWindow(const GuardedWindow&) = delete;
  GuardedWindow& operator=(const GuardedWindow&) = delete;
  ~GuardedWindow() { munmap(memory_, size_); }

  http1_window& fill(int byte) {
    std::memset(static_cast<void*>(window_), byte, sizeof(*window_));
    return *window_;
  }

 private:
  void* memory_ = nullptr;
  std::size_t size_ = 0;
  http1_window* window_ = nullptr;
};

std::string run(const trace_input& input, http1_window& window) {
  auto result = std::make_unique<trace>();
  trace_run(&input, &window, result.get());
  return describe(*result, (input.options & TRACE_RESPONSES) != 0);
}

const std::vector<ParserCase>& cases() {
  static const std::vector<ParserCase> all = read_parser_cases(MONITOR_SOURCE_DIR "/tests/cases");
  return all;
}

// Runs the fast path for Content-Length and the general path over one field line, whole in the window.
struct BothWays {
  explicit BothWays(const std::string& line) {
    auto window = std::make_unique<http1_window>();
    line.copy(window->bytes, line.size());
    window->line_end = static_cast<__u32>(line.size());
    short_taken = http1_usual_length(&short_way, window.get());
    http1_field_line(&long_way, window.get());
  }
  bool agree() const {
    return !short_taken || (short_way.remaining == long_way.remaining && short_way.flags == long_way.flags);
  }

  http1_stream short_way{};
  http1_stream long_way{};
  bool short_taken = false;
};

}  // namespace

TEST_CASE("parser: there are cases") {
  CHECK(cases().size() > 600);
}

TEST_CASE("parser: whole") {
  GuardedWindow window;
  for (const ParserCase& c : cases()) {
    CAPTURE(c.name);
    CHECK(run(make_input(c, c.bytes.size(), 0), window.fill(0)) == c.expected);
  }
}

TEST_CASE("parser: old bytes in the window do not matter") {
  GuardedWindow window;
  for (const ParserCase& c : cases()) {
    for (const int old : std::initializer_list<int>{'\n', '\r', 'a', '0', ' ', 0xff}) {
      CAPTURE(c.name);
      CAPTURE(old);
      CHECK(run(make_input(c, c.bytes.size(), 0), window.fill(old)) == c.expected);
      CHECK(run(make_input(c, 3, 5), window.fill(old)) == c.expected);
    }
  }
}

TEST_CASE("parser: split in two at every position") {
  GuardedWindow window;
  for (const ParserCase& c : cases()) {
    for (std::size_t at = 1; at < c.bytes.size(); ++at) {
      CAPTURE(c.name);
      CAPTURE(at);
      REQUIRE(run(make_input(c, at, c.bytes.size()), window.fill('\n')) == c.expected);
    }
  }
}

TEST_CASE("parser: byte by byte, and in small pieces") {
  GuardedWindow window;
  for (const ParserCase& c : cases()) {
    for (const std::size_t piece : std::initializer_list<std::size_t>{1, 2, 3, 7, 8, 9, 64, 191, 192, 193, 1023}) {
      CAPTURE(c.name);
      CAPTURE(piece);
      CHECK(run(make_input(c, piece, piece), window.fill('\n')) == c.expected);
    }
  }
}

TEST_CASE("parser: the fast path for Content-Length agrees with the general path") {
  const std::string name = "Content-Length: ";
  const std::string digits = "0123456789";
  for (std::size_t from = 0; from < digits.size(); ++from) {
    for (std::size_t count = 0; from + count <= digits.size(); ++count) {
      const std::string line = name + digits.substr(from, count);
      CAPTURE(line);
      const BothWays usual(line);
      CHECK(usual.short_taken == (count >= 1 && count <= 7));
      CHECK(usual.agree());
      bool agree = true;
      for (std::size_t at = 0; at < line.size(); ++at) {
        for (int byte = 0; byte < 256; ++byte) {
          std::string changed = line;
          changed[at] = static_cast<char>(byte);
          agree = agree && BothWays(changed).agree();
        }
      }
      CHECK(agree);
    }
  }
}

TEST_CASE("parser: a body that is parsed instead of skipped gives the same events") {
  GuardedWindow window;
  for (const ParserCase& c : cases()) {
    for (const std::size_t piece : {c.bytes.size(), std::size_t{1}, std::size_t{10}}) {
      CAPTURE(c.name);
      CAPTURE(piece);
      CHECK(run(make_input(c, piece, piece, TRACE_NO_SKIP), window.fill('\n')) == c.expected);
    }
  }
}

}  // namespace monitor
