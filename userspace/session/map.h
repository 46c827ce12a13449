// SPDX-License-Identifier: Apache-2.0
// One BPF map by its descriptor, and a map of one element as shared memory.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace monitor {

class Map {
 public:
  Map() = default;
  // Takes the descriptor over and asks the kernel for the map's sizes.
  static Result<Map> of(std::string name, Fd fd);

  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }
  std::uint32_t key_size() const { return key_size_; }      // bytes
  std::uint32_t value_size() const { return value_size_; }  // bytes
  std::uint32_t max_entries() const { return max_entries_; }

 private:
  std::string name_;
  Fd fd_;
  std::uint32_t key_size_ = 0;
  std::uint32_t value_size_ = 0;
  std::uint32_t max_entries_ = 0;
};

// The value of a map of one element, in memory that this process shares with the kernel.
template <typename T>
class Shared {
 public:
  Shared() = default;
  Shared(Shared&& other) noexcept : value_(std::exchange(other.value_, nullptr)) {}
  Shared& operator=(Shared&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared();

  static Result<Shared> of(const Map& map);

  T& operator*() const { return *value_; }
  T* operator->() const { return value_; }

 private:
  T* value_ = nullptr;
};

}  // namespace monitor
