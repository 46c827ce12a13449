// SPDX-License-Identifier: Apache-2.0
#include "host/starting.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "base/boot_clock.h"
#include "host/command_line.h"
#include "host/program_reader.h"

namespace monitor {
namespace {

// The most characters that a message shows of a command.
constexpr std::size_t kMaxName = 60;

// A server starts its workers within this time. Later ones replace others that have ended.
constexpr double kStartsWorkersWithinSeconds = 5;

// In seconds; nullopt if the process has just ended.
std::optional<double> age(const ProcFs& proc, pid_t pid) {
  const Result<ProcessSample> sample = proc.process(pid);
  return sample ? std::optional(std::max(0.0, seconds_since_boot() - sample->start_seconds)) : std::nullopt;
}

std::string whole(double seconds) {
  return std::to_string(std::llround(seconds));
}

// The file that the process writes its errors to; empty if that is a terminal, a pipe or unknown.
std::string output_file(const ProcFs& proc, pid_t pid) {
  std::error_code error;
  const std::string link = proc.path() + "/" + std::to_string(pid) + "/fd/2";
  const std::string path = std::filesystem::read_symlink(link, error).string();
  return error || !path.starts_with('/') || path.starts_with("/dev/") ? std::string() : path;
}

}  // namespace

std::string process_called(const ProcFs& proc, pid_t pid) {
  const CommandLine line = read_command_line(proc, pid);
  // The whole command where a program without its interpreter says nothing: -c, or no arguments (about to be reaped).
  const std::string name = line.shown.empty() || !line.code.empty() ? proc.command(pid) : line.shown;
  return "process " + std::to_string(pid) + " (" + printable(name, kMaxName) + ")";
}

bool has_server_by_name(const ProcFs& proc, const std::vector<pid_t>& tree) {
  ProgramReader programs;
  return std::any_of(tree.begin(), tree.end(), [&](pid_t pid) {
    const CommandLine line = read_command_line(proc, pid);
    return !line.server.empty() || !programs.server_of(proc, pid, line).empty();
  });
}

Error still_starting(const ProcFs& proc, const std::vector<pid_t>& tree) {
  const pid_t root = tree.front();
  const std::size_t descendants = tree.size() - 1;
  std::string what = process_called(proc, root) + " is still starting, or failing to start: ";
  if (descendants == 0) {
    what += "it has no listening socket after ";
  } else {
    what += "it and its " + std::to_string(descendants) +
            (descendants == 1 ? " descendant have no listening socket after "
                              : " descendants have no listening socket after ");
  }
  const double up = age(proc, root).value_or(0);
  double newest = up;
  for (const pid_t pid : tree) {
    newest = std::min(newest, age(proc, pid).value_or(newest));
  }
  what += whole(up);
  what += up - newest > kStartsWorkersWithinSeconds
              ? " s; its newest process is " + whole(newest) + " s old, as when workers keep ending"
              : " s";
  const std::string output = output_file(proc, root);
  return Error{ErrorCode::kNoTarget, std::move(what),
               "wait until it has loaded its application; if it does not, its output says why" +
                   (output.empty() ? "" : ": " + printable(output, PATH_MAX))};
}

}  // namespace monitor
