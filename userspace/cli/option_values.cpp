// SPDX-License-Identifier: Apache-2.0
#include "cli/option_values.h"

#include <fmt/format.h>

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
  // Out of range ("1e999") is a number, though not one that is stored.
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

}  // namespace monitor
