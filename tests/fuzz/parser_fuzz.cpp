// SPDX-License-Identifier: Apache-2.0
// Any bytes, cut anywhere: the parser must say the same as of the whole, and read nothing outside of its window. The
// first four bytes choose options and cuts, the rest is the input. Built with the preset "fuzz"; start it with an empty
// folder for what it finds and tests/cases as seeds.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "parser/cases.h"

namespace {

std::string run(const trace_input& input, int old_bytes) {
  const auto window = std::make_unique<http1_window>();
  const auto result = std::make_unique<trace>();
  std::memset(static_cast<void*>(window.get()), old_bytes, sizeof(*window));
  trace_run(&input, window.get(), result.get());
  return monitor::describe(*result, (input.options & TRACE_RESPONSES) != 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4 || size - 4 >= TRACE_INPUT) {
    return 0;
  }
  monitor::ParserCase input;
  input.options = data[0] & (TRACE_RESPONSES | TRACE_FOLD);
  input.method = static_cast<http1_method>(data[1] % 3);
  input.bytes.assign(reinterpret_cast<const char*>(data) + 4, size - 4);
  const std::string whole = run(monitor::make_input(input, size, size), 0);
  const std::string cut = run(monitor::make_input(input, data[2] + 1U, data[3] + 1U, data[0] & TRACE_LOOK), '\n');
  if (whole != cut) {
    std::fprintf(stderr, "whole:\n%scut:\n%s", whole.c_str(), cut.c_str());
    std::abort();
  }
  return 0;
}
