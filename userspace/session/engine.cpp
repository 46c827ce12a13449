// SPDX-License-Identifier: Apache-2.0
// The engine as a whole: loaded, pinned, found again.
#include "session/engine.h"

#include <bpf/bpf.h>
#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "session/engine_state.h"

namespace monitor {
namespace {

Error damaged(const Pins& pins, const std::string& missing, const std::string& why) {
  return Error{ErrorCode::kFailed, "the engine attached at " + pins.directory() + " is damaged: " + missing + " " + why,
               "remove what is left of it with monitor detach --all, and attach again"};
}

// A map of the engine, which must look as this program knows it.
Result<Map> open_map(const Pins& pins, const std::string& name, std::size_t key_size, std::size_t value_size) {
  if (!pins.has("maps", name)) {
    return damaged(pins, "maps/" + name, "is missing");
  }
  Result<Fd> fd = pins.open("maps", name);
  if (!fd) {
    return std::move(fd).error();
  }
  Result<Map> map = Map::of(name, *std::move(fd));
  if (map && ((key_size != 0 && map->key_size() != key_size) || (value_size != 0 && map->value_size() != value_size))) {
    return damaged(pins, "maps/" + name, "is of another size than it should be");
  }
  return map;
}

// First of all: what this program knows of the other maps holds for its own version only.
Status check_version(const Pins& pins) {
  Result<Map> map = open_map(pins, "engine", sizeof(std::uint32_t), 0);
  if (!map) {
    return std::move(map).error();
  }
  std::vector<char> value(map->value_size());
  const std::uint32_t first = 0;
  std::uint32_t version = 0;
  if (value.size() < sizeof(version) || bpf_map_lookup_elem(map->fd(), &first, value.data()) != 0) {
    return damaged(pins, "maps/engine", "cannot be read");
  }
  std::memcpy(&version, value.data(), sizeof(version));
  if (version == MONITOR_ABI_VERSION) {
    return Ok{};
  }
  return Error{ErrorCode::kUnsupported,
               "the engine attached at " + pins.directory() +
                   " was attached by another version of monitor: its ABI is " + std::to_string(version) +
                   ", this one's is " + std::to_string(MONITOR_ABI_VERSION),
               "use that version, or end its counting with monitor detach --all and attach again"};
}

// Attached when a server is found that needs them.
bool is_on_demand(const std::string& hook) {
  return hook == "on_unix_received" || hook == "on_unix_sent" || hook == "on_close";
}

Error missing_link(const Pins& pins, const std::string& name) {
  return damaged(pins, "links/" + name, "is missing, so that something is not counted");
}

// A program, and the pin that keeps it attached. Which ones there must be depends on the profile.
Status open_program(const Pins& pins, const std::string& name, bool hook, Program& program) {
  if (!pins.has("programs", name)) {
    return Ok{};
  }
  Result<Fd> fd = pins.open("programs", name);
  if (!fd) {
    return std::move(fd).error();
  }
  if (hook && !is_on_demand(name) && !pins.has("links", name)) {
    return missing_link(pins, name);
  }
  program = Program(name, *std::move(fd));
  return Ok{};
}

Status check_complete(const Pins& pins, const Objects& o) {
  std::vector<std::pair<const char*, const Program*>> needed = {{"on_state", &o.on_state},
                                                                {"on_state_too", &o.on_state_too},
                                                                {"on_fork", &o.on_fork},
                                                                {"on_exit", &o.on_exit},
                                                                {"evict", &o.evict},
                                                                {"sweep", &o.sweep},
                                                                {"correct", &o.correct},
                                                                {"note_open", &o.note_open},
                                                                {"iterate_sockets", &o.iterate_sockets},
                                                                {"iterate_addressed", &o.iterate_addressed}};
  if (!o.on_syscall) {
    needed.insert(
        needed.end(),
        {{"on_received", &o.on_received}, {"on_sent", &o.on_sent}, {"iterate_connections", &o.iterate_connections}});
  }
  for (const auto& [name, program] : needed) {
    if (!*program) {
      return damaged(pins, std::string("programs/") + name, "is missing");
    }
  }
  return Ok{};
}

Result<Objects> open_objects(const Pins& pins) {
  Objects objects;
  Status status = Ok{};
  for_each_map(objects, [&](const std::string& name, Map& map, std::size_t key_size, std::size_t value_size) {
    if (!status) {
      return;
    }
    Result<Map> opened = open_map(pins, name, key_size, value_size);
    if (opened) {
      map = *std::move(opened);
    } else {
      status = std::move(opened).error();
    }
  });
  for_each_program(objects, [&](const std::string& name, Program& program, bool hook) {
    if (status) {
      status = open_program(pins, name, hook, program);
    }
  });
  if (status) {
    status = check_complete(pins, objects);
  }
  if (status) {
    status = objects.share();
  }
  return status ? Result<Objects>(std::move(objects)) : std::move(status).error();
}

}  // namespace

Turn::Turn(const Fd& lock_file, bool alone) : fd_(lock_file.get()), alone_(alone) {
  constexpr int kTries = 40;
  constexpr std::chrono::microseconds kPause{500};
  for (int tries = 0; !alone_ && !locked_ && tries < kTries; ++tries) {
    if (tries != 0) {
      std::this_thread::sleep_for(kPause);
    }
    locked_ = ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
  }
}

Turn::~Turn() {
  if (locked_) {
    ::flock(fd_, LOCK_UN);
  }
}

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

Result<Engine> Engine::load(const EngineOptions& options) {
  Result<Loaded> loaded = load_objects(options);
  if (!loaded) {
    return std::move(loaded).error();
  }
  auto state = std::make_unique<State>();
  state->objects = std::move(loaded->objects);
  state->links = std::move(loaded->links);
  state->targets.resize(state->objects.targets.max_entries());
  return Engine{std::move(state)};
}

Result<std::optional<Engine>> Engine::open(const Pins& pins, const PinLock& lock) {
  if (!pins.exist()) {
    return std::optional<Engine>();
  }
  if (Status status = check_version(pins); !status) {
    return std::move(status).error();
  }
  Result<Objects> objects = open_objects(pins);
  if (!objects) {
    return std::move(objects).error();
  }
  Result<Fd> lock_file = pins.open_lock();
  if (!lock_file) {
    return std::move(lock_file).error();
  }
  auto state = std::make_unique<State>();
  state->objects = *std::move(objects);
  // Whoever held the lock before may have been killed in the middle of something.
  if (lock.exclusive()) {
    *state->objects.iter_request = {};
  }
  state->pins = pins;
  state->identity = pins.identity();
  state->alone = lock.exclusive();
  state->lock_file = *std::move(lock_file);
  state->targets.resize(state->objects.targets.max_entries());
  return std::optional<Engine>(Engine{std::move(state)});
}

Status Engine::pin(const Pins& pins, const PinLock& lock) {
  std::vector<Pins::Item> items;
  for_each_map(state_->objects, [&](const std::string& name, const Map& map, std::size_t, std::size_t) {
    items.push_back({"maps", name, map.fd()});
  });
  for_each_program(state_->objects, [&](const std::string& name, const Program& program, bool) {
    if (program) {
      items.push_back({"programs", name, program.fd()});
    }
  });
  for (const Link& link : state_->links) {
    items.push_back({"links", link.name, link.fd.get()});
  }
  Result<Fd> lock_file = pins.open_lock();
  if (!lock_file) {
    return std::move(lock_file).error();
  }
  if (Status status = pins.store(items, state_->objects.targets.max_entries(), lock); !status) {
    return status;
  }
  state_->pins = pins;
  state_->identity = pins.identity();
  state_->lock_file = *std::move(lock_file);
  state_->links.clear();
  return Ok{};
}

bool Engine::is_pinned() const {
  return state_->pins.has_value();
}

Status Engine::check_counts(unsigned target) const {
  if (!is_pinned() || state_->alone) {
    return Ok{};
  }
  const Pins& pins = *state_->pins;
  const Result<monitor_target_settings> settings = read_settings(state_->objects, target);
  if (!settings) {
    return settings.error();
  }
  if (settings->state == TARGET_LEAVING || settings->since_ns != state_->targets.at(target).since_ns ||
      pins.identity() != state_->identity) {
    return Error{ErrorCode::kNoTarget, "the server was detached: its counting has ended", "attach it again"};
  }
  Status status = Ok{};
  for_each_program(state_->objects, [&](const std::string& name, const Program& program, bool hook) {
    if (program && hook && !is_on_demand(name) && !pins.has("links", name)) {
      status = missing_link(pins, name);
    }
  });
  return status;
}

Result<EngineInfo> Engine::info() const {
  monitor_engine about{};
  const std::uint32_t first = 0;
  if (bpf_map_lookup_elem(state_->objects.engine.fd(), &first, &about) != 0) {
    return system_error(errno, "read the map engine");
  }
  about.version[sizeof(about.version) - 1] = '\0';
  return EngineInfo{about.version, about.by_address != 0 ? "syscall" : "socket", about.raw_paths != 0, about.loaded_ns};
}

}  // namespace monitor
