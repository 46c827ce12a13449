// SPDX-License-Identifier: Apache-2.0
// Reads processes, their resources and their names from /proc. Everything here races with processes that start and end:
// a file that can no longer be opened or read means that its process is gone, and is not an error by itself.
#include "host/procfs.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "host/parse_number.h"
#include "host/read_file.h"

namespace monitor {
namespace {

struct Stat {
  ProcessSample sample;  // without memory_bytes
  bool ended = false;    // zombie or dead
};

// Parses proc_pid_stat(5). The process chooses the name in parentheses, which can contain spaces and parentheses. No
// later field can, so the last ')' ends the name.
std::optional<Stat> parse_stat(std::string_view text) {
  enum Field {
    kState = 3,
    kParent = 4,
    kUtime = 14,
    kStime = 15,
    kReapedUtime = 16,
    kReapedStime = 17,
    kThreads = 20,
    kStart = 22
  };
  std::array<std::string_view, kStart + 1> fields;
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view pid_text = text.substr(0, text.find('('));
  text.remove_prefix(name_end + 1);
  for (std::size_t field = kState; field <= kStart; ++field) {
    fields[field] = take_word(text);
  }
  const auto pid = parse_number<pid_t>(take_word(pid_text));
  const auto parent = parse_number<pid_t>(fields[kParent]);
  const auto user = parse_number<std::uint64_t>(fields[kUtime]);
  const auto system = parse_number<std::uint64_t>(fields[kStime]);
  const auto reaped_user = parse_number<std::int64_t>(fields[kReapedUtime]);
  const auto reaped_system = parse_number<std::int64_t>(fields[kReapedStime]);
  const auto threads = parse_number<unsigned>(fields[kThreads]);
  const auto start = parse_number<std::uint64_t>(fields[kStart]);
  if (!pid || !parent || !user || !system || !reaped_user || !reaped_system || !threads || !start) {
    return std::nullopt;
  }
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  Stat stat;
  stat.sample.pid = *pid;
  stat.sample.parent = *parent;
  stat.sample.start_seconds = static_cast<double>(*start) / ticks;
  stat.sample.cpu_seconds = static_cast<double>(*user + *system) / ticks;
  stat.sample.reaped_cpu_seconds = static_cast<double>(*reaped_user + *reaped_system) / ticks;
  stat.sample.threads = *threads;
  stat.ended = fields[kState] == "Z" || fields[kState] == "X" || fields[kState] == "x";
  return stat;
}

// Resident bytes: the second word of statm. The rss in stat is no substitute: since Linux 6.2 it omits what each CPU
// has not yet added to the sum, and is 0 for a small process on a large machine. statm includes that part since 6.17.
std::optional<std::uint64_t> parse_resident(std::string_view text) {
  take_word(text);
  const auto pages = parse_number<std::uint64_t>(take_word(text));
  if (!pages) {
    return std::nullopt;
  }
  return *pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Every process, sorted by pid, without memory_bytes: those are in a second file per process, which few callers need.
std::vector<Stat> scan(const ProcFs& proc) {
  std::vector<Stat> found;
  PieceReader reader;
  for (const pid_t pid : proc.pids()) {
    const auto text = reader.read(proc.path() + "/" + std::to_string(pid) + "/stat");
    const auto stat = text ? parse_stat(*text) : std::nullopt;
    if (stat && stat->sample.pid == pid) {
      found.push_back(*stat);
    }
  }
  return found;
}

Error no_process(pid_t pid, const std::string& why) {
  return Error{ErrorCode::kNoTarget, "no process " + std::to_string(pid) + why};
}

}  // namespace

ProcFs::ProcFs(std::string root) : root_(std::move(root)) {}

std::string ProcFs::file(pid_t pid, const char* name) const {
  return root_ + "/" + std::to_string(pid) + "/" + name;
}

Result<ProcessSample> ProcFs::process(pid_t pid) const {
  PieceReader reader;
  const std::string path = file(pid, "stat");
  const auto text = reader.read(path);
  if (!text) {
    const int error = reader.error();
    if (error == ENOENT || error == ESRCH) {
      return no_process(pid, "");
    }
    const bool refused = error == EACCES || error == EPERM;
    return system_error(error, "read " + path, refused ? ErrorCode::kNotPermitted : ErrorCode::kFailed);
  }
  auto stat = parse_stat(*text);
  if (!stat || stat->sample.pid != pid) {
    return Error{ErrorCode::kFailed, "read " + path + ": not in the format of proc_pid_stat(5)"};
  }
  if (stat->ended) {
    return no_process(pid, ": it has ended and waits for its parent to reap it (a zombie)");
  }
  const auto memory = reader.read(file(pid, "statm"));
  if (!memory) {
    return no_process(pid, ": it has just ended");
  }
  stat->sample.memory_bytes = parse_resident(*memory).value_or(0);
  return stat->sample;
}

std::optional<ProcessSample> ProcFs::zombie(pid_t pid) const {
  PieceReader reader;
  const auto text = reader.read(file(pid, "stat"));
  const auto stat = text ? parse_stat(*text) : std::nullopt;
  return stat && stat->ended ? std::optional<ProcessSample>(stat->sample) : std::nullopt;
}

ProcessParents ProcFs::parents() const {
  ProcessParents parents;
  for (const Stat& stat : scan(*this)) {
    if (!stat.ended) {
      parents.emplace(stat.sample.pid, stat.sample.parent);
    }
  }
  return parents;
}

std::vector<pid_t> ProcFs::tree(pid_t root, const std::vector<pid_t>& without) const {
  return process_tree(parents(), root, without);
}

std::vector<ProcessSample> ProcFs::tree_samples(pid_t root) const {
  std::map<pid_t, ProcessSample> samples;
  ProcessParents parents;
  std::map<pid_t, double> zombie_cpu_seconds;  // by parent
  for (const auto& [sample, ended] : scan(*this)) {
    if (ended) {
      zombie_cpu_seconds[sample.parent] += sample.cpu_seconds + sample.reaped_cpu_seconds;
      continue;
    }
    samples.emplace(sample.pid, sample);
    parents.emplace(sample.pid, sample.parent);
  }
  std::vector<ProcessSample> tree;
  PieceReader reader;
  for (const pid_t pid : process_tree(parents, root)) {
    const auto memory = reader.read(file(pid, "statm"));
    if (memory) {
      samples[pid].memory_bytes = parse_resident(*memory).value_or(0);
      samples[pid].reaped_cpu_seconds += zombie_cpu_seconds[pid];
      tree.push_back(samples[pid]);
    } else if (pid == root) {
      return {};
    }
  }
  return tree;
}

std::vector<std::string> ProcFs::arguments(pid_t pid) const {
  std::vector<std::string> arguments;
  PieceReader reader;
  std::string_view text = reader.read(file(pid, "cmdline")).value_or("");
  text = text.substr(0, text.find_last_not_of('\0') + 1);
  while (!text.empty()) {
    const std::string_view argument = text.substr(0, text.find('\0'));
    arguments.emplace_back(argument);
    text.remove_prefix(std::min(argument.size() + 1, text.size()));
  }
  return arguments;
}

std::string ProcFs::command(pid_t pid) const {
  std::string joined;
  for (const std::string& argument : arguments(pid)) {
    joined += joined.empty() ? argument : " " + argument;
  }
  if (!joined.empty()) {
    return joined;
  }
  PieceReader reader;
  std::string_view name = reader.read(file(pid, "comm")).value_or("");
  if (!name.empty() && name.back() == '\n') {
    name.remove_suffix(1);
  }
  return std::string(name);
}

std::string ProcFs::executable(pid_t pid) const {
  std::array<char, PATH_MAX> name{};
  const ssize_t length = ::readlink(file(pid, "exe").c_str(), name.data(), name.size());
  return length > 0 ? std::string(name.data(), static_cast<std::size_t>(length)) : std::string();
}

bool ProcFs::maps_any(pid_t pid, const std::function<bool(std::string_view)>& is_wanted) const {
  LineReader lines(file(pid, "maps"));
  while (const auto line = lines.next()) {
    const std::size_t path = line->find('/');
    if (path != std::string_view::npos && is_wanted(line->substr(path))) {
      return true;
    }
  }
  return false;
}

std::vector<pid_t> ProcFs::pids() const {
  std::vector<pid_t> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(root_.c_str()), ::closedir);
  if (!directory) {
    return found;
  }
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    const auto pid = parse_number<pid_t>(name);
    if (pid && *pid > 0) {
      found.push_back(*pid);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::optional<pid_t> ProcFs::thread_group(pid_t tid) const {
  LineReader lines(file(tid, "status"));
  while (const auto line = lines.next()) {
    std::string_view rest = *line;
    if (take_word(rest) == "Tgid:") {
      return parse_number<pid_t>(take_word(rest));
    }
  }
  return std::nullopt;
}

}  // namespace monitor
