// SPDX-License-Identifier: Apache-2.0
// What a terminal receives, read at the other end of a pseudo-terminal, and that its state is restored. Also what a
// process can still do after it has dropped its privileges.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

#include "base/fd.h"
#include "base/privileges.h"
#include "tui/terminal.h"

namespace monitor {
namespace {

// A terminal that does not control this process: job control does not apply.
struct PseudoTerminal {
  Fd master{::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK)};
  Fd slave;

  PseudoTerminal() {
    REQUIRE(master);
    REQUIRE(::grantpt(master.get()) == 0);
    REQUIRE(::unlockpt(master.get()) == 0);
    std::array<char, 64> name{};
    REQUIRE(::ptsname_r(master.get(), name.data(), name.size()) == 0);
    slave.reset(::open(name.data(), O_RDWR | O_NOCTTY));
    REQUIRE(slave);
    termios settings = get();
    settings.c_oflag &= ~static_cast<tcflag_t>(OPOST);
    REQUIRE(::tcsetattr(slave.get(), TCSANOW, &settings) == 0);
  }

  termios get() const {
    termios settings{};
    REQUIRE(::tcgetattr(slave.get(), &settings) == 0);
    return settings;
  }

  void set_size(unsigned short rows, unsigned short columns) const {
    const winsize size{rows, columns, 0, 0};
    REQUIRE(::ioctl(slave.get(), TIOCSWINSZ, &size) == 0);
  }

  // The output since the previous call.
  std::string shown() const {
    std::string text;
    std::array<char, 4096> bytes{};
    for (ssize_t count = 0; (count = ::read(master.get(), bytes.data(), bytes.size())) > 0;) {
      text.append(bytes.data(), static_cast<std::size_t>(count));
    }
    return text;
  }

  void type(const std::string& keys) const {
    REQUIRE(::write(master.get(), keys.data(), keys.size()) == static_cast<ssize_t>(keys.size()));
  }
};

constexpr const char* kEntered = "\033[?1049h\033[?25l";
constexpr const char* kLeft = "\033[0m\033[?25h\033[?1049l";

Written written(Result<Written> result) {
  if (!result) {
    FAIL(result.error().what);
  }
  return *result;
}

}  // namespace

TEST_CASE("cli.terminal.screen is entered once and left once") {
  const PseudoTerminal terminal;
  terminal.set_size(10, 40);
  {
    Screen screen(terminal.slave.get());
    CHECK(terminal.shown().empty());  // not before there is something to show
    CHECK(written(screen.draw("a\n")) == Written::kWhole);
    CHECK(terminal.shown() == std::string(kEntered) + "\033[Ha\033[K\r\n\033[J");
    terminal.set_size(1, 2);
    written(screen.draw("abc\ndef\n"));
    CHECK(terminal.shown() == "\033[H(2");
    screen.leave();
    CHECK(terminal.shown() == kLeft);
    screen.leave();
    CHECK(terminal.shown().empty());
    written(screen.draw("a\n"));
    CHECK(terminal.shown() == std::string(kEntered) + "\033[Ha\033[K");
  }
  CHECK(terminal.shown() == kLeft);
}

TEST_CASE("cli.terminal.screen: each line ends in one CR, whether the terminal adds it or not") {
  const PseudoTerminal terminal;
  termios settings = terminal.get();
  settings.c_oflag |= static_cast<tcflag_t>(OPOST | ONLCR);
  REQUIRE(::tcsetattr(terminal.slave.get(), TCSANOW, &settings) == 0);
  Screen screen(terminal.slave.get());
  written(screen.draw("a\nb\n"));
  CHECK(terminal.shown() == std::string(kEntered) + "\033[Ha\033[K\r\nb\033[K\r\n\033[J");
  settings.c_oflag &= ~static_cast<tcflag_t>(ONLCR);
  REQUIRE(::tcsetattr(terminal.slave.get(), TCSANOW, &settings) == 0);
  written(screen.draw("a\nb\n"));
  CHECK(terminal.shown() == "\033[Ha\033[K\r\nb\033[K\r\n\033[J");
}

TEST_CASE("cli.terminal.a terminal that hung up has no reader") {
  PseudoTerminal terminal;
  Screen screen(terminal.slave.get());
  terminal.master.reset();
  CHECK(written(screen.draw("a\n")) == Written::kReaderGone);
}

TEST_CASE("cli.terminal.size") {
  const PseudoTerminal terminal;
  CHECK(terminal_size(terminal.slave.get()).rows == 24);  // a new terminal reports 0
  CHECK(terminal_size(terminal.slave.get()).columns == 80);
  terminal.set_size(50, 132);
  CHECK(terminal_size(terminal.slave.get()).rows == 50);
  CHECK(terminal_size(terminal.slave.get()).columns == 132);
}

TEST_CASE("cli.terminal.keys arrive one by one, and the terminal's state is restored") {
  PseudoTerminal terminal;
  const termios before = terminal.get();
  {
    Keys keys(terminal.slave.get());
    keys.on();
    REQUIRE(keys.is_on());
    CHECK((terminal.get().c_lflag & (ICANON | ECHO)) == 0);
    CHECK((terminal.get().c_lflag & ISIG) != 0);  // Ctrl-C and Ctrl-Z stay signals
    terminal.type("x\033[A");
    CHECK(keys.read() == Keys::Pressed::kNothing);
    terminal.type("q");
    CHECK(keys.read() == Keys::Pressed::kQuit);
    terminal.type("Q");
    CHECK(keys.read() == Keys::Pressed::kQuit);
    CHECK(terminal.shown().empty());  // no echo
    terminal.type("\023");            // Ctrl-S does not stop the output
    CHECK(keys.read() == Keys::Pressed::kNothing);
    Screen screen(terminal.slave.get());
    written(screen.draw("a\n"));
    CHECK_FALSE(terminal.shown().empty());
  }
  const termios after = terminal.get();
  CHECK(after.c_lflag == before.c_lflag);
  CHECK(after.c_iflag == before.c_iflag);
  CHECK(after.c_cc[VMIN] == before.c_cc[VMIN]);
  CHECK(after.c_cc[VTIME] == before.c_cc[VTIME]);
}

TEST_CASE("cli.terminal.keys of a file that is not a terminal, or of one that has hung up") {
  const Fd null{::open("/dev/null", O_RDONLY)};
  Keys none(null.get());
  none.on();
  CHECK_FALSE(none.is_on());

  PseudoTerminal terminal;
  Keys keys(terminal.slave.get());
  keys.on();
  terminal.master.reset();
  CHECK(keys.read() == Keys::Pressed::kHungUp);
}

TEST_CASE("cli.privileges.dropped for good") {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const bool dropped = static_cast<bool>(drop_privileges({}));
    const std::uint64_t most = needed_capabilities(0, {});
    int kept = 0;
    for (int capability = 0; capability < 64; ++capability) {
      const int held = ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
      kept += held == 1 && (most & capability_bit(capability)) == 0 && ::geteuid() == 0 ? 1 : 0;
    }
    const bool locked = ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
    ::_exit(!dropped ? 1 : kept != 0 ? 2 : !locked ? 3 : 0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

}  // namespace monitor
