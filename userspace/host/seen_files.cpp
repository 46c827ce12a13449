// SPDX-License-Identifier: Apache-2.0
#include "host/seen_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <memory>

#include "base/fd.h"

namespace monitor {
namespace {

constexpr std::size_t kMaxProgramBytes = 262144;
constexpr std::size_t kMaxEnvironmentBytes = 262144;
constexpr std::size_t kMaxPackages = 4000;

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

// At most `limit` bytes from the current position.
std::string read_up_to(const Fd& file, std::size_t limit) {
  std::string text(limit, '\0');
  std::size_t size = 0;
  while (file && size < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got <= 0) {
      break;
    }
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

}  // namespace

std::optional<std::string> read_regular(const std::string& path) {
  const Fd name(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat status {};
  if (!name || ::fstat(name.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return std::nullopt;
  }
  const Fd file(::open(("/proc/self/fd/" + std::to_string(name.get())).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    return std::nullopt;
  }
  return read_up_to(file, std::min<std::size_t>(kMaxProgramBytes, static_cast<std::size_t>(status.st_size)));
}

std::string seen_by(const ProcFs& proc, pid_t pid, const std::string& path) {
  const std::string base = proc.path() + "/" + std::to_string(pid);
  return path.starts_with("/") ? base + "/root" + path : base + "/cwd/" + path;
}

std::vector<std::string> entries(const std::string& path) {
  std::vector<std::string> names;
  const Directory directory(::opendir(path.c_str()), ::closedir);
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    if (entry->d_name[0] != '.' && names.size() < kMaxPackages) {
      names.emplace_back(entry->d_name);
    }
  }
  return names;
}

std::string started_with(const ProcFs& proc, pid_t pid, std::string_view variable) {
  const std::string path = proc.path() + "/" + std::to_string(pid) + "/environ";
  const std::string all = read_up_to(Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), kMaxEnvironmentBytes);
  std::string_view rest = all;
  while (!rest.empty()) {
    const std::string_view entry = rest.substr(0, rest.find('\0'));
    if (entry.starts_with(variable) && entry.substr(variable.size()).starts_with('=')) {
      return std::string(entry.substr(variable.size() + 1));
    }
    rest.remove_prefix(std::min(entry.size() + 1, rest.size()));
  }
  return "";
}

}  // namespace monitor
