// SPDX-License-Identifier: Apache-2.0
// A pipe whose ends are closed with it.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "base/fd.h"

namespace monitor::test {

struct Pipe {
  Fd read_end, write_end;
  Pipe() {
    std::array<int, 2> fds{};
    REQUIRE(::pipe2(fds.data(), O_CLOEXEC) == 0);
    read_end.reset(fds[0]);
    write_end.reset(fds[1]);
  }
};

}  // namespace monitor::test
