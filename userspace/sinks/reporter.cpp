// SPDX-License-Identifier: Apache-2.0
#include "sinks/reporter.h"

#include <unistd.h>

#include <utility>

#include "base/output_file.h"
#include "output/error_text.h"

namespace monitor {

void Reporter::report(const Error& error) {
  write(error_text(error, utf8_));
}

void Reporter::notice(std::string_view text) {
  write(notice_text(text, utf8_));
}

void Reporter::release() {
  holds_ = false;
  write(std::exchange(held_, {}));
}

void Reporter::write(const std::string& message) {
  if (holds_) {
    held_ += message;
    return;
  }
  static_cast<void>(write_all(STDERR_FILENO, message, "standard error"));
}

}  // namespace monitor
