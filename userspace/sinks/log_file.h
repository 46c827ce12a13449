// SPDX-License-Identifier: Apache-2.0
// The file that log lines are appended to, each with one O_APPEND write. It is opened again by its name when a program
// that rotates logs sends SIGHUP.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/output_file.h"
#include "base/result.h"

namespace monitor {

class LogFile {
 public:
  // Creates the file if it does not exist. "-" is standard output.
  static Result<LogFile> open(const std::string& path);

  // `line` ends in a newline.
  Result<Written> append(std::string_view line) const;

  // Opens the file by its name again. If that fails, lines still go to the file that was open.
  Status reopen();

  int fd() const { return file_ ? file_.get() : STDOUT_FILENO; }

 private:
  explicit LogFile(std::string path) : path_(std::move(path)) {}

  std::string path_;
  std::string name_;  // for errors
  Fd file_;           // empty with "-"
};

}  // namespace monitor
