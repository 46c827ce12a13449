// SPDX-License-Identifier: Apache-2.0
#include "model/listed_server.h"

#include <algorithm>
#include <iterator>

namespace monitor {
namespace {

// The special endpoints, such as "(before attach)", have no method: they do not prove that HTTP passed.
bool has_request(const Counters& counters, unsigned listener) {
  return std::any_of(counters.endpoints.begin(), counters.endpoints.end(), [&](const EndpointCounters& endpoint) {
    return endpoint.listener == listener && !endpoint.method.empty() && endpoint.active + endpoint.completed > 0;
  });
}

}  // namespace

std::vector<ListedListener> unknown_listeners(const std::vector<std::string>& listen) {
  std::vector<ListedListener> list;
  std::transform(listen.begin(), listen.end(), std::back_inserter(list), [](const std::string& address) {
    return ListedListener{address, std::nullopt, ""};
  });
  return list;
}

std::vector<ListedListener> counted_listeners(const std::vector<std::string>& listen, const Counters& counters,
                                              const SocketsSample& sockets) {
  std::vector<ListedListener> list = unknown_listeners(listen);
  for (ListedListener& listener : list) {
    const auto sample = std::find_if(sockets.by_listener.begin(), sockets.by_listener.end(),
                                     [&](const ListenerSample& other) { return other.address == listener.address; });
    if (sample == sockets.by_listener.end()) {
      continue;  // it has opened since, or its process is not followed
    }
    const auto counted = std::find_if(
        counters.listeners.begin(), counters.listeners.end(),
        [&](const ListenerCounters& other) { return sample->number != 0 && other.number == sample->number; });
    if (counted == counters.listeners.end()) {
      listener.http = false;  // no connection was accepted on it yet
      continue;
    }
    listener.http = counted->http || has_request(counters, counted->number);
    listener.protocol = *listener.http ? "http" : protocol_name(*counted);
  }
  return list;
}

}  // namespace monitor
