// SPDX-License-Identifier: Apache-2.0
#include "cli/change_engine.h"

#include <signal.h>
#include <unistd.h>

#include "base/output_file.h"
#include "output/error_text.h"

namespace monitor {

void defer_signals() {
  sigset_t deferred;
  sigemptyset(&deferred);
  for (const int signal : {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP}) {
    sigaddset(&deferred, signal);
  }
  ::sigprocmask(SIG_BLOCK, &deferred, nullptr);
}

Status say(const std::string& line, const Reporter& reporter) {
  TRY(write_all(STDOUT_FILENO, escape_controls(line, reporter.utf8()) + "\n", "standard output"));
  return Ok{};
}

}  // namespace monitor
