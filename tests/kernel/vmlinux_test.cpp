// SPDX-License-Identifier: Apache-2.0
// vmlinux/vmlinux.h is kept by hand. Every member that it declares must be in the running kernel's BTF, in the
// structure of that name, with a type of the same kind and size.
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <doctest/doctest.h>
#include <monitor/abi.h>

#include <memory>
#include <string>

#include "engine_skeleton.h"

namespace monitor {
namespace {

struct FreeBtf {
  void operator()(btf* b) const { btf__free(b); }
};

const btf_type* resolved(const btf* b, std::uint32_t id) {
  const btf_type* type = btf__type_by_id(b, static_cast<std::uint32_t>(btf__resolve_type(b, id)));
  while (type != nullptr && btf_is_type_tag(type)) {
    type = btf__type_by_id(b, static_cast<std::uint32_t>(btf__resolve_type(b, type->type)));
  }
  return type;
}

// The member of that name, also inside anonymous members. `bits` is its width if it is a bit field.
const btf_type* find_member(const btf* b, const btf_type* owner, const std::string& name, std::uint32_t& bits) {
  const btf_member* members = btf_members(owner);
  for (std::uint32_t i = 0; i < btf_vlen(owner); ++i) {
    const std::string here = btf__name_by_offset(b, members[i].name_off);
    const btf_type* type = resolved(b, members[i].type);
    if (here == name) {
      bits = btf_member_bitfield_size(owner, i);
      return type;
    }
    if (here.empty() && type != nullptr && btf_is_composite(type)) {
      if (const btf_type* found = find_member(b, type, name, bits)) {
        return found;
      }
    }
  }
  return nullptr;
}

std::uint32_t kind_of(const btf_type* type) {
  const std::uint32_t kind = btf_kind(type);
  // An enumeration is read as the integer that it is, a union at offset 0 as its member.
  return kind == BTF_KIND_ENUM || kind == BTF_KIND_ENUM64 ? static_cast<std::uint32_t>(BTF_KIND_INT) : kind;
}

std::int64_t size_of(const btf* b, const btf_type* type) {
  if (btf_is_ptr(type)) {
    return 8;
  }
  if (btf_is_array(type)) {
    return btf_array(type)->nelems * size_of(b, resolved(b, btf_array(type)->type));
  }
  return type->size;
}

void check_struct(const btf* ours, const btf_type* mine, const btf* kernel, const btf_type* theirs) {
  const btf_member* members = btf_members(mine);
  for (std::uint32_t i = 0; i < btf_vlen(mine); ++i) {
    const std::string member = btf__name_by_offset(ours, members[i].name_off);
    const btf_type* type = resolved(ours, members[i].type);
    if (member.empty()) {
      check_struct(ours, type, kernel, theirs);
      continue;
    }
    CAPTURE(member);
    std::uint32_t bits = 0;
    const btf_type* found = find_member(kernel, theirs, member, bits);
    CHECK(found != nullptr);
    if (found == nullptr) {
      continue;
    }
    CHECK(kind_of(type) == kind_of(found));
    // Structures within structures are declared in part: they are checked by their own name.
    if (!btf_is_composite(type)) {
      CHECK(size_of(ours, type) == size_of(kernel, found));
      CHECK(btf_member_bitfield_size(mine, i) == bits);
    }
  }
}

void check_object(const engine_bpf& skeleton, const btf* kernel) {
  const btf* ours = bpf_object__btf(skeleton.obj);
  REQUIRE(ours != nullptr);
  int structures = 0;
  for (std::uint32_t id = 1; id < btf__type_cnt(ours); ++id) {
    const btf_type* type = btf__type_by_id(ours, id);
    const std::string name = btf__name_by_offset(ours, type->name_off);
    if (!btf_is_struct(type) || name.empty() || btf_vlen(type) == 0) {
      continue;
    }
    const std::int32_t found = btf__find_by_name_kind(kernel, name.c_str(), BTF_KIND_STRUCT);
    if (found < 0) {
      continue;  // a structure of abi.h or bpf/
    }
    CAPTURE(name);
    ++structures;
    check_struct(ours, type, kernel, btf__type_by_id(kernel, static_cast<std::uint32_t>(found)));
  }
  // sock, sock_common, tcp_sock, task_struct, socket, file and others
  CHECK(structures >= 8);
}

}  // namespace

TEST_CASE("kernel: vmlinux.h agrees with the running kernel") {
  const std::unique_ptr<btf, FreeBtf> kernel{btf__load_vmlinux_btf()};
  REQUIRE(kernel != nullptr);
  for (const bool by_address : {false, true}) {
    CAPTURE(by_address);
    const EngineSkeleton skeleton = open_engine(by_address);
    REQUIRE(skeleton != nullptr);
    check_object(*skeleton, kernel.get());
  }
}

}  // namespace monitor
