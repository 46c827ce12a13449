// SPDX-License-Identifier: Apache-2.0
// Where samples go: standard output one after another, the screen in place, or the log.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/log_file.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/terminal.h"
#include "model/snapshot.h"
#include "output/render.h"

namespace monitor {

class Printer {
 public:
  virtual ~Printer() = default;

  // One look: a snapshot of each server.
  virtual Result<Written> print(const std::vector<Snapshot>& snapshots) = 0;

  // Nothing more will be printed.
  virtual Result<Written> finish() { return Written::kWhole; }

  // What the loop heard of. A failure is not the end of the program, unless it says that the reader has gone.
  virtual Result<Written> resized() { return Written::kWhole; }
  virtual Result<Written> suspended() { return Written::kWhole; }
  virtual Result<Written> resumed() { return Written::kWhole; }
  virtual Status reopen() { return Ok{}; }

  // The descriptor written to: when its reader goes, the program ends. And one to read keys from, or -1.
  virtual int output() const = 0;
  virtual int keys() const { return -1; }
  virtual Keys::Pressed read_keys() { return Keys::Pressed::kNothing; }
};

// JSON objects, one a line, boxes with an empty line between them, or what monitoring systems read.
class StreamPrinter : public Printer {
 public:
  // `header`: whether --csv prints one.
  StreamPrinter(Format format, const BoxStyle& style, bool header) : format_(format), style_(style), header_(header) {}
  Result<Written> print(const std::vector<Snapshot>& snapshots) override;
  int output() const override;

 private:
  std::string render(const std::vector<Snapshot>& snapshots) const;

  Format format_;
  BoxStyle style_;
  bool header_;
  bool first_ = true;  // nothing was printed yet
};

// The boxes, one below another, drawn in place. The last ones are left on the normal screen.
class ScreenPrinter : public Printer {
 public:
  explicit ScreenPrinter(const BoxStyle& style);
  Result<Written> print(const std::vector<Snapshot>& snapshots) override;
  Result<Written> finish() override;
  Result<Written> resized() override;
  Result<Written> suspended() override;
  Result<Written> resumed() override;
  int output() const override;
  int keys() const override;
  Keys::Pressed read_keys() override;

 private:
  BoxStyle style_;
  Keys keys_;
  Screen screen_;  // behind keys_, so that it is left first
  std::string last_;
};

class LogPrinter : public Printer {
 public:
  explicit LogPrinter(LogFile file) : file_(std::move(file)) {}
  Result<Written> print(const std::vector<Snapshot>& snapshots) override;
  Status reopen() override { return file_.reopen(); }
  int output() const override { return file_.fd(); }

 private:
  LogFile file_;
};

}  // namespace monitor
