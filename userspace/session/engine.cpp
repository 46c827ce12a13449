// SPDX-License-Identifier: Apache-2.0
// The life of an engine: loaded, pinned, opened again.
#include "session/engine.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <utility>

#include "session/engine_state.h"
#include "session/load.h"
#include "session/open.h"
#include "session/target_settings.h"

namespace monitor {

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

Result<Engine> Engine::load(const EngineOptions& options) {
  auto state = std::make_unique<State>();
  state->objects = TRY(load_objects(options));
  TRY(for_each_program(state->objects.profile, "core", [&](ProgramId id) -> Status {
    return id.row().is_hook() ? state->links.attach(state->objects, id) : Status(Ok{});
  }));
  state->targets.resize(state->objects.map("targets").max_entries());
  return Engine{std::move(state)};
}

Result<std::optional<Engine>> Engine::open(const Pins& pins, const PinLock& lock) {
  if (!pins.has_engine()) {
    return std::optional<Engine>();
  }
  auto state = std::make_unique<State>();
  state->objects = TRY(open_objects(pins));
  state->links.hand_over(pins);
  TRY(check_attached(pins, state->links, state->objects.profile));
  state->lock_file = TRY(pins.open_lock());
  // A process that held the lock before can have been killed in the middle of something.
  if (lock.exclusive()) {
    *state->objects.iter_request = {};
  }
  state->pins = pins;
  state->identity = pins.identity();
  state->alone = lock.exclusive();
  state->targets.resize(state->objects.map("targets").max_entries());
  return std::optional<Engine>(Engine{std::move(state)});
}

Status Engine::pin(const Pins& pins, const PinLock& lock) {
  const Objects& objects = state_->objects;
  std::vector<Pins::Item> items = state_->links.to_pin();
  for (std::size_t index = 0; index < kMaps.size(); ++index) {
    items.push_back({"maps", kMaps[index].name, objects.maps[index].fd()});
  }
  for (const Program& program : objects.programs) {
    if (program) {
      items.push_back({"programs", program.name(), program.fd()});
    }
  }
  Fd lock_file = TRY(pins.open_lock());
  TRY(pins.pin_all(items, static_cast<unsigned>(state_->targets.size()), lock));
  state_->pins = pins;
  state_->identity = pins.identity();
  state_->lock_file = std::move(lock_file);
  state_->links.hand_over(pins);
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
  const monitor_target_settings settings = TRY(read_settings(state_->objects, target));
  TRY(pins.check_access());
  if (settings.state == TARGET_LEAVING || settings.since_ns != state_->targets.at(target).since_ns ||
      pins.identity() != state_->identity) {
    return Error{ErrorCode::kNoTarget, "the server was detached: its counting has ended", "attach it again"};
  }
  return check_attached(pins, state_->links, state_->objects.profile);
}

Status Engine::watch_listens() {
  state_->listens = TRY(Listens::open(state_->objects.map("listens")));
  return Ok{};
}

int Engine::listens_fd() const {
  return state_->listens ? state_->listens->fd() : -1;
}

std::vector<Listen> Engine::take_listens() {
  return state_->listens ? state_->listens->take() : std::vector<Listen>();
}

Result<EngineInfo> Engine::info() const {
  monitor_engine about{};
  const std::uint32_t first = 0;
  if (bpf_map_lookup_elem(state_->objects.map("engine").fd(), &first, &about) != 0) {
    return system_error(errno, "read the map engine");
  }
  about.version[sizeof(about.version) - 1] = '\0';
  return EngineInfo{about.version,        name_of(state_->objects.profile),
                    about.raw_paths != 0, about.show_secrets != 0,
                    about.routes_hash,    about.loaded_ns};
}

}  // namespace monitor
