// SPDX-License-Identifier: Apache-2.0
// The format: APPNOTE.TXT of PKWARE, 4.3.7 (local header), 4.3.12 (central directory), 4.3.16 (its end). Every number
// in the file is untrusted.
#include "host/archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace monitor {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kLocal = "PK\3\4"sv;
constexpr std::string_view kCentral = "PK\1\2"sv;
constexpr std::string_view kEnd = "PK\5\6"sv;
constexpr std::size_t kLocalSize = 30;
constexpr std::size_t kCentralSize = 46;
constexpr std::size_t kEndSize = 22;
constexpr std::size_t kMaxComment = 65535;
constexpr std::size_t kMaxDirectory = 4U << 20;
constexpr std::size_t kMaxMember = 262144;

std::string read_at(const Fd& file, std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const ssize_t got = ::pread(file.get(), bytes.data() + have, size - have, static_cast<off_t>(offset + have));
    if (got <= 0) {
      break;
    }
    have += static_cast<std::size_t>(got);
  }
  bytes.resize(have);
  return bytes;
}

// A little-endian number at `offset`, which is in range.
std::uint64_t number_at(std::string_view bytes, std::size_t offset, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i > 0; --i) {
    value = value << 8 | static_cast<unsigned char>(bytes[offset + i - 1]);
  }
  return value;
}

// Opens a regular file without opening what the name refers to first: to open a device can have side effects.
std::pair<Fd, std::uint64_t> open_archive(const std::string& path) {
  const Fd name(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat status {};
  if (!name || ::fstat(name.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return {Fd(), 0};
  }
  return {Fd(::open(("/proc/self/fd/" + std::to_string(name.get())).c_str(), O_RDONLY | O_CLOEXEC)),
          static_cast<std::uint64_t>(status.st_size)};
}

}  // namespace

std::optional<Archive> Archive::open(const std::string& path) {
  auto [file, size] = open_archive(path);
  const std::size_t tail = std::min<std::uint64_t>(size, kEndSize + kMaxComment);
  const std::string last = file ? read_at(file, size - tail, tail) : "";
  const std::size_t end = last.rfind(kEnd);
  if (end == std::string::npos || last.size() - end < kEndSize) {
    return std::nullopt;
  }
  const std::uint64_t directory_size = number_at(last, end + 12, 4);
  const std::uint64_t directory_offset = number_at(last, end + 16, 4);
  const std::uint64_t end_offset = size - tail + end;
  if (directory_size > kMaxDirectory || directory_size + directory_offset > end_offset) {
    return std::nullopt;
  }
  Archive archive;
  archive.start_ = end_offset - directory_size - directory_offset;
  const std::string directory = read_at(file, end_offset - directory_size, directory_size);
  for (std::string_view rest = directory; rest.size() >= kCentralSize && rest.starts_with(kCentral);) {
    const std::size_t name_size = number_at(rest, 28, 2);
    const std::size_t all = kCentralSize + name_size + number_at(rest, 30, 2) + number_at(rest, 32, 2);
    if (all > rest.size()) {
      break;
    }
    archive.members_.emplace(rest.substr(kCentralSize, name_size),
                             Member{number_at(rest, 42, 4), number_at(rest, 20, 4), number_at(rest, 10, 2) == 0});
    rest.remove_prefix(all);
  }
  archive.file_ = std::move(file);
  return archive;
}

std::optional<std::string> Archive::read(const std::string& name) const {
  const auto found = members_.find(name);
  if (found == members_.end() || !found->second.stored) {
    return std::nullopt;
  }
  const std::uint64_t offset = start_ + found->second.offset;
  const std::string header = read_at(file_, offset, kLocalSize);
  if (header.size() < kLocalSize || !header.starts_with(kLocal)) {
    return std::nullopt;
  }
  return read_at(file_, offset + kLocalSize + number_at(header, 26, 2) + number_at(header, 28, 2),
                 std::min<std::uint64_t>(found->second.size, kMaxMember));
}

bool Archive::has_package(std::string_view package) const {
  const std::string file = std::string(package) + "/__init__.py";
  return std::any_of(members_.begin(), members_.end(), [&file](const auto& member) {
    const std::string_view name = member.first;
    return name == file || name.ends_with("/" + file);
  });
}

}  // namespace monitor
