// SPDX-License-Identifier: Apache-2.0
// Compiles templates to the automaton that the kernel side runs over the path of each request (bpf/feed/routes.bpf.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "routes/template.h"

namespace monitor {

// Methods that templates can name, and one place for all others.
inline constexpr std::size_t kRouteMethods = 16;

// The kernel side has the same layout (struct monitor_route_state, struct monitor_route_methods in monitor/abi.h).
struct RouteState {
  std::array<std::uint16_t, 256> next{};             // by the next byte
  std::array<std::uint16_t, kRouteMethods> route{};  // by the request's method, if the path ends here
};
using RouteMethods = std::array<std::uint64_t, kRouteMethods>;  // zero-padded; [0] stands for all others

struct RouteTable {
  std::vector<RouteState> states;   // [0] is where no template goes on, [1] is the start
  std::vector<std::string> routes;  // as declared; [0] is no template, and empty
  RouteMethods methods{};
  std::uint64_t hash = 0;  // of all of this; never 0
};

// In the order in which they were declared: of two templates that describe a path equally well, the first one wins. A
// template for the request's method wins over the others, a literal segment over a parameter, and so on from left to
// right. Fails if there are too many templates or methods.
Result<RouteTable> compile_routes(std::vector<RouteTemplate> templates);

// What the kernel side does: returns the template of a path, or an empty string.
std::string match_route(const RouteTable& table, std::string_view method, std::string_view path);

}  // namespace monitor
