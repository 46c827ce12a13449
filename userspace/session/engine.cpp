// SPDX-License-Identifier: Apache-2.0
// Loading, attaching and the registration of targets.
#include "session/engine.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/fd.h"
#include "session/engine_state.h"
#include "session/iterator.h"
#include "session/load_error.h"

namespace monitor {
namespace {

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

// All slots of a table become free: the queue takes each.
Status fill_free_slots(const bpf_map* queue) {
  for (std::uint32_t slot = 0; slot < bpf_map__max_entries(queue); ++slot) {
    if (bpf_map_update_elem(bpf_map__fd(queue), nullptr, &slot, BPF_ANY) != 0) {
      return system_error(errno, std::string("fill the map ") + bpf_map__name(queue));
    }
  }
  return Ok{};
}

bool has_ended(std::uint32_t pid) {
  const Fd process{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
  pollfd readable{process.get(), POLLIN, 0};
  return !process || ::poll(&readable, 1, 0) == 1;
}

// Makes the process's entry, unless the fork hook was first.
Status follow_process(engine_bpf& bpf, std::uint32_t target, std::uint32_t pid) {
  const int free_workers = bpf_map__fd(bpf.maps.free_workers);
  monitor_process process{target, 0};
  if (bpf_map_lookup_and_delete_elem(free_workers, nullptr, &process.worker) != 0) {
    return Error{ErrorCode::kFailed, "follow process " + std::to_string(pid) + ": the table of processes is full",
                 "follow fewer servers at once"};
  }
  monitor_worker worker{};
  worker.pid = pid;
  if (bpf_map_update_elem(bpf_map__fd(bpf.maps.workers), &process.worker, &worker, BPF_ANY) != 0) {
    return system_error(errno, "follow process " + std::to_string(pid));
  }
  if (bpf_map_update_elem(bpf_map__fd(bpf.maps.processes), &pid, &process, BPF_NOEXIST) != 0) {
    const int saved_errno = errno;
    bpf_map_update_elem(free_workers, nullptr, &process.worker, BPF_ANY);
    return saved_errno == EEXIST ? Status{Ok{}} : system_error(saved_errno, "follow process " + std::to_string(pid));
  }
  auto& word = bpf.data_followed->followed[pid / 64];
  const std::uint64_t bit = 1ULL << (pid % 64);
  __atomic_fetch_or(&word, bit, __ATOMIC_SEQ_CST);
  // It may have ended before the bit was there for the exit hook to see: the next process of that id would be followed.
  if (has_ended(pid) && bpf_map_delete_elem(bpf_map__fd(bpf.maps.processes), &pid) == 0) {
    __atomic_fetch_and(&word, ~bit, __ATOMIC_SEQ_CST);
    bpf_map_update_elem(free_workers, nullptr, &process.worker, BPF_ANY);
  }
  return Ok{};
}

constexpr std::array<std::string_view, SPECIAL_ENDPOINTS> kSpecialNames = {"(other)", "(not found)", "(before attach)"};

// Makes one of the endpoints that stand for many. Returns its slot.
Result<std::uint32_t> make_special_endpoint(engine_bpf& bpf, unsigned target, std::string_view name) {
  std::uint32_t id = 0;
  if (bpf_map_lookup_and_delete_elem(bpf_map__fd(bpf.maps.free_endpoints), nullptr, &id) != 0) {
    return Error{ErrorCode::kFailed, "add the server: the table of endpoints is full", "follow fewer servers at once"};
  }
  const int table = bpf_map__fd(bpf.maps.endpoint_table);
  monitor_endpoint endpoint{};
  if (bpf_map_lookup_elem(table, &id, &endpoint) != 0) {
    return system_error(errno, "read the table of endpoints");
  }
  const monitor_endpoint_ref ref{id, static_cast<std::uint32_t>(endpoint.word >> 32)};
  endpoint.key = monitor_endpoint_key{};
  endpoint.key.target = static_cast<std::uint16_t>(target);
  endpoint.key.path_length = static_cast<std::uint8_t>(name.size());
  std::memcpy(endpoint.key.path, name.data(), name.size());
  if (bpf_map_update_elem(table, &id, &endpoint, BPF_ANY) != 0 ||
      bpf_map_update_elem(bpf_map__fd(bpf.maps.endpoint_index), &endpoint.key, &ref, BPF_ANY) != 0) {
    return system_error(errno, "write the table of endpoints");
  }
  return id;
}

Status set_target_state(engine_bpf& bpf, std::uint32_t target, monitor_target_state state) {
  const int fd = bpf_map__fd(bpf.maps.target_settings);
  monitor_target_settings settings{};
  if (bpf_map_lookup_elem(fd, &target, &settings) != 0) {
    return system_error(errno, "read the target's settings");
  }
  settings.state = state;
  if (bpf_map_update_elem(fd, &target, &settings, BPF_ANY) != 0) {
    return system_error(errno, "write the target's settings");
  }
  return Ok{};
}

// Sizes and settings that must be known before the load.
Status configure(engine_bpf& bpf, const EngineOptions& options, bool by_address) {
  const std::uint32_t endpoints = options.max_endpoints + SPECIAL_ENDPOINTS * MONITOR_MAX_TARGETS;
  select_programs(bpf, by_address, options.unix_sockets);
  bpf.rodata->raw_paths = options.raw_paths;
  for (bpf_map* map : {bpf.maps.endpoint_index, bpf.maps.endpoint_table, bpf.maps.free_endpoints}) {
    if (bpf_map__set_max_entries(map, endpoints) != 0) {
      return system_error(errno, "size the table of endpoints");
    }
  }
  return Ok{};
}

constexpr const char* kSocketProfile = "socket";
constexpr const char* kSyscallProfile = "syscall";

// Opens and loads the programs of one profile.
Result<Skeleton> load_profile(const EngineOptions& options, bool by_address) {
  last_words.clear();
  Skeleton skeleton{engine_bpf__open()};
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

// The profile asked for; "auto" is "socket" where the kernel has its tracepoints.
Result<Skeleton> load_skeleton(const EngineOptions& options, std::string& profile) {
  if (options.profile != "auto" && options.profile != kSocketProfile && options.profile != kSyscallProfile) {
    return Error{ErrorCode::kUnsupported, "there is no profile \"" + options.profile + "\"",
                 "use --profile socket (Linux 6.3 and later), --profile syscall (any), or leave it out"};
  }
  profile = options.profile == "auto" ? kSocketProfile : options.profile;
  Result<Skeleton> skeleton = load_profile(options, profile == kSyscallProfile);
  if (!skeleton && options.profile == "auto" && lacks_socket_tracepoints(last_words)) {
    profile = kSyscallProfile;
    return load_profile(options, true);
  }
  return skeleton;
}

}  // namespace

void select_programs(engine_bpf& bpf, bool by_address, bool unix_sockets) {
  bpf.rodata->by_address = by_address;
  for (bpf_program* program : {bpf.progs.on_received, bpf.progs.on_sent, bpf.progs.look_at_connections}) {
    bpf_program__set_autoload(program, !by_address);
  }
  for (bpf_program* program : {bpf.progs.on_unix_received, bpf.progs.on_unix_sent}) {
    bpf_program__set_autoload(program, unix_sockets && !by_address);
  }
  bpf_program__set_autoload(bpf.progs.on_close, unix_sockets);
  bpf_program__set_autoload(bpf.progs.on_syscall, by_address);
  for (bpf_program* program :
       {bpf.progs.look_at_sockets, bpf.progs.look_at_connections, bpf.progs.look_at_addressed, bpf.progs.correct,
        bpf.progs.evict, bpf.progs.sweep, bpf.progs.on_unix_received, bpf.progs.on_unix_sent, bpf.progs.on_close}) {
    bpf_program__set_autoattach(program, false);
  }
}

Status attach_unix_hooks(engine_bpf& bpf, Links& links) {
  if (!links.empty()) {
    return Ok{};
  }
  for (bpf_program* program : {bpf.progs.on_unix_received, bpf.progs.on_unix_sent, bpf.progs.on_close}) {
    if (bpf_program__fd(program) < 0) {
      continue;  // the profile's own hook is for all sockets, or none was expected to be needed
    }
    bpf_link* link = bpf_program__attach(program);
    if (link == nullptr) {
      return system_error(errno, std::string("attach ") + bpf_program__name(program));
    }
    links.emplace_back(link);
  }
  return Ok{};
}

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

const std::string& Engine::profile() const {
  return state_->profile;
}

Result<Engine> Engine::load(const EngineOptions& options) {
  const MachineState machine = machine_state();
  if (!machine.missing_capabilities.empty()) {
    return explain_load_error("load the BPF programs", EPERM, "", machine);
  }
  show_words = options.verbose;
  libbpf_set_print(hear_libbpf);
  auto state = std::make_unique<State>();
  Result<Skeleton> skeleton = load_skeleton(options, state->profile);
  if (!skeleton) {
    return std::move(skeleton).error();
  }
  state->skeleton = *std::move(skeleton);
  for (const bpf_map* queue : {state->bpf().maps.free_endpoints, state->bpf().maps.free_workers}) {
    if (Status status = fill_free_slots(queue); !status) {
      return std::move(status).error();
    }
  }
  if (const int failed = engine_bpf__attach(state->skeleton.get()); failed != 0) {
    return load_error("attach the BPF programs", -failed);
  }
  return Engine{std::move(state)};
}

Result<unsigned> Engine::add_target(const std::vector<pid_t>& processes) {
  auto& targets = state_->targets;
  const auto free = std::find_if(targets.begin(), targets.end(), [](const TargetState& t) { return !t.in_use; });
  if (free == targets.end()) {
    return Error{ErrorCode::kFailed,
                 "add the server: " + std::to_string(MONITOR_MAX_TARGETS) + " servers are followed already",
                 "stop following one of them"};
  }
  const auto target = static_cast<std::uint32_t>(free - targets.begin());
  monitor_target_settings settings{};
  settings.state = TARGET_FOLLOWED;
  for (std::size_t i = 0; i < kSpecialNames.size(); ++i) {
    Result<std::uint32_t> id = make_special_endpoint(state_->bpf(), target, kSpecialNames[i]);
    if (!id) {
      return std::move(id).error();
    }
    settings.special[i] = *id;
  }
  if (bpf_map_update_elem(bpf_map__fd(state_->bpf().maps.target_settings), &target, &settings, BPF_ANY) != 0) {
    return system_error(errno, "write the target's settings");
  }
  Result<std::uint64_t> misses = recursion_misses(state_->bpf());
  if (!misses) {
    return std::move(misses).error();
  }
  *free = TargetState{};
  free->in_use = true;
  free->since = std::chrono::steady_clock::now();
  free->misses_before = free->misses_reconciled = *misses;
  if (Status status = add_processes(target, processes); !status) {
    return std::move(status).error();
  }
  return target;
}

Status Engine::add_processes(unsigned target, const std::vector<pid_t>& processes) {
  auto& bpf = state_->bpf();
  const int processes_fd = bpf_map__fd(bpf.maps.processes);
  std::vector<pid_t> added;
  for (const pid_t pid : processes) {
    monitor_process known{};
    const auto key = static_cast<std::uint32_t>(pid);
    if (bpf_map_lookup_elem(processes_fd, &key, &known) != 0) {
      added.push_back(pid);
    } else if (known.target != target) {
      return Error{ErrorCode::kFailed,
                   "process " + std::to_string(pid) + " belongs to a server that is followed already", ""};
    }
  }
  if (added.empty()) {
    return Ok{};
  }
  // The listening ports first: of a socket met while this runs only its port tells whose side it is.
  Result<SocketsLook> look = look_at_sockets(target, processes);
  if (!look) {
    return std::move(look).error();
  }
  for (const std::uint16_t port : look->listen_ports) {
    const std::uint32_t key = target << 16 | port;
    const std::uint8_t listens = 1;
    if (bpf_map_update_elem(bpf_map__fd(bpf.maps.listen_ports), &key, &listens, BPF_ANY) != 0) {
      return system_error(errno, "note the listening port " + std::to_string(port));
    }
  }
  if (Status status = set_target_state(bpf, target, TARGET_REGISTERING); !status) {
    return status;
  }
  for (const pid_t pid : added) {
    if (Status status = follow_process(bpf, target, static_cast<std::uint32_t>(pid)); !status) {
      return status;
    }
  }
  bpf.bss->adopting = target + 1;
  for (const pid_t pid : added) {
    bpf_iter_link_info info{};
    info.task.pid = static_cast<std::uint32_t>(pid);
    Result<std::vector<char>> read = read_iterator(bpf.progs.look_at_sockets, info);
    if (!read) {
      bpf.bss->adopting = 0;
      return std::move(read).error();
    }
  }
  bpf.bss->adopting = 0;
  return set_target_state(bpf, target, TARGET_FOLLOWED);
}

}  // namespace monitor
