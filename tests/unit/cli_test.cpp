// SPDX-License-Identifier: Apache-2.0
// When samples are due, how a frame is drawn, and what is written to standard error and to files.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "base/privileges.h"
#include "cli/schedule.h"
#include "observe/cpu_reference.h"
#include "output/error_text.h"
#include "pipe.h"
#include "sinks/log_file.h"
#include "tui/frame.h"

namespace monitor {
namespace {

using namespace std::chrono_literals;

// A directory of its own for one test.
class Directory {
 public:
  Directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "monitor-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path_); }

  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

std::string content(const std::string& path) {
  const Fd file{::open(path.c_str(), O_RDONLY)};
  REQUIRE(file);
  std::array<char, 4096> bytes{};
  const ssize_t count = ::read(file.get(), bytes.data(), bytes.size());
  REQUIRE(count >= 0);
  return {bytes.data(), static_cast<std::size_t>(count)};
}

using test::Pipe;

Written written(Result<Written> result) {
  if (!result) {
    FAIL(result.error().what);
  }
  return *result;
}

}  // namespace

TEST_CASE("cli.schedule.steady") {
  const Moment start{100s};
  Schedule schedule(start, Plan{2, true, {}, {}});
  CHECK(schedule.due() == start);
  schedule.taken(start + 300ms);  // late; the next ones are on time
  CHECK(schedule.due() == start + 2s);
  schedule.taken(start + 2s);
  CHECK(schedule.due() == start + 4s);
  schedule.taken(start + 9500ms);  // three were missed and are not repeated
  CHECK(schedule.due() == start + 10s);
  CHECK_FALSE(schedule.finished());
}

TEST_CASE("cli.schedule.first after an interval") {
  Schedule schedule(Moment{}, Plan{0.5, false, 1, {}});
  CHECK(schedule.due() == Moment{500ms});
  schedule.taken(Moment{500ms});
  CHECK(schedule.finished());
}

TEST_CASE("cli.schedule.count") {
  Schedule schedule(Moment{}, Plan{1, true, 3, {}});
  for (const auto at : {0s, 1s}) {
    schedule.taken(Moment{at});
    CHECK_FALSE(schedule.finished());
  }
  schedule.taken(Moment{2s});
  CHECK(schedule.finished());
}

TEST_CASE("cli.schedule.duration ends with exactly one sample") {
  Schedule uneven(Moment{}, Plan{1, true, {}, 2.5});
  std::vector<Moment> taken;
  while (!uneven.finished() && taken.size() < 10) {
    taken.push_back(uneven.due());
    uneven.taken(uneven.due());
  }
  CHECK(taken == std::vector<Moment>{Moment{0s}, Moment{1s}, Moment{2s}, Moment{2500ms}});

  Schedule even(Moment{}, Plan{1, true, {}, 2});
  for (const auto at : {0s, 1s, 2s}) {
    CHECK_FALSE(even.finished());
    even.taken(Moment{at});
  }
  CHECK(even.finished());

  CHECK(Schedule(Moment{}, Plan{10, false, {}, 1}).due() == Moment{1s});
}

TEST_CASE("cli.schedule.longest interval") {
  Schedule schedule(Moment{1h}, Plan{86400.0 * 365, true, {}, 86400.0 * 365});
  schedule.taken(Moment{1h});
  CHECK(schedule.due() == Moment{1h + 8760h});
}

TEST_CASE("cli.cpu reference is old enough") {
  const auto sample = [](double at) {
    HostSample host;
    host.at_seconds = at;
    return host;
  };
  CpuReference reference;
  CHECK_FALSE(reference.before(sample(10)));
  CHECK_FALSE(reference.before(sample(10.05)));  // a few milliseconds would be noise
  CHECK(reference.before(sample(12))->at_seconds == 10);
  CHECK(reference.before(sample(12.01))->at_seconds == 10);
  CHECK(reference.before(sample(14))->at_seconds == 12);
  for (double at = 14.05; at < 20; at += 0.05) {
    const double span = at - reference.before(sample(at))->at_seconds;
    CHECK(span >= kMinCpuSpanSeconds - 1e-9);
    CHECK(span <= 2 + kMinCpuSpanSeconds);
  }
}

TEST_CASE("cli.frame.cut") {
  CHECK(cut_line("abcdef", 3) == "abc");
  CHECK(cut_line("abc", 3) == "abc");
  CHECK(cut_line("abc", 0) == "");
  CHECK(cut_line("║ ⇒ •", 3) == "║ ⇒");
  CHECK(cut_line("日本語", 5) == "日本");  // two columns each, and no half of a character
  CHECK(cut_line("日a", 1) == "");         // nothing after it either
  CHECK(cut_line("\033[1mbold\033[0m", 2) == "\033[1mbo\033[0m");
  CHECK(cut_line("\033[1mab\033[0m", 2) == "\033[1mab\033[0m");
  CHECK(cut_line("ab\033[", 9) == "ab\033[");
}

TEST_CASE("cli.frame.draw") {
  CHECK(draw_frame("ab\ncd\n", {4, 10}) == "\033[Hab\033[K\r\ncd\033[K\r\n\033[J");
  // As high as the screen: there is no line below to clear, and no last newline that would scroll it.
  CHECK(draw_frame("ab\ncd\n", {2, 10}) == "\033[Hab\033[K\r\ncd\033[K");
  // Higher than the screen: the last line says so.
  CHECK(draw_frame("ab\ncd\nef\n", {2, 40}) == "\033[Hab\033[K\r\n(2 more lines: enlarge the terminal)\033[K");
  CHECK(draw_frame("ab\ncd\nef", {2, 12}) == "\033[Hab\033[K\r\n(2 more line");
  CHECK(draw_frame("ab\n\ncd\n\nef\n", {4, 8}) == "\033[Hab\033[K\r\n\033[K\r\ncd\033[K\r\n(2 more ");
  CHECK(draw_frame("ab\ncd\n", {1, 40}) == "\033[H(2 more lines: enlarge the terminal)\033[K");
  // As wide as the screen: clearing the rest of the line would erase the last column.
  CHECK(draw_frame("ab\ncde\n", {4, 2}) == "\033[Hab\r\ncd\r\n\033[J");
  CHECK(draw_frame("", {4, 10}) == "\033[H\033[J");
  CHECK(draw_frame("a", {1, 1}) == "\033[Ha");
  CHECK(draw_frame("ab\ncd\n", {4, 10}, "\n") == "\033[Hab\033[K\ncd\033[K\n\033[J");
}

TEST_CASE("cli.report.escapes what a terminal would obey") {
  CHECK(escape_controls("plain – text", true) == "plain – text");
  CHECK(escape_controls("plain – text", false) == "plain \\xe2\\x80\\x93 text");
  CHECK(escape_controls("\033]0;x\007", true) == "\\x1b]0;x\\x07");
  CHECK(escape_controls("a\nb\r\t\x7f", true) == "a\\x0ab\\x0d\\x09\\x7f");
  CHECK(escape_controls("\xc2\x9b", true) == "\\xc2\\x9b");           // CSI as one character
  CHECK(escape_controls("\xe2\x80\xae", true) == "\\xe2\\x80\\xae");  // right-to-left override
  CHECK(escape_controls("\xff\xc3", true) == "\\xff\\xc3");
  CHECK(escape_controls("\\x1b", true) == "\\x1b");  // escaped already, by the code that made it
  for (int byte = 0; byte < 256; ++byte) {
    for (const char c : escape_controls(std::string(1, static_cast<char>(byte)), true)) {
      CHECK(c >= 0x20);
      CHECK(c < 0x7f);
    }
  }
}

TEST_CASE("cli.report.error text") {
  CHECK(error_text({ErrorCode::kFailed, "open x: no", ""}, true) == "monitor: open x: no\n");
  CHECK(error_text({ErrorCode::kFailed, "a\nb", "one\ntwo\n"}, true) == "monitor: a\\x0ab\n  one\n  two\n");
}

TEST_CASE("cli.log file.appends") {
  const Directory directory;
  const std::string path = directory.file("log");
  {
    Result<LogFile> log = LogFile::open(path);
    REQUIRE(log);
    CHECK(written(log->append("one\n")) == Written::kWhole);
  }
  Result<LogFile> log = LogFile::open(path);
  Result<LogFile> other = LogFile::open(path);
  REQUIRE(log);
  REQUIRE(other);
  written(log->append("two\n"));
  written(other->append("three\n"));
  written(log->append("four\n"));
  CHECK(content(path) == "one\ntwo\nthree\nfour\n");
}

TEST_CASE("cli.log file.reopens by name") {
  const Directory directory;
  const std::string path = directory.file("log");
  Result<LogFile> log = LogFile::open(path);
  REQUIRE(log);
  written(log->append("old\n"));
  std::filesystem::rename(path, directory.file("log.1"));
  written(log->append("still old\n"));
  REQUIRE(log->reopen());
  written(log->append("new\n"));
  CHECK(content(directory.file("log.1")) == "old\nstill old\n");
  CHECK(content(path) == "new\n");
}

TEST_CASE("cli.log file.keeps the open file when the new one cannot be opened") {
  const Directory directory;
  const std::string path = directory.file("log");
  Result<LogFile> log = LogFile::open(path);
  REQUIRE(log);
  std::filesystem::rename(path, directory.file("log.1"));
  std::filesystem::create_directory(path);
  Status status = log->reopen();
  REQUIRE_FALSE(status);
  CHECK(status.error().what.find(path) != std::string::npos);
  written(log->append("kept\n"));
  CHECK(content(directory.file("log.1")) == "kept\n");
}

TEST_CASE("cli.log file.errors name the file") {
  const Directory directory;
  const std::string path = directory.file("no/such");
  Result<LogFile> missing = LogFile::open(path);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().what == "open the log file " + path + ": No such file or directory");
  CHECK(missing.error().code == ErrorCode::kFailed);

  const std::string fifo = directory.file("fifo");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  Result<LogFile> unread = LogFile::open(fifo);  // does not wait for a reader
  REQUIRE_FALSE(unread);
  CHECK(unread.error().what.find("no process reads") != std::string::npos);

  Result<LogFile> full = LogFile::open("/dev/full");
  REQUIRE(full);
  Result<Written> result = full->append("x\n");
  REQUIRE_FALSE(result);
  CHECK(result.error().what == "write to the log file /dev/full: No space left on device");
}

TEST_CASE("cli.output file.written completely, in part, and without a reader") {
  ::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  CHECK(written(write_all(pipe.write_end.get(), "text", "it")) == Written::kWhole);
  std::array<char, 8> bytes{};
  CHECK(::read(pipe.read_end.get(), bytes.data(), bytes.size()) == 4);

  // Each line is one write, so a packet pipe returns it as one packet, whatever follows.
  std::array<int, 2> fds{};
  REQUIRE(::pipe2(fds.data(), O_DIRECT | O_CLOEXEC) == 0);
  const Fd packets{fds[0]};
  const Fd sender{fds[1]};
  written(write_line(sender.get(), "one\n", "it"));
  written(write_line(sender.get(), "two\n", "it"));
  CHECK(::read(packets.get(), bytes.data(), bytes.size()) == 4);
  CHECK(::read(packets.get(), bytes.data(), bytes.size()) == 4);

  pipe.read_end.reset();
  CHECK(written(write_all(pipe.write_end.get(), "text", "it")) == Written::kReaderGone);
  CHECK(written(write_line(pipe.write_end.get(), "text\n", "it")) == Written::kReaderGone);
}

TEST_CASE("cli.output file.a line that was written in part is an error") {
  Pipe pipe;
  REQUIRE(::fcntl(pipe.write_end.get(), F_SETFL, O_NONBLOCK) == 0);
  const std::string line(1 << 20, 'x');  // more than a pipe holds
  Result<Written> result = write_line(pipe.write_end.get(), line, "it");
  REQUIRE_FALSE(result);
  CHECK(result.error().what.find("of a line's 1048576 bytes") != std::string::npos);
}

TEST_CASE("cli.privileges.kept") {
  const std::uint64_t all = ~std::uint64_t{0};
  const std::uint64_t usual = capability_bit(CAP_BPF) | capability_bit(CAP_PERFMON) | capability_bit(CAP_SYS_PTRACE);
  CHECK(needed_capabilities(all, {}) == usual);
  CHECK(needed_capabilities(all, {.writes_log = true}) == (usual | capability_bit(CAP_DAC_OVERRIDE)));
  CHECK(needed_capabilities(all, {.finds_servers = true}) == (usual | capability_bit(CAP_DAC_READ_SEARCH)));
  CHECK(needed_capabilities(all, {.reads_pins = true}) == (usual | capability_bit(CAP_DAC_READ_SEARCH)));
  CHECK(needed_capabilities(all & ~capability_bit(CAP_DAC_READ_SEARCH), {.reads_pins = true}) ==
        (usual | capability_bit(CAP_DAC_READ_SEARCH) | capability_bit(CAP_DAC_OVERRIDE)));
  // Where CAP_BPF is missing, CAP_SYS_ADMIN stands in.
  CHECK(needed_capabilities(all & ~capability_bit(CAP_BPF), {}) == (usual | capability_bit(CAP_SYS_ADMIN)));
}

}  // namespace monitor
