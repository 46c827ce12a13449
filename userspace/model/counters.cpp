// SPDX-License-Identifier: Apache-2.0
#include "model/counters.h"

#include <algorithm>

namespace monitor {

void count_queues_once(SocketsSample& sample, std::set<std::uint64_t>& counted) {
  for (ListenerSample& listener : sample.by_listener) {
    for (const auto& [socket, waiting] : listener.queues) {
      if (!counted.insert(socket).second) {
        listener.accept_queue -= std::min(listener.accept_queue, waiting);
        sample.accept_queue -= std::min(sample.accept_queue, waiting);
      }
    }
  }
}

}  // namespace monitor
