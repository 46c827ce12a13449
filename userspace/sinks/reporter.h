// SPDX-License-Identifier: Apache-2.0
// Messages to the operator on standard error: failures, and notices of what was done.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace monitor {

class Reporter {
 public:
  // `utf8`: standard error shows characters beyond ASCII.
  explicit Reporter(bool utf8) : utf8_(utf8) {}
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;
  ~Reporter() = default;

  // Each writes one message. A failure to write is ignored.
  void report(const Error& error);
  void notice(std::string_view text);

  // Holds messages back while the screen is redrawn in place: a redraw would overwrite them. release() writes them.
  void hold() { holds_ = true; }
  void release();

  bool utf8() const { return utf8_; }

 private:
  void write(const std::string& message);

  bool utf8_;
  bool holds_ = false;
  std::string held_;
};

}  // namespace monitor
