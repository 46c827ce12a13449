// SPDX-License-Identifier: Apache-2.0
// Checks that each source file names its licence.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "unit/source_tree.h"

namespace monitor {
namespace {

// The licence of a file. Everything that is compiled for the kernel can be used under the GPL: tests/parser/trace.h is
// the header that a program of the tests shares with native code.
std::string licence_of(const std::string& file) {
  const bool for_kernel = file.starts_with("bpf/") || file.starts_with("include/") || file.starts_with("vmlinux/") ||
                          file.ends_with(".bpf.c") || file == "tests/parser/trace.h";
  return for_kernel ? "(GPL-2.0-only OR BSD-2-Clause)" : "Apache-2.0";
}

Violations wrong_licence(const Tree& tree) {
  Violations found;
  for (const auto& [file, content] : tree) {
    std::vector<std::string> lines = lines_of(content);
    lines.resize(std::min<std::size_t>(lines.size(), 3));
    constexpr std::string_view kTag = "SPDX-License-Identifier: ";
    const auto line = std::find_if(lines.begin(), lines.end(), [&](const std::string& l) { return contains(l, kTag); });
    if (line == lines.end()) {
      found.push_back(file + ": no SPDX-License-Identifier in its first 3 lines");
      continue;
    }
    std::string licence = line->substr(line->find(kTag) + kTag.size());
    if (licence.ends_with(" */")) {
      licence.resize(licence.size() - 3);
    }
    if (licence != licence_of(file)) {
      found.push_back(file + ": its licence is " + licence + ", expected " + licence_of(file));
    }
  }
  return found;
}

TEST_CASE("licence.tree: each source file has the licence of its folder") {
  const Tree tree = read_tree(MONITOR_SOURCE_DIR);
  for (const char* file : {"CMakeLists.txt", "bpf/CMakeLists.txt", "scripts/demo.sh", "tests/kernel/parser.bpf.c"}) {
    REQUIRE(tree.contains(file));
  }
  CHECK(joined(wrong_licence(tree)) == "");
}

TEST_CASE("licence.texts: the text of each licence that a file names is in the tree") {
  const auto text = [](const char* file) {
    std::ifstream stream(std::string(MONITOR_SOURCE_DIR) + "/" + file);
    return std::string(std::istreambuf_iterator<char>(stream), {});
  };
  CHECK(contains(text("LICENSE"), "Apache License\n"));
  CHECK(contains(text("bpf/LICENSE.GPL-2.0-only"),
                 "GNU GENERAL PUBLIC LICENSE\n                       Version 2, June 1991"));
  CHECK(contains(text("bpf/LICENSE.GPL-2.0-only"), "END OF TERMS AND CONDITIONS"));
  CHECK(contains(text("bpf/LICENSE.BSD-2-Clause"), "EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE."));
}

TEST_CASE("licence.rule: a missing or wrong licence is found") {
  const std::string apache = "# SPDX-License-Identifier: Apache-2.0\n";
  const std::string dual = "/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */\n";
  CHECK(wrong_licence({{"userspace/a.h", "\n\n\n" + apache}, {"bpf/b.h", ""}}).size() == 2);
  CHECK(wrong_licence({{"tests/a.sh", "#!/bin/sh\n" + apache}, {"bpf/a.h", dual}, {"tests/kernel/a.bpf.c", dual}})
            .empty());
  CHECK(joined(wrong_licence({{"bpf/CMakeLists.txt", apache}})) ==
        "bpf/CMakeLists.txt: its licence is Apache-2.0, expected (GPL-2.0-only OR BSD-2-Clause)\n");
  for (const char* file : {"include/monitor/a.h", "vmlinux/a.h", "scripts/bench/a.bpf.c"}) {
    CHECK(wrong_licence({{file, apache}}).size() == 1);
  }
  for (const char* file : {"userspace/a.cpp", "tests/a.cpp", "scripts/a.cmake", "CMakeLists.txt"}) {
    CHECK(wrong_licence({{file, dual}}).size() == 1);
  }
}

}  // namespace
}  // namespace monitor
