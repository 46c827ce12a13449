// SPDX-License-Identifier: Apache-2.0
// Writes the parser's cases (tests/cases) as inputs for the fuzz targets, one file per case. They are the fuzzer's
// starting point, so the corpus in the tree only needs to hold inputs that go beyond them.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>

#include "fuzz/replay.h"
#include "parser/cases.h"

namespace monitor::fuzz {
namespace {

void write_seed(const std::filesystem::path& file, const ParserCase& parser_case, std::size_t number) {
  std::ofstream out(file, std::ios::binary);
  out.put(static_cast<char>(parser_case.options));
  out.put(static_cast<char>(parser_case.method));
  out.put(static_cast<char>(number));
  out.put(static_cast<char>(number >> 8U));
  out << parser_case.bytes.substr(0, kStream);
  out.close();
  if (!out) {
    throw std::runtime_error("could not write " + file.string());
  }
}

void write_seeds(const std::string& cases, const std::filesystem::path& folder) {
  std::size_t number = 0;
  std::filesystem::create_directories(folder);
  for (const ParserCase& parser_case : read_parser_cases(cases)) {
    write_seed(folder / ("case-" + std::to_string(number)), parser_case, number);
    number += 1;
  }
}

}  // namespace
}  // namespace monitor::fuzz

int main(int count, char** arguments) {
  if (count != 3) {
    std::fputs("usage: monitor_fuzz_seeds CASES FOLDER\n", stderr);
    return 2;
  }
  try {
    monitor::fuzz::write_seeds(arguments[1], arguments[2]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "monitor_fuzz_seeds: %s\n", error.what());
    return 1;
  }
}
