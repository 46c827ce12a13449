// SPDX-License-Identifier: Apache-2.0
#include "model/listener_figures.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "model/endpoint_sums.h"

namespace monitor {
namespace {

void add_counts(const std::map<std::string, std::uint64_t>& more, std::map<std::string, std::uint64_t>& sum) {
  for (const auto& [name, count] : more) {
    sum[name] += count;
  }
}

// Requests from before the attach that do not count: the listener has not shown that it speaks HTTP.
std::uint64_t uncounted(const ListenerCounters& listener) {
  return serves_http(listener) ? 0 : listener.unproven + (listener.presumed ? listener.active : 0);
}

void add_counters(const ListenerCounters& counted, ListenerSnapshot& listener) {
  listener.number = counted.number;
  if (listener.address.empty()) {
    listener.address = counted.address;
  }
  listener.protocol = protocol_name(counted);
  listener.apart = counted.apart;
  listener.active = counted.active;
  listener.peak = counted.peak;
  if (counted.http) {
    listener.active += counted.unproven;
  } else if (speaks_other(counted)) {
    listener.active = listener.peak = 0;
  } else {
    listener.unproven = counted.unproven;
  }
  listener.peak = std::max(listener.peak, listener.active);
  listener.refused = counted.refused;
  listener.rejected = counted.rejected;
  listener.undercount = counted.undercount;
}

// What `endpoint` has in flight without the `uncounted` requests from before the attach.
EndpointCounters without(EndpointCounters endpoint, std::uint64_t uncounted) {
  if (endpoint.method.empty() && endpoint.path == "(before attach)") {
    endpoint.active -= std::min(endpoint.active, uncounted);
    endpoint.peak = std::max(endpoint.peak, uncounted) - uncounted;
  }
  return endpoint;
}

bool counted_anything(const EndpointCounters& endpoint) {
  return !endpoint.method.empty() || endpoint.active != 0 || endpoint.completed != 0;
}

void add_endpoints(const Counters& counters, std::map<unsigned, ListenerSnapshot*>& by_number) {
  std::map<unsigned, std::uint64_t> left_out;
  std::set<unsigned> others;  // listeners that speak something else
  for (const ListenerCounters& listener : counters.listeners) {
    left_out[listener.number] = uncounted(listener);
    if (speaks_other(listener)) {
      others.insert(listener.number);
    }
  }
  for (const EndpointCounters& counted : counters.endpoints) {
    EndpointCounters endpoint = without(counted, left_out[counted.listener]);
    if (others.contains(counted.listener)) {
      endpoint.active = endpoint.websockets = 0;
      endpoint.peak = endpoint.completed == 0 ? 0 : endpoint.peak;
    }
    const auto found = by_number.find(counted.listener);
    if (found == by_number.end() || !counted_anything(endpoint)) {
      continue;
    }
    ListenerSnapshot& listener = *found->second;
    listener.total += endpoint.completed;
    listener.failed += endpoint.failed;
    listener.aborted += endpoint.aborted;
    listener.websockets += endpoint.websockets;
    listener.endpoints.push_back(std::move(endpoint));
  }
}

bool counted_anything(const ListenerSnapshot& listener) {
  return listener.total != 0 || listener.active != 0 || listener.rejected != 0 || listener.unproven != 0 ||
         std::any_of(listener.undercount.begin(), listener.undercount.end(),
                     [](const auto& count) { return count.second != 0; });
}

}  // namespace

std::vector<ListenerSnapshot> list_listeners(const Counters& counters, const SocketsSample& sockets) {
  std::vector<ListenerSnapshot> list;
  list.reserve(counters.listeners.size() + sockets.by_listener.size());  // so that pointers stay valid
  std::map<unsigned, ListenerSnapshot*> by_number;
  for (const ListenerCounters& counted : counters.listeners) {
    ListenerSnapshot& listener = list.emplace_back();
    add_counters(counted, listener);
    by_number[counted.number] = &listener;
  }
  for (const ListenerSample& sample : sockets.by_listener) {
    const auto found = sample.number == 0 ? by_number.end() : by_number.find(sample.number);
    ListenerSnapshot& listener = found == by_number.end() ? list.emplace_back() : *found->second;
    listener.address = sample.address;
    listener.processes = sample.holders;
    listener.queue_depth = sample.accept_queue + sample.unread;
    listener.open_connections = sample.open_connections;
  }
  add_endpoints(counters, by_number);
  // one that is closed, or the unknown one, stays only for what it counted
  std::erase_if(
      list, [](const ListenerSnapshot& listener) { return listener.processes.empty() && !counted_anything(listener); });
  std::sort(list.begin(), list.end(), [](const ListenerSnapshot& left, const ListenerSnapshot& right) {
    return std::tie(left.address, left.number) < std::tie(right.address, right.number);
  });
  for (ListenerSnapshot& listener : list) {
    listener.endpoints = merge_endpoints(std::move(listener.endpoints));
  }
  return list;
}

void add_listener_sums(Snapshot& snapshot) {
  std::vector<EndpointCounters> endpoints;
  for (const ListenerSnapshot& listener : snapshot.listeners) {
    if (listener.apart) {
      continue;
    }
    snapshot.total += listener.total;
    snapshot.failed += listener.failed;
    snapshot.aborted += listener.aborted;
    snapshot.refused += listener.refused;
    snapshot.rejected += listener.rejected;
    snapshot.unproven += listener.unproven;
    snapshot.websockets += listener.websockets;
    add_counts(listener.undercount, snapshot.undercount);
    endpoints.insert(endpoints.end(), listener.endpoints.begin(), listener.endpoints.end());
  }
  snapshot.endpoints = merge_endpoints(std::move(endpoints));
}

Snapshot restrict_to(const Snapshot& snapshot, const std::vector<std::string>& addresses) {
  Snapshot view = snapshot;
  view.active = view.peak = view.total = view.failed = view.aborted = view.refused = view.rejected = 0;
  view.unproven = view.websockets = view.queue_depth = view.open_connections = view.peak_connections = 0;
  for (auto& [cause, count] : view.undercount) {
    count = 0;
  }
  std::erase_if(view.listeners, [&addresses](const ListenerSnapshot& listener) {
    return std::find(addresses.begin(), addresses.end(), listener.address) == addresses.end();
  });
  for (ListenerSnapshot& listener : view.listeners) {
    listener.apart = false;  // chosen, it counts
    view.active += listener.active;
    view.peak = std::max(view.peak, listener.peak);
    view.queue_depth += listener.queue_depth;
    view.open_connections += listener.open_connections;
  }
  add_listener_sums(view);
  view.peak = std::max(view.peak, view.active);
  view.peak_connections = view.open_connections;
  view.listen = addresses;
  view.listener.clear();
  for (const std::string& address : addresses) {
    view.listener += (view.listener.empty() ? "" : ",") + address;
  }
  return view;
}

std::vector<Snapshot> choose_listeners(const Snapshot& snapshot, const ListenerChoice& choice) {
  if (!choice.is_restricted() && !choice.each) {
    return {snapshot};
  }
  std::vector<std::string> addresses;
  for (const ListenerSnapshot& listener : snapshot.listeners) {
    if (!listener.address.empty() && (!choice.is_restricted() || choice.names(listener.address))) {
      addresses.push_back(listener.address);
    }
  }
  std::vector<Snapshot> views;
  if (!choice.each) {
    if (!addresses.empty()) {
      views.push_back(restrict_to(snapshot, addresses));
    }
    return views;
  }
  for (const std::string& address : addresses) {
    views.push_back(restrict_to(snapshot, {address}));
    views.back().system = false;
  }
  return views;
}

}  // namespace monitor
