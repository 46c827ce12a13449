// SPDX-License-Identifier: Apache-2.0
#include "session/load.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <monitor/abi.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <utility>

#include "base/boot_clock.h"
#include "engine.skel.h"
#include "engine_syscall.skel.h"
#include "session/load_error.h"

namespace monitor {
namespace {

struct DestroySkeleton {
  void operator()(engine_bpf* skeleton) const { engine_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<engine_bpf, DestroySkeleton>;

// What libbpf said last, for the error that follows, and whether to show it. Its print callback is one for the whole
// process and is given no context, so these cannot be members.
thread_local std::string last_words;   // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
thread_local bool show_words = false;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

__attribute__((format(printf, 2, 0))) int hear_libbpf(libbpf_print_level level, const char* format, va_list arguments) {
  std::array<char, 512> text{};
  const int length = std::vsnprintf(text.data(), text.size(), format, arguments);
  if (show_words) {
    std::fputs(text.data(), stderr);
  }
  // The first warning names what failed; the ones behind it only that it did.
  if (level == LIBBPF_WARN && last_words.empty()) {
    last_words = text.data();
    std::replace(last_words.begin(), last_words.end(), '\n', ' ');
    while (!last_words.empty() && last_words.back() == ' ') {
      last_words.pop_back();
    }
  }
  return length;
}

Error load_error(std::string_view operation, int saved_errno) {
  return explain_load_error(operation, saved_errno, last_words, machine_state());
}

constexpr const char* kSocketProfile = "socket";
constexpr const char* kSyscallProfile = "syscall";

// Sizes and settings that must be known before the load.
Status configure(engine_bpf& bpf, const EngineOptions& options, bool by_address) {
  const std::uint32_t endpoints = options.max_endpoints + SPECIAL_ENDPOINTS * options.max_targets;
  select_programs(bpf, by_address, Part::kAllButUnix);
  bpf.rodata->raw_paths = options.raw_paths;
  for (const auto& [map, entries] : {std::pair{bpf.maps.endpoint_index, endpoints},
                                     {bpf.maps.endpoint_table, endpoints},
                                     {bpf.maps.free_endpoints, endpoints},
                                     {bpf.maps.targets, options.max_targets},
                                     {bpf.maps.target_settings, options.max_targets},
                                     {bpf.maps.addressed_connections, options.max_connections}}) {
    if (bpf_map__set_max_entries(map, entries) != 0) {
      return system_error(errno, std::string("size the map ") + bpf_map__name(map));
    }
  }
  return Ok{};
}

// The object with the programs of the profile, opened; null, and errno set, where that fails.
Skeleton open_skeleton(bool by_address) {
  // NOLINTNEXTLINE(cppcoreguidelines-no-malloc): engine_bpf__destroy frees it
  Skeleton skeleton{static_cast<engine_bpf*>(std::calloc(1, sizeof(engine_bpf)))};
  if (!skeleton || engine_bpf__create_skeleton(skeleton.get()) != 0) {
    return nullptr;
  }
  if (by_address) {
    bpf_object_skeleton& parts = *skeleton->skeleton;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): libbpf only reads it
    parts.data = const_cast<void*>(engine_syscall_bpf__elf_bytes(&parts.data_sz));
  }
  return bpf_object__open_skeleton(skeleton->skeleton, nullptr) == 0 ? std::move(skeleton) : nullptr;
}

// Opens and loads the programs of one profile.
Result<Skeleton> load_profile(const EngineOptions& options, bool by_address) {
  last_words.clear();
  Skeleton skeleton = open_skeleton(by_address);
  if (!skeleton) {
    return load_error("open the BPF object", errno);
  }
  if (Status status = configure(*skeleton, options, by_address); !status) {
    return std::move(status).error();
  }
  if (const int failed = engine_bpf__load(skeleton.get()); failed != 0) {
    return load_error("load the BPF programs", -failed);
  }
  return skeleton;
}

struct FreeBtf {
  void operator()(btf* kernel) const { btf__free(kernel); }
};

// Of the tracepoints that the profile "socket" needs, one that this kernel lacks; empty when it has them, or does not
// tell. Asked for when a load has failed, whose own words do not tell without CAP_SYS_ADMIN: see
// bpf/engine_syscall.bpf.c.
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

// The profile asked for; "auto" is "socket" where the kernel has its tracepoints.
Result<Skeleton> load_skeleton(const EngineOptions& options) {
  if (options.profile != "auto" && options.profile != kSocketProfile && options.profile != kSyscallProfile) {
    return Error{ErrorCode::kUnsupported, "there is no profile \"" + options.profile + "\"",
                 "use --profile socket (Linux 6.3 and later), --profile syscall (any), or leave it out"};
  }
  Result<Skeleton> skeleton = load_profile(options, options.profile == kSyscallProfile);
  if (skeleton || options.profile == kSyscallProfile) {
    return skeleton;
  }
  const std::string lacking = lacking_tracepoint();
  if (lacking.empty()) {
    return skeleton;
  }
  if (options.profile == kSocketProfile) {
    return explain_load_error("load the BPF programs", ESRCH, lacking, machine_state());
  }
  return load_profile(options, true);
}

// A descriptor that outlives the skeleton's.
Result<Fd> keep(int fd, const std::string& name) {
  Fd kept{::fcntl(fd, F_DUPFD_CLOEXEC, 3)};
  if (!kept) {
    return system_error(errno, "keep " + name);
  }
  return kept;
}

// The map called `name`; those that hold a variable are called after their sections.
bpf_map* find_map(const engine_bpf& bpf, const std::string& name) {
  if (name == "iter_request") {
    return bpf.maps.data_iter_request;
  }
  return name == "followed" ? bpf.maps.data_followed : bpf_object__find_map_by_name(bpf.obj, name.c_str());
}

// Those that were loaded.
Status take_programs(const engine_bpf& bpf, Objects& objects) {
  Status status = Ok{};
  for_each_program(objects, [&](const std::string& name, Program& program, bool) {
    const int fd = bpf_program__fd(bpf_object__find_program_by_name(bpf.obj, name.c_str()));
    if (fd < 0) {
      return;
    }
    Result<Fd> kept = keep(fd, name);
    if (kept) {
      program = Program(name, *std::move(kept));
    } else {
      status = std::move(kept).error();
    }
  });
  return status;
}

Result<Objects> take_objects(const engine_bpf& bpf) {
  Objects objects;
  Status status = Ok{};
  for_each_map(objects, [&](const std::string& name, Map& map, std::size_t, std::size_t) {
    Result<Fd> fd = keep(bpf_map__fd(find_map(bpf, name)), name);
    Result<Map> made = fd ? Map::of(name, *std::move(fd)) : std::move(fd).error();
    if (made) {
      map = *std::move(made);
    } else {
      status = std::move(made).error();
    }
  });
  if (status) {
    status = take_programs(bpf, objects);
  }
  if (status) {
    status = objects.share();
  }
  return status ? Result<Objects>(std::move(objects)) : std::move(status).error();
}

// All slots of a table become free: the queue takes each.
Status fill_free_slots(const Map& queue) {
  for (std::uint32_t slot = 0; slot < queue.max_entries(); ++slot) {
    if (bpf_map_update_elem(queue.fd(), nullptr, &slot, BPF_ANY) != 0) {
      return system_error(errno, "fill the map " + queue.name());
    }
  }
  return Ok{};
}

Status describe(const Objects& objects, const EngineOptions& options) {
  monitor_engine about{};
  about.abi_version = MONITOR_ABI_VERSION;
  about.by_address = objects.on_syscall ? 1 : 0;
  about.raw_paths = options.raw_paths ? 1 : 0;
  about.loaded_ns = nanoseconds_since_boot();
  std::strncpy(about.version, options.version.c_str(), sizeof(about.version) - 1);
  const std::uint32_t first = 0;
  if (bpf_map_update_elem(objects.engine.fd(), &first, &about, BPF_ANY) != 0) {
    return system_error(errno, "write the map engine");
  }
  return Ok{};
}

// Of the hooks, those on Unix sockets wait until a target is found to listen on one.
Status attach_hooks(Loaded& loaded) {
  const Objects& o = loaded.objects;
  for (const Program* program :
       {&o.on_received, &o.on_sent, &o.on_syscall, &o.on_state, &o.on_state_too, &o.on_fork, &o.on_exit}) {
    if (!*program) {
      continue;
    }
    Result<Link> link = attach_hook(*program);
    if (!link) {
      return std::move(link).error();
    }
    loaded.links.push_back(*std::move(link));
  }
  return Ok{};
}

}  // namespace

void select_programs(engine_bpf& bpf, bool by_address, Part part) {
  const bool unix = part == Part::kUnix;
  bpf.rodata->by_address = by_address;
  const auto select = [](bpf_program* program, bool on) { bpf_program__set_autoload(program, on); };
  for (bpf_program* program : {bpf.progs.on_received, bpf.progs.on_sent, bpf.progs.iterate_connections}) {
    select(program, !unix && !by_address);
  }
  for (bpf_program* program :
       {bpf.progs.on_state, bpf.progs.on_state_too, bpf.progs.on_fork, bpf.progs.on_exit, bpf.progs.iterate_sockets,
        bpf.progs.iterate_addressed, bpf.progs.evict, bpf.progs.sweep, bpf.progs.correct, bpf.progs.note_open}) {
    select(program, !unix);
  }
  select(bpf.progs.on_syscall, !unix && by_address);
  for (bpf_program* program : {bpf.progs.on_unix_received, bpf.progs.on_unix_sent}) {
    select(program, unix && !by_address);
  }
  select(bpf.progs.on_close, unix);
}

Result<Link> attach_hook(const Program& program) {
  Fd link{bpf_raw_tracepoint_open(nullptr, program.fd())};
  if (!link) {
    return load_error("attach " + program.name(), errno);
  }
  return Link{program.name(), std::move(link)};
}

Status load_unix_hooks(Objects& objects) {
  monitor_engine about{};
  const std::uint32_t first = 0;
  if (bpf_map_lookup_elem(objects.engine.fd(), &first, &about) != 0) {
    return system_error(errno, "read the map engine");
  }
  last_words.clear();
  libbpf_set_print(hear_libbpf);
  const Skeleton skeleton = open_skeleton(about.by_address != 0);
  if (!skeleton) {
    return load_error("open the BPF object", errno);
  }
  select_programs(*skeleton, about.by_address != 0, Part::kUnix);
  skeleton->rodata->raw_paths = about.raw_paths != 0;
  int failed = 0;
  for_each_map(objects, [&](const std::string& name, const Map& map, std::size_t, std::size_t) {
    failed = failed != 0 ? failed : bpf_map__reuse_fd(find_map(*skeleton, name), map.fd());
  });
  if (failed == 0) {
    failed = engine_bpf__load(skeleton.get());
  }
  if (failed != 0) {
    return load_error("load the BPF programs for Unix sockets", -failed);
  }
  return take_programs(*skeleton, objects);
}

Result<Loaded> load_objects(const EngineOptions& options) {
  const MachineState machine = machine_state();
  if (!machine.missing_capabilities.empty()) {
    return explain_load_error("load the BPF programs", EPERM, "", machine);
  }
  show_words = options.verbose;
  libbpf_set_print(hear_libbpf);
  Result<Skeleton> skeleton = load_skeleton(options);
  if (!skeleton) {
    return std::move(skeleton).error();
  }
  Result<Objects> objects = take_objects(**skeleton);
  if (!objects) {
    return std::move(objects).error();
  }
  Loaded loaded{*std::move(objects), {}};
  for (const Map* queue : {&loaded.objects.free_endpoints, &loaded.objects.free_workers}) {
    if (Status status = fill_free_slots(*queue); !status) {
      return std::move(status).error();
    }
  }
  if (Status status = describe(loaded.objects, options); !status) {
    return std::move(status).error();
  }
  if (Status status = attach_hooks(loaded); !status) {
    return std::move(status).error();
  }
  return loaded;
}

}  // namespace monitor
