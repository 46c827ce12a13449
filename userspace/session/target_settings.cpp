// SPDX-License-Identifier: Apache-2.0
#include "session/target_settings.h"

#include <bpf/bpf.h>

#include <cerrno>

namespace monitor {

Result<monitor_target_settings> read_settings(const Objects& objects, unsigned target) {
  const std::uint32_t key = target;
  monitor_target_settings settings{};
  if (bpf_map_lookup_elem(objects.map("target_settings").fd(), &key, &settings) != 0) {
    return system_error(errno, "read the map target_settings");
  }
  return settings;
}

Status write_settings(const Objects& objects, unsigned target, const monitor_target_settings& settings) {
  const std::uint32_t key = target;
  if (bpf_map_update_elem(objects.map("target_settings").fd(), &key, &settings, BPF_ANY) != 0) {
    return system_error(errno, "write the map target_settings");
  }
  return Ok{};
}

Status set_state(const Objects& objects, unsigned target, monitor_target_state state) {
  monitor_target_settings settings = TRY(read_settings(objects, target));
  settings.state = state;
  return write_settings(objects, target, settings);
}

}  // namespace monitor
