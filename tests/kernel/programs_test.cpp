// SPDX-License-Identifier: Apache-2.0
// The engine's programs on the running kernel: they load, within the bound on the verifier's work, and leave nothing.
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <doctest/doctest.h>
#include <monitor/abi.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <set>

#include "engine.skel.h"
#include "session/engine.h"
#include "session/load.h"

namespace monitor {
namespace {

constexpr std::uint32_t kMostVerifiedInstructions = 300000;

struct Destroy {
  void operator()(engine_bpf* skeleton) const { engine_bpf__destroy(skeleton); }
};

struct FreeBtf {
  void operator()(btf* b) const { btf__free(b); }
};

bpf_prog_info info_of(const bpf_program* program) {
  bpf_prog_info info{};
  std::uint32_t size = sizeof(info);
  REQUIRE(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0);
  return info;
}

// Whether the kernel still knows the program. It dies a grace period after its last descriptor.
bool exists(std::uint32_t id) {
  const int fd = bpf_prog_get_fd_by_id(id);
  if (fd >= 0) {
    close(fd);
  }
  return fd >= 0 || errno != ENOENT;
}

// Whether this kernel can have the profile "socket": asked of its BTF, not of the engine.
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

TEST_CASE("kernel: each program is verified with at most 300,000 instructions") {
  struct Choice {
    bool by_address;
    Part part;
  };
  for (const Choice& choice : {Choice{false, Part::kAllButUnix}, Choice{false, Part::kUnix},
                               Choice{true, Part::kAllButUnix}, Choice{true, Part::kUnix}}) {
    const bool by_address = choice.by_address;
    const Part part = choice.part;
    CAPTURE(by_address);
    const std::unique_ptr<engine_bpf, Destroy> skeleton{engine_bpf__open()};
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

TEST_CASE("kernel: the profile is chosen by what the kernel has, or as asked for") {
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

TEST_CASE("kernel: nothing stays behind") {
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
  // The kernel frees links and programs after a grace period: wait for it, without end but for ctest's.
  for (const std::uint32_t id : programs) {
    while (exists(id)) {
      usleep(1000);
    }
  }
  CHECK(programs.size() >= 4);
}

TEST_CASE("kernel: a process that is none has no sockets, and no target is made twice of one process") {
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
