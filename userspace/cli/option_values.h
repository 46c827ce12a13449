// SPDX-License-Identifier: Apache-2.0
// Values of options, from text. Every failure is kUsage and names the option as the operator wrote it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/host_port.h"
#include "base/result.h"

namespace monitor {

Error usage_error(std::string what, std::string hint = "monitor --help lists the options");

// A time given in seconds, "0.5" or "1e-1". `name`: the option ("--interval") or variable, for errors.
Result<double> parse_seconds(std::string_view name, std::string_view text);

// A whole number from 1 to `most`.
Result<std::uint64_t> parse_positive(std::string_view name, std::string_view text, std::uint64_t most);

// "127.0.0.1:9464", "[::1]:9464", "localhost:9464": a port from 0 to 65535.
Result<HostPort> parse_host_port(std::string_view name, std::string_view text);

}  // namespace monitor
