// SPDX-License-Identifier: Apache-2.0
#include "session/load.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <monitor/abi.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/boot_clock.h"
#include "engine.skel.h"
#include "session/libbpf_messages.h"
#include "session/load_error.h"
#include "session/skeleton.h"

namespace monitor {
namespace {

constexpr const char* kLoad = "load the BPF programs";

// The number of entries that the options set for a map, or 0 if bpf/ sets it.
std::uint32_t entries_of(const MapRow& row, const EngineOptions& options) {
  switch (row.limit) {
    case MapLimit::kTargets:
      return options.max_targets;
    case MapLimit::kEndpoints:
      // and the special ones of the two listeners that most targets have: their own, and the unknown one
      return options.max_endpoints + 2 * SPECIAL_ENDPOINTS * options.max_targets;
    case MapLimit::kConnections:
      return options.max_connections;
    case MapLimit::kRouteStates:
      return options.routes ? static_cast<std::uint32_t>(options.routes->states.size()) : 1;
    case MapLimit::kRoutes:
      return options.routes ? static_cast<std::uint32_t>(options.routes->routes.size()) : 1;
    case MapLimit::kFixed:
      break;
  }
  return 0;
}

// Sets what the kernel must know before the load.
Status configure(engine_bpf& bpf, const EngineOptions& options, Profile profile) {
  select_programs(bpf, profile, "core");
  bpf.rodata->raw_paths = options.raw_paths;
  bpf.rodata->show_secrets = options.show_secrets;
  bpf.rodata->has_routes = options.routes != nullptr;
  bpf.rodata->endpoint_slots = entries_of(kMaps[MapId("endpoint_table").index()], options);
  for (const MapRow& row : kMaps) {
    const std::uint32_t entries = entries_of(row, options);
    if (entries != 0 && bpf_map__set_max_entries(find_map(bpf, row), entries) != 0) {
      return system_error(errno, std::string("size the map ") + row.name);
    }
  }
  return Ok{};
}

Result<Skeleton> load_profile(const EngineOptions& options, Profile profile) {
  capture_libbpf_messages();
  Skeleton skeleton = open_skeleton(profile);
  if (!skeleton) {
    return libbpf_error("open the BPF object", errno);
  }
  TRY(configure(*skeleton, options, profile));
  if (const int failed = engine_bpf__load(skeleton.get()); failed != 0) {
    return libbpf_error(kLoad, -failed);
  }
  return skeleton;
}

struct FreeBtf {
  void operator()(btf* kernel) const { btf__free(kernel); }
};

// Returns a tracepoint that the profile "socket" needs and this kernel lacks, or an empty name if the kernel has all of
// them or its BTF cannot be read. Called only after a failed load. Without CAP_SYS_ADMIN libbpf's messages do not name
// the tracepoint (see bpf/engine_syscall.bpf.c).
std::string lacking_tracepoint() {
  const std::unique_ptr<btf, FreeBtf> kernel{btf__load_vmlinux_btf()};
  for (const char* name : {"sock_recv_length", "sock_send_length"}) {
    const std::string type = std::string("btf_trace_") + name;
    if (kernel && btf__find_by_name_kind(kernel.get(), type.c_str(), BTF_KIND_TYPEDEF) < 0) {
      return name;
    }
  }
  return {};
}

// Loads the requested profile; "auto" is "socket" if the kernel has its tracepoints, else "syscall".
Result<Skeleton> load_skeleton(const EngineOptions& options) {
  const std::string socket = name_of(Profile::kSocket);
  const std::string syscall = name_of(Profile::kSyscall);
  if (options.profile != "auto" && options.profile != socket && options.profile != syscall) {
    return Error{ErrorCode::kUnsupported, "unknown profile \"" + options.profile + "\"",
                 "use --profile socket (Linux 6.3 or later) or --profile syscall (any kernel), or omit it"};
  }
  if (options.profile == syscall) {
    return load_profile(options, Profile::kSyscall);
  }
  Result<Skeleton> skeleton = load_profile(options, Profile::kSocket);
  if (skeleton) {
    return skeleton;
  }
  const std::string lacking = lacking_tracepoint();
  if (lacking.empty()) {
    return skeleton;
  }
  if (options.profile == socket) {
    return explain_load_error(kLoad, ESRCH, lacking, machine_state());
  }
  return load_profile(options, Profile::kSyscall);
}

// Duplicates a descriptor of the skeleton, so that the copy outlives it.
Result<Fd> keep(int fd, const std::string& name) {
  Fd kept{::fcntl(fd, F_DUPFD_CLOEXEC, 3)};
  if (!kept) {
    return system_error(errno, "keep " + name);
  }
  return kept;
}

// Takes the programs of the part that was loaded.
Status take_programs(const engine_bpf& bpf, PartId part, Objects& objects) {
  return for_each_program(objects.profile, part, [&](ProgramId id) -> Status {
    const char* const name = id.row().name;
    const int fd = bpf_program__fd(bpf_object__find_program_by_name(bpf.obj, name));
    objects.programs[id.index()] = Program(name, TRY(keep(fd, name)));
    return Ok{};
  });
}

Result<Objects> take_objects(const engine_bpf& bpf) {
  Objects objects;
  objects.profile = bpf.rodata->by_address ? Profile::kSyscall : Profile::kSocket;
  for (std::size_t index = 0; index < kMaps.size(); ++index) {
    const MapRow& row = kMaps[index];
    objects.maps[index] = TRY(Map::of(row.name, TRY(keep(bpf_map__fd(find_map(bpf, row)), row.name))));
  }
  TRY(take_programs(bpf, "core", objects));
  TRY(objects.share());
  return objects;
}

// Puts the numbers of all slots into the queue.
Status fill_free_slots(const Map& queue) {
  for (std::uint32_t slot = 0; slot < queue.max_entries(); ++slot) {
    if (bpf_map_update_elem(queue.fd(), nullptr, &slot, BPF_ANY) != 0) {
      return system_error(errno, "fill the map " + queue.name());
    }
  }
  return Ok{};
}

// Writes the elements of an array from the first one on.
template <typename T>
Status write_array(const Map& map, const std::vector<T>& elements) {
  for (std::uint32_t index = 0; index < elements.size(); ++index) {
    if (bpf_map_update_elem(map.fd(), &index, &elements[index], BPF_ANY) != 0) {
      return system_error(errno, "write the map " + map.name());
    }
  }
  return Ok{};
}

static_assert(sizeof(RouteState) == sizeof(monitor_route_state) &&
              sizeof(RouteMethods) == sizeof(monitor_route_methods) && kRouteMethods == MONITOR_ROUTE_METHODS);

Status write_routes(const Objects& objects, const RouteTable& table) {
  std::vector<monitor_route> names;
  for (const std::string& route : table.routes) {
    monitor_route& name = names.emplace_back();
    name.length = static_cast<__abi_u8>(std::min<std::size_t>(route.size(), MONITOR_PATH_SIZE));
    name.flags = route.size() > MONITOR_PATH_SIZE ? ENDPOINT_PATH_CUT : 0;
    std::memcpy(name.path, route.data(), name.length);
  }
  TRY(write_array(objects.map("route_states"), table.states));
  TRY(write_array(objects.map("routes"), names));
  return write_array(objects.map("route_methods"), std::vector{table.methods});
}

// Writes the map `engine`, for every process that opens this engine later.
Status describe(const Objects& objects, const EngineOptions& options) {
  monitor_engine about{};
  about.abi_version = MONITOR_ABI_VERSION;
  about.by_address = objects.profile == Profile::kSyscall ? 1 : 0;
  about.raw_paths = options.raw_paths ? 1 : 0;
  about.show_secrets = options.show_secrets ? 1 : 0;
  about.loaded_ns = nanoseconds_since_boot();
  about.routes_hash = options.routes ? options.routes->hash : 0;
  std::strncpy(about.version, options.version.c_str(), sizeof(about.version) - 1);
  const std::uint32_t first = 0;
  if (bpf_map_update_elem(objects.map("engine").fd(), &first, &about, BPF_ANY) != 0) {
    return system_error(errno, "write the map engine");
  }
  return Ok{};
}

}  // namespace

Status load_part(Objects& objects, PartId part) {
  monitor_engine about{};
  const std::uint32_t first = 0;
  if (bpf_map_lookup_elem(objects.map("engine").fd(), &first, &about) != 0) {
    return system_error(errno, "read the map engine");
  }
  capture_libbpf_messages();
  const Skeleton skeleton = open_skeleton(objects.profile);
  if (!skeleton) {
    return libbpf_error("open the BPF object", errno);
  }
  select_programs(*skeleton, objects.profile, part);
  skeleton->rodata->raw_paths = about.raw_paths != 0;
  skeleton->rodata->show_secrets = about.show_secrets != 0;
  skeleton->rodata->has_routes = about.routes_hash != 0;
  skeleton->rodata->endpoint_slots = objects.map("endpoint_table").max_entries();
  int failed = 0;
  for (std::size_t index = 0; index < kMaps.size() && failed == 0; ++index) {
    failed = bpf_map__reuse_fd(find_map(*skeleton, kMaps[index]), objects.maps[index].fd());
  }
  if (failed == 0) {
    failed = engine_bpf__load(skeleton.get());
  }
  if (failed != 0) {
    return libbpf_error(std::string("load ") + part.row().programs, -failed);
  }
  return take_programs(*skeleton, part, objects);
}

Result<Objects> load_objects(const EngineOptions& options) {
  const MachineState machine = machine_state();
  if (!machine.missing_capabilities.empty()) {
    return explain_load_error(kLoad, EPERM, "", machine);
  }
  show_libbpf_messages(options.verbose);
  const Skeleton skeleton = TRY(load_skeleton(options));
  Objects objects = TRY(take_objects(*skeleton));
  for (std::size_t index = 0; index < kMaps.size(); ++index) {
    if (kMaps[index].use == MapUse::kFreeSlots) {
      TRY(fill_free_slots(objects.maps[index]));
    }
  }
  if (options.routes) {
    TRY(write_routes(objects, *options.routes));
  }
  TRY(describe(objects, options));
  return objects;
}

}  // namespace monitor
