// SPDX-License-Identifier: Apache-2.0
#include "session/links.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "session/libbpf_messages.h"

namespace monitor {
namespace {

// Attaches a program to an object, in the way that its row asks for. Returns -1 and sets errno if that fails.
int open_link(ProgramId id, const Program& program, [[maybe_unused]] const std::string& object) {
  switch (id.row().attachment) {
    case Attachment::kTracepoint:
      return bpf_raw_tracepoint_open(nullptr, program.fd());  // the program knows its tracepoint since the load
    // A uprobe's case comes here: `object` is the file that has the function.
    case Attachment::kIterator:
    case Attachment::kRun:
      break;
  }
  errno = EINVAL;  // not a hook
  return -1;
}

}  // namespace

std::string link_pin_name(ProgramId program, std::string_view object) {
  constexpr std::string_view kEscaped = "./@%";
  std::string name = program.row().name;
  name += object.empty() ? "" : "@";
  for (const char byte : object) {
    if (kEscaped.find(byte) == std::string_view::npos) {
      name += byte;
      continue;
    }
    std::array<char, 4> escaped{};
    std::snprintf(escaped.data(), escaped.size(), "%%%02X", static_cast<unsigned>(byte));
    name += escaped.data();
  }
  return name;
}

bool Links::has(ProgramId program, const std::string& object) const {
  if (pins_) {
    return pins_->has("links", link_pin_name(program, object));
  }
  return std::any_of(held_.begin(), held_.end(),
                     [&](const Link& link) { return link.program == program && link.object == object; });
}

Status Links::attach(const Objects& objects, ProgramId id, const std::string& object) {
  const Program& program = objects.program(id);
  Fd link{open_link(id, program, object)};
  if (!link) {
    return libbpf_error("attach " + program.name(), errno);
  }
  if (!pins_) {
    held_.push_back(Link{id, object, std::move(link)});
    return Ok{};
  }
  if (!pins_->has("programs", program.name())) {
    TRY(pins_->pin({"programs", program.name(), program.fd()}));
  }
  return pins_->pin({"links", link_pin_name(id, object), link.get()});
}

Status Links::detach(const std::string& object) {
  std::erase_if(held_, [&](const Link& link) { return link.object == object; });
  for (std::size_t index = 0; pins_ && index < kPrograms.size(); ++index) {
    if (kPrograms[index].is_hook()) {
      TRY(pins_->unpin("links", link_pin_name(ProgramId(index), object)));
    }
  }
  return Ok{};
}

std::vector<Pins::Item> Links::to_pin() const {
  std::vector<Pins::Item> items;
  std::transform(held_.begin(), held_.end(), std::back_inserter(items), [](const Link& link) {
    return Pins::Item{"links", link_pin_name(link.program, link.object), link.fd.get()};
  });
  return items;
}

void Links::hand_over(const Pins& pins) {
  pins_ = pins;
  held_.clear();
}

}  // namespace monitor
