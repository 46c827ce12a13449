// SPDX-License-Identifier: Apache-2.0
// The engine's programs on the running kernel: they load, cost the verifier a limited amount of work, and leave nothing
// behind.
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
#include <thread>
#include <vector>

#include "engine_skeleton.h"
#include "session/engine.h"
#include "session/load.h"

namespace monitor {
namespace {

constexpr std::uint32_t kMostVerifiedInstructions = 300000;

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

// Whether this kernel supports the profile "socket", by its BTF and not by what the engine says.
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
  struct Choice {
    bool by_address;
    Part part;
  };
  for (const Choice& choice : {Choice{false, Part::kAllButUnix}, Choice{false, Part::kUnix},
                               Choice{true, Part::kAllButUnix}, Choice{true, Part::kUnix}}) {
    const bool by_address = choice.by_address;
    const Part part = choice.part;
    CAPTURE(by_address);
    const EngineSkeleton skeleton = open_engine(by_address);
    REQUIRE(skeleton != nullptr);
    select_programs(*skeleton, by_address, part);
    if (engine_bpf__load(skeleton.get()) != 0) {
      CHECK((!by_address && !has_socket_tracepoints()));
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
    CHECK(programs >= (part == Part::kUnix ? 1 : 10));
  }
}

TEST_CASE("kernel: the profile is the one asked for, or the best that the kernel supports") {
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
  const Result<unsigned> target = engine->add_target({getpid(), 1}, {getpid()});
  REQUIRE(target);
  const Result<unsigned> again = engine->add_target({getpid(), 1}, {getpid()});
  REQUIRE(!again);
  CHECK(again.error().what.find("followed already") != std::string::npos);
  const Result<SocketsSample> nobody = engine->look_at_sockets(*target, {});
  REQUIRE(nobody);
  CHECK(nobody->listeners.empty());
  const Result<Counters> counters = engine->read(*target);
  REQUIRE(counters);
  CHECK(counters->active == 0);
  CHECK(counters->workers.count(getpid()) == 1);
}

}  // namespace monitor
