// SPDX-License-Identifier: Apache-2.0
// Reads the case files of tests/cases, which are both specification and test, and describes the parser's events in
// their format. The format is defined in tests/cases/README.md.
#pragma once

#include <string>
#include <vector>

#include "parser/trace.h"

namespace monitor {

struct ParserCase {
  std::string name;  // file: title
  __u8 options = 0;  // TRACE_RESPONSES, TRACE_FOLD
  http1_method method = HTTP1_METHOD_OTHER;
  std::string bytes;
  std::string expected;  // one event per line
};

// Every case of every file, in order. Throws std::runtime_error with file and line if a case is malformed.
std::vector<ParserCase> read_parser_cases(const std::string& directory);

// The trace in the format of the case files. Captured bytes of a body are shown as text.
std::string describe(const trace& trace, bool responses);

// The input for one run; `first` and `piece` as in trace_input.
trace_input make_input(const ParserCase& parser_case, std::size_t first, std::size_t piece, __u8 more_options = 0);

}  // namespace monitor
