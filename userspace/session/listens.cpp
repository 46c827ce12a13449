// SPDX-License-Identifier: Apache-2.0
#include "session/listens.h"

#include <bpf/libbpf.h>
#include <monitor/abi.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "session/libbpf_messages.h"

namespace monitor {
namespace {

int take_one(void* taken, void* data, std::size_t size) {
  monitor_listen event{};
  if (size >= sizeof(event)) {
    std::memcpy(&event, data, sizeof(event));
    static_cast<std::vector<Listen>*>(taken)->push_back({static_cast<pid_t>(event.pid), event.at_ns});
  }
  return 0;
}

}  // namespace

Result<std::unique_ptr<Listens>> Listens::open(const Map& map) {
  auto listens = std::make_unique<Listens>();
  listens->ring_ = ring_buffer__new(map.fd(), take_one, &listens->taken_, nullptr);
  if (listens->ring_ == nullptr) {
    return libbpf_error("read the map " + map.name(), errno);
  }
  return listens;
}

Listens::~Listens() {
  ring_buffer__free(ring_);
}

int Listens::fd() const {
  return ring_buffer__epoll_fd(ring_);
}

std::vector<Listen> Listens::take() {
  ring_buffer__consume(ring_);
  return std::exchange(taken_, {});
}

}  // namespace monitor
