// SPDX-License-Identifier: Apache-2.0
#include "session/services.h"

#include <bpf/bpf.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include "base/contains.h"
#include "session/listeners.h"
#include "session/map_walk.h"
#include "session/processes.h"
#include "session/target_settings.h"

namespace monitor {
namespace {

using ServiceKey = std::array<unsigned char, sizeof(monitor_service_key)>;

ServiceKey key_of(const ListedSocket& socket) {
  monitor_service_key service{};
  service.network = socket.network;
  service.family = socket.family;
  service.port = socket.local_port;
  std::memcpy(service.address, socket.local_address, sizeof(service.address));
  ServiceKey key{};
  std::memcpy(key.data(), &service, sizeof(service));
  return key;
}

Result<bool> root_lives(const Objects& objects, unsigned target) {
  const monitor_target_settings settings = TRY(read_settings(objects, target));
  monitor_process root{};
  return bpf_map_lookup_elem(objects.map("processes").fd(), &settings.root, &root) == 0 && root.target == target;
}

Result<std::vector<ServiceKey>> services_of(const Objects& objects, unsigned target) {
  std::vector<ServiceKey> theirs;
  TRY((for_each_entry<ServiceKey, std::uint32_t>(objects.map("services"),
                                                 [&](const ServiceKey& key, std::uint32_t owner) {
                                                   if (owner == target) {
                                                     theirs.push_back(key);
                                                   }
                                                 })));
  return theirs;
}

// Whether the socket has the address that names the server, or another address with its port.
bool is_served(const ListedSocket& socket, const monitor_listener_key& main) {
  return main.port != 0 ? socket.local_port == main.port
                        : socket.family == main.family &&
                              std::memcmp(socket.local_address, main.address, sizeof(main.address)) == 0;
}

// The listener `main` names the server. As long as that is a guess among several of its own, the address of any of them
// can be the one that a successor takes; but not that of a Unix socket beside one for TCP, such as gunicorn's control
// socket, which servers that have nothing to do with each other share.
Result<std::vector<ServiceKey>> served(const Objects& objects, unsigned target, const SocketList& list, unsigned main) {
  std::vector<ServiceKey> keys;
  const std::vector<KnownListener> known = TRY(known_listeners(objects, target));
  const auto named = std::find_if(known.begin(), known.end(), [main](const KnownListener& listener) {
    return main != 0 && listener.counted.number == main;
  });
  if (named == known.end()) {
    return keys;
  }
  const bool certain = named->counted.http != 0 || named->counted.presumed != 0;
  for (const KnownListener& listener : known) {
    const bool may_serve =
        !certain && listener.counted.apart == 0 && named->counted.key.port != 0 && listener.counted.key.port != 0;
    for (const ListedSocket& socket : list.sockets) {
      if ((listener.slot == named->slot || may_serve) && is_listening(socket) &&
          is_served(socket, listener.counted.key) && !contains(keys, key_of(socket))) {
        keys.push_back(key_of(socket));
      }
    }
  }
  return keys;
}

// Writes which sockets can have one of the addresses. A bit that stays set is never cleared in between.
Status note_served(const Objects& objects) {
  monitor_served now{};
  TRY((for_each_entry<ServiceKey, std::uint32_t>(objects.map("services"), [&now](const ServiceKey& key, std::uint32_t) {
    monitor_service_key service{};
    std::memcpy(&service, key.data(), sizeof(service));
    if (service.family == AF_UNIX) {
      monitor_unix_address address{};
      std::memcpy(&address, service.address, sizeof(address));
      now.names |= std::uint64_t{1} << (address.length % 64);
    } else {
      now.ports[service.port / 64] |= std::uint64_t{1} << (service.port % 64);
    }
  })));
  for (std::size_t word = 0; word < std::size(now.ports); ++word) {
    __atomic_store_n(&objects.served->ports[word], now.ports[word], __ATOMIC_RELAXED);
  }
  __atomic_store_n(&objects.served->names, now.names, __ATOMIC_RELAXED);
  return Ok{};
}

}  // namespace

Status note_services(const Objects& objects, unsigned target, const SocketList& list) {
  const monitor_target_settings settings = TRY(read_settings(objects, target));
  const std::vector<ServiceKey> now = TRY(served(objects, target, list, settings.main));
  // While the target is being added, its root has no entry yet.
  if (now.empty() || (settings.since_ns != 0 && !TRY(root_lives(objects, target)))) {
    return Ok{};
  }
  const int services = objects.map("services").fd();
  const std::vector<ServiceKey> before = TRY(services_of(objects, target));
  bool changed = false;
  for (const ServiceKey& key : before) {
    if (!contains(now, key)) {
      bpf_map_delete_elem(services, key.data());
      changed = true;
    }
  }
  for (const ServiceKey& key : now) {
    std::uint32_t owner = target;
    if (contains(before, key) || (bpf_map_lookup_elem(services, key.data(), &owner) == 0 && owner != target &&
                                  TRY(root_lives(objects, owner)))) {
      continue;  // two targets can share an address: the first one has it
    }
    owner = target;
    if (bpf_map_update_elem(services, key.data(), &owner, BPF_ANY) != 0) {
      return system_error(errno, "write the map services");
    }
    changed = true;
  }
  return changed ? note_served(objects) : Status(Ok{});
}

Status forget_services(const Objects& objects, unsigned target) {
  for (const ServiceKey& key : TRY(services_of(objects, target))) {
    bpf_map_delete_elem(objects.map("services").fd(), key.data());
  }
  return note_served(objects);
}

Status settle_orphans(const Objects& objects) {
  std::uint64_t since = __atomic_load_n(&*objects.orphaned_ns, __ATOMIC_SEQ_CST);
  for (unsigned target = 0; target < objects.map("targets").max_entries() && since != 0; ++target) {
    const monitor_target_settings settings = TRY(read_settings(objects, target));
    if (settings.state != TARGET_FREE && !TRY(root_lives(objects, target))) {
      return Ok{};
    }
  }
  // Unless another root has ended meanwhile.
  __atomic_compare_exchange_n(&*objects.orphaned_ns, &since, std::uint64_t{0}, false, __ATOMIC_SEQ_CST,
                              __ATOMIC_SEQ_CST);
  return Ok{};
}

}  // namespace monitor
