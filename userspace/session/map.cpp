// SPDX-License-Identifier: Apache-2.0
#include "session/map.h"

#include <bpf/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "session/maps.h"

namespace monitor {
namespace {

// mmap(2) maps whole pages.
std::size_t pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

Result<Map> Map::of(std::string name, Fd fd) {
  bpf_map_info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) {
    return system_error(errno, "query the map " + name);
  }
  Map map;
  map.name_ = std::move(name);
  map.fd_ = std::move(fd);
  map.key_size_ = info.key_size;
  map.value_size_ = info.value_size;
  map.max_entries_ = info.max_entries;
  return map;
}

template <typename T>
Shared<T>::~Shared() {
  if (value_ != nullptr) {
    ::munmap(value_, pages(sizeof(T)));
  }
}

template <typename T>
Result<Shared<T>> Shared<T>::of(const Map& map) {
  void* const memory = ::mmap(nullptr, pages(sizeof(T)), PROT_READ | PROT_WRITE, MAP_SHARED, map.fd(), 0);
  if (memory == MAP_FAILED) {
    return system_error(errno, "share the map " + map.name() + " with the kernel");
  }
  Shared shared;
  shared.value_ = static_cast<T*>(memory);
  return shared;
}

template class Shared<monitor_iter_request>;
template class Shared<monitor_evictions>;
template class Shared<FollowedBits>;
template class Shared<monitor_served>;
template class Shared<std::uint64_t>;

}  // namespace monitor
