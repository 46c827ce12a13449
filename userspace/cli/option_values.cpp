// SPDX-License-Identifier: Apache-2.0
#include "cli/option_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

#include "cli/options.h"

namespace monitor {

Error usage_error(std::string what, std::string hint) {
  return Error{ErrorCode::kUsage, std::move(what), std::move(hint)};
}

Result<double> parse_seconds(std::string_view name, std::string_view text) {
  double seconds = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, seconds, std::chars_format::general);
  // "1e999" is a number, too, although from_chars reports it as out of range and stores nothing.
  const bool number = error != std::errc::invalid_argument && stop == end && !std::isnan(seconds);
  if (!number) {
    return usage_error(fmt::format("{}: \"{}\" is not a number of seconds", name, text),
                       "give a number such as 2 or 0.5");
  }
  if (error != std::errc() || seconds < kMinSeconds || seconds > kMaxSeconds) {
    return usage_error(fmt::format("{}: {} is out of range", name, text),
                       fmt::format("give {} to {:.0f} seconds (365 days)", kMinSeconds, kMaxSeconds));
  }
  return seconds;
}

Result<std::uint64_t> parse_positive(std::string_view name, std::string_view text, std::uint64_t most) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::invalid_argument || stop != end) {
    return usage_error(fmt::format("{}: \"{}\" is not a positive whole number", name, text),
                       fmt::format("give a number from 1 to {}", most));
  }
  if (error != std::errc() || value == 0 || value > most) {
    return usage_error(fmt::format("{}: {} is out of range", name, text),
                       fmt::format("give a number from 1 to {}", most));
  }
  return value;
}

Result<HostPort> parse_host_port(std::string_view name, std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const std::string_view port_text = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  std::string_view host = text.substr(0, std::min(colon, text.size()));
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) {
    host = host.substr(1, host.size() - 2);
  }
  std::uint16_t port = 0;
  const char* const end = port_text.data() + port_text.size();
  const auto [stop, error] = std::from_chars(port_text.data(), end, port);
  const bool ambiguous = !bracketed && host.find(':') != std::string_view::npos;  // "::1:9464"
  if (host.empty() || port_text.empty() || error != std::errc() || stop != end || ambiguous) {
    return usage_error(fmt::format("{}: \"{}\" is no host and port", name, text),
                       "give a name or an address and a port, such as 127.0.0.1:9464 or [::1]:9464");
  }
  return HostPort{std::string(host), port};
}

}  // namespace monitor
