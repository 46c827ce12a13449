// SPDX-License-Identifier: Apache-2.0
#include "session/services.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/contains.h"
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

std::vector<ServiceKey> served(const SocketList& list, pid_t root) {
  std::vector<ServiceKey> by_root;
  std::vector<ServiceKey> by_any;
  for (const ListedSocket& socket : list.sockets) {
    if (is_listening(socket) && socket.local_port != 0) {
      by_any.push_back(key_of(socket));
      if (static_cast<pid_t>(socket.pid) == root) {
        by_root.push_back(by_any.back());
      }
    }
  }
  return by_root.empty() ? by_any : by_root;
}

}  // namespace

Status note_services(const Objects& objects, unsigned target, const SocketList& list) {
  const monitor_target_settings settings = TRY(read_settings(objects, target));
  const std::vector<ServiceKey> now = served(list, static_cast<pid_t>(settings.root));
  // While the target is being added, its root has no entry yet.
  if (now.empty() || (settings.since_ns != 0 && !TRY(root_lives(objects, target)))) {
    return Ok{};
  }
  const int services = objects.map("services").fd();
  const std::vector<ServiceKey> before = TRY(services_of(objects, target));
  for (const ServiceKey& key : before) {
    if (!contains(now, key)) {
      bpf_map_delete_elem(services, key.data());
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
  }
  return Ok{};
}

Status forget_services(const Objects& objects, unsigned target) {
  for (const ServiceKey& key : TRY(services_of(objects, target))) {
    bpf_map_delete_elem(objects.map("services").fd(), key.data());
  }
  return Ok{};
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
