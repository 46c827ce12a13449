// SPDX-License-Identifier: Apache-2.0
#include "session/listeners.h"

#include <bpf/bpf.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "session/map_walk.h"
#include "session/run_program.h"
#include "session/target_settings.h"
#include "session/undercount_causes.h"

namespace monitor {
namespace {

using Key = monitor_listener_key;

Status run_make(const Objects& objects, const Key& key) {
  std::array<std::uint64_t, 4> arguments{key.target, std::uint64_t{key.family} << 16 | key.port, 0, 0};
  static_assert(sizeof(key.address) == 2 * sizeof(arguments[0]));
  std::memcpy(&arguments[2], key.address, sizeof(key.address));
  return run_program(objects.program("make_listener"), arguments, "add a listener");
}

Key key_of(unsigned target, const ListedSocket& socket) {
  Key key{};
  key.target = target;
  key.family = socket.family;
  key.port = socket.local_port;
  std::memcpy(key.address, socket.local_address, sizeof(key.address));
  return key;
}

std::string first_bytes(const monitor_listener& listener) {
  const auto* const bytes = reinterpret_cast<const char*>(listener.foreign_bytes);
  return listener.foreign != 0 ? std::string(bytes, sizeof(listener.foreign_bytes)) : "";
}

ListenerCounters counters_of(const monitor_listener& listener) {
  ListenerCounters counters;
  counters.number = listener.number;
  counters.quic = (listener.key.family & MONITOR_UDP) != 0;
  const int family = listener.key.family & ~MONITOR_UDP;
  if (family == AF_INET || family == AF_INET6) {
    counters.address = (counters.quic ? "udp:" : "") + address_text(family, listener.key.address, listener.key.port);
  }
  counters.active = static_cast<std::int64_t>(listener.active) > 0 ? listener.active : 0;
  counters.peak = listener.peak;
  counters.refused = listener.refused;
  counters.rejected = listener.rejected;
  counters.unproven = listener.unproven;
  counters.undercount = undercount_by_cause(listener.undercount);
  counters.http = listener.http != 0;
  counters.foreign = listener.foreign != 0;
  counters.first_bytes = first_bytes(listener);
  counters.presumed = listener.presumed != 0;
  counters.apart = listener.apart != 0;
  return counters;
}

}  // namespace

Result<std::vector<KnownListener>> known_listeners(const Objects& objects, unsigned target) {
  const int table = objects.map("listener_table").fd();
  std::vector<KnownListener> found;
  TRY((for_each_entry<Key, std::uint32_t>(objects.map("listener_index"), [&](const Key& key, std::uint32_t slot) {
    KnownListener listener;
    listener.slot = slot;
    if (key.target == target && bpf_map_lookup_elem(table, &slot, &listener.counted) == 0) {
      found.push_back(listener);
    }
  })));
  std::sort(found.begin(), found.end(), [](const KnownListener& left, const KnownListener& right) {
    return left.counted.number < right.counted.number;
  });
  return found;
}

Result<std::uint32_t> make_unknown_listener(const Objects& objects, unsigned target) {
  Key key{};
  key.target = target;
  TRY(run_make(objects, key));
  std::uint32_t slot = 0;
  if (bpf_map_lookup_elem(objects.map("listener_index").fd(), &key, &slot) != 0) {
    return Error{ErrorCode::kFailed, "add the server: the table of listeners or of endpoints is full",
                 "follow fewer servers at once"};
  }
  return slot;
}

Status make_listeners(const Objects& objects, unsigned target, const std::vector<ListedSocket>& sockets) {
  std::uint32_t slot = 0;
  for (const ListedSocket& socket : sockets) {
    const Key key = key_of(target, socket);
    if (is_listening(socket) && bpf_map_lookup_elem(objects.map("listener_index").fd(), &key, &slot) != 0) {
      TRY(run_make(objects, key));
    }
  }
  return Ok{};
}

Status judge_known(const Objects& objects, unsigned target, const SocketsSample& sample, const ListenerHints& hints) {
  const std::vector<KnownListener> known = TRY(known_listeners(objects, target));
  std::vector<unsigned> http;
  for (const KnownListener& listener : known) {
    if (listener.counted.http != 0) {
      http.push_back(listener.counted.number);
    }
  }
  monitor_target_settings settings = TRY(read_settings(objects, target));
  const std::vector<ListenerRole> roles = judge_listeners(sample.by_listener, http, hints, settings.main);
  for (std::size_t i = 0; i < roles.size(); ++i) {
    const auto listener = std::find_if(known.begin(), known.end(), [&](const KnownListener& other) {
      return other.counted.number != 0 && other.counted.number == sample.by_listener[i].number;
    });
    if (listener == known.end() ||
        roles[i] == ListenerRole{listener->counted.presumed != 0, listener->counted.apart != 0}) {
      continue;
    }
    TRY(run_program(objects.program("judge_listener"),
                    std::array<std::uint64_t, 3>{listener->slot, roles[i].presumed, roles[i].apart},
                    "set what a listener is for"));
  }
  const std::size_t main = main_listener(sample.by_listener, http, hints, settings.main);
  const unsigned number = main < sample.by_listener.size() ? sample.by_listener[main].number : 0;
  if (number == 0 || number == settings.main) {
    return Ok{};
  }
  settings.main = number;
  return write_settings(objects, target, settings);
}

Status free_listeners(const Objects& objects, unsigned target) {
  for (const KnownListener& listener : TRY(known_listeners(objects, target))) {
    if (bpf_map_delete_elem(objects.map("listener_index").fd(), &listener.counted.key) != 0 ||
        bpf_map_update_elem(objects.map("free_listeners").fd(), nullptr, &listener.slot, BPF_ANY) != 0) {
      return system_error(errno, "write the table of listeners");
    }
  }
  return Ok{};
}

std::vector<ListenerCounters> listener_counters(const std::vector<KnownListener>& known) {
  std::vector<ListenerCounters> list;
  std::transform(known.begin(), known.end(), std::back_inserter(list),
                 [](const KnownListener& listener) { return counters_of(listener.counted); });
  return list;
}

}  // namespace monitor
