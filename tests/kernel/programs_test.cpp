// SPDX-License-Identifier: Apache-2.0
// The engine's programs on the running kernel: they load, within the bound on the verifier's work, and leave nothing.
#include "session/programs.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <doctest/doctest.h>
#include <monitor/abi.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine.skel.h"
#include "session/engine.h"
#include "session/links.h"
#include "session/load.h"
#include "session/maps.h"
#include "session/pins.h"
#include "session/skeleton.h"

namespace monitor {
namespace {

constexpr std::uint32_t kMostVerifiedInstructions = 300'000;

struct FreeBtf {
  void operator()(btf* b) const { btf__free(b); }
};

bpf_prog_info info_of(const bpf_program* program) {
  bpf_prog_info info{};
  std::uint32_t size = sizeof(info);
  REQUIRE(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0);
  return info;
}

// Whether the kernel still has the program. It frees a program a grace period after its last descriptor is closed.
bool exists(std::uint32_t id) {
  const int fd = bpf_prog_get_fd_by_id(id);
  if (fd >= 0) {
    close(fd);
  }
  return fd >= 0 || errno != ENOENT;
}

// Waits until the kernel has freed the program. Returns false if it has not within half a minute: that is a leak.
bool is_freed(std::uint32_t id) {
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + std::chrono::seconds{30};
  while (exists(id)) {
    if (steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  return true;
}

// Whether this kernel supports the profile "socket", by its BTF, not by what the engine reports.
bool has_socket_tracepoints() {
  const std::unique_ptr<btf, FreeBtf> kernel{btf__load_vmlinux_btf()};
  REQUIRE(kernel != nullptr);
  return btf__find_by_name_kind(kernel.get(), "btf_trace_sock_recv_length", BTF_KIND_TYPEDEF) > 0;
}

std::set<std::uint32_t> all_links() {
  std::set<std::uint32_t> ids;
  for (std::uint32_t id = 0; bpf_link_get_next_id(id, &id) == 0;) {
    ids.insert(id);
  }
  return ids;
}

}  // namespace

TEST_CASE("kernel: each program of both BPF objects is verified within 300,000 instructions") {
  for (std::size_t choice = 0; choice < 2 * kParts.size(); ++choice) {
    const Profile profile = choice % 2 == 0 ? Profile::kSocket : Profile::kSyscall;
    const PartId part(choice / 2);
    CAPTURE(std::string(name_of(profile)));
    CAPTURE(std::string(part.row().name));
    const Skeleton skeleton = open_skeleton(profile);
    REQUIRE(skeleton != nullptr);
    select_programs(*skeleton, profile, part);
    if (engine_bpf__load(skeleton.get()) != 0) {
      CHECK((profile == Profile::kSocket && !has_socket_tracepoints()));
      continue;
    }
    bpf_program* program = nullptr;
    int programs = 0;
    bpf_object__for_each_program(program, skeleton->obj) {
      if (bpf_program__fd(program) < 0) {
        continue;
      }
      const bpf_prog_info info = info_of(program);
      CAPTURE(info.name);
      CHECK(info.verified_insns > 0);
      CHECK(info.verified_insns <= kMostVerifiedInstructions);
      MESSAGE(info.name << ": " << info.verified_insns << " instructions verified");
      ++programs;
    }
    CHECK(programs >= (part.row().is_core() ? 10 : 1));
  }
}

TEST_CASE("kernel: the table of programs has those of both objects, attached by their sections") {
  for (const Profile profile : {Profile::kSocket, Profile::kSyscall}) {
    CAPTURE(std::string(name_of(profile)));
    const Skeleton skeleton = open_skeleton(profile);
    REQUIRE(skeleton != nullptr);
    std::set<std::string> built;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj) {
      built.insert(bpf_program__name(program));
    }
    std::set<std::string> listed;
    for (const ProgramRow& row : kPrograms) {
      CAPTURE(row.name);
      CHECK(listed.insert(row.name).second);
      program = bpf_object__find_program_by_name(skeleton->obj, row.name);
      REQUIRE(program != nullptr);
      const std::string_view section = bpf_program__section_name(program);
      CHECK(section.starts_with("tp_btf/") == (row.attachment == Attachment::kTracepoint));
      CHECK(section.starts_with("iter/") == (row.attachment == Attachment::kIterator));
      CHECK((section == "raw_tp") == (row.attachment == Attachment::kRun));
    }
    CHECK(listed == built);
  }
}

TEST_CASE("kernel: the table of maps has those of both objects, with their sizes") {
  for (const Profile profile : {Profile::kSocket, Profile::kSyscall}) {
    CAPTURE(std::string(name_of(profile)));
    const Skeleton skeleton = open_skeleton(profile);
    REQUIRE(skeleton != nullptr);
    std::set<const bpf_map*> listed;
    for (const MapRow& row : kMaps) {
      CAPTURE(row.name);
      const bpf_map* const map = find_map(*skeleton, row);
      REQUIRE(map != nullptr);
      CHECK(listed.insert(map).second);
      CHECK((row.key_size == 0 || row.key_size == bpf_map__key_size(map)));
      CHECK((row.value_size == 0 || row.value_size == bpf_map__value_size(map)));
      CHECK((row.use == MapUse::kFreeSlots) == (bpf_map__type(map) == BPF_MAP_TYPE_QUEUE));
    }
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, skeleton->obj) {
      CAPTURE(std::string(bpf_map__name(map)));
      // Each load has its own constants, which are not pinned.
      const bool constants = std::string_view(bpf_map__name(map)).find(".rodata") != std::string_view::npos;
      CHECK(listed.contains(map) == !constants);
    }
  }
}

TEST_CASE("kernel: the pin of a link is named after its program and object, without characters that bpffs rejects") {
  CHECK(link_pin_name("on_state", "") == "on_state");
  CHECK(link_pin_name("on_close", "12:libssl.so.3") == "on_close@12:libssl%2Eso%2E3");
  CHECK(link_pin_name("on_close", "/a@b%") == "on_close@%2Fa%40b%25");
}

TEST_CASE("kernel: detaching an object leaves the links to others, held or pinned") {
  const Result<Objects> objects = load_objects({});
  REQUIRE(objects);
  const Pins pins("/sys/fs/bpf/monitor_links_test_" + std::to_string(getpid()));
  const Result<PinLock> lock = pins.make_and_lock();
  REQUIRE(lock);
  REQUIRE(pins.pin_all({}, 0, *lock));
  for (const bool pinned : {false, true}) {
    CAPTURE(pinned);
    Links links;
    if (pinned) {
      links.hand_over(pins);
    }
    CHECK(links.attach(*objects, "on_fork", "1:a.so"));
    CHECK(links.attach(*objects, "on_exit", "2:a.so"));
    CHECK(links.has("on_fork", "1:a.so"));
    CHECK(!links.has("on_fork"));
    CHECK(links.to_pin().size() == (pinned ? 0 : 2));
    CHECK(pins.has("links", "on_fork@1:a%2Eso") == pinned);
    CHECK(links.detach("1:a.so"));
    CHECK(!links.has("on_fork", "1:a.so"));
    CHECK(links.has("on_exit", "2:a.so"));
    CHECK(links.detach("2:a.so"));
  }
  CHECK(pins.remove(*lock));
}

TEST_CASE("kernel: the profile follows the kernel's features, or the option") {
  const Result<Engine> automatic = Engine::load({});
  REQUIRE(automatic);
  CHECK(automatic->info()->profile == (has_socket_tracepoints() ? "socket" : "syscall"));
  const Result<Engine> forced = Engine::load({.profile = "syscall", .version = ""});
  REQUIRE(forced);
  CHECK(forced->info()->profile == "syscall");
  const Result<Engine> socket = Engine::load({.profile = "socket", .version = ""});
  CHECK(static_cast<bool>(socket) == has_socket_tracepoints());
  if (!socket) {
    CHECK(socket.error().hint.find("--profile syscall") != std::string::npos);
  }
  const Result<Engine> unknown = Engine::load({.profile = "fentry", .version = ""});
  REQUIRE(!unknown);
  CHECK(unknown.error().what.find("\"fentry\"") != std::string::npos);
}

TEST_CASE("kernel: the kernel frees every link and program of an engine that has ended") {
  const std::set<std::uint32_t> links_before = all_links();
  std::vector<std::uint32_t> programs;
  {
    const Result<Engine> engine = Engine::load({});
    REQUIRE(engine);
    std::set<std::uint32_t> added;
    for (const std::uint32_t id : all_links()) {
      if (!links_before.contains(id)) {
        added.insert(id);
        const int fd = bpf_link_get_fd_by_id(id);
        bpf_link_info info{};
        std::uint32_t size = sizeof(info);
        if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0) {
          programs.push_back(info.prog_id);
        }
        close(fd);
      }
    }
    CHECK(added.size() >= 4);
  }
  for (const std::uint32_t id : programs) {
    CHECK(is_freed(id));
  }
  CHECK(programs.size() >= 4);
}

TEST_CASE("kernel: a target without processes has no sockets, and a process can be a target only once") {
  Result<Engine> engine = Engine::load({});
  REQUIRE(engine);
  const Result<unsigned> target = engine->add_target({getpid(), 1}, {getpid()}, {});
  REQUIRE(target);
  const Result<unsigned> again = engine->add_target({getpid(), 1}, {getpid()}, {});
  REQUIRE(!again);
  CHECK(again.error().what.find("followed already") != std::string::npos);
  const Result<ListedSockets> nobody = engine->sample_sockets(*target, {});
  REQUIRE(nobody);
  CHECK(nobody->sample.by_listener.empty());
  CHECK(engine->maintain(*target, *nobody));
  const Result<Counters> counters = engine->sample_counters(*target);
  REQUIRE(counters);
  CHECK(counters->active == 0);
  CHECK(counters->workers.count(getpid()) == 1);
}

}  // namespace monitor
