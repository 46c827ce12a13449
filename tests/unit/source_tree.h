// SPDX-License-Identifier: Apache-2.0
// The sources on disk, for tests of rules over the whole tree.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace monitor::test {

using Tree = std::map<std::string, std::string>;  // path from the top → content

inline std::vector<std::string> lines_of(const std::string& content) {
  std::vector<std::string> lines;
  std::istringstream stream(content);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  return lines;
}

inline std::string joined(const std::vector<std::string>& violations) {
  std::string text;
  for (const std::string& violation : violations) {
    text += violation + "\n";
  }
  return text;
}

// The sources on disk, without what is built, hidden or cached.
inline Tree read_tree(const std::filesystem::path& top) {
  const std::set<std::string> kinds = {".h",   ".cpp", ".c",   ".py",  ".sh", ".cmake",
                                       ".lua", ".js",  ".zsh", ".yml", ".in"};
  Tree tree;
  const auto add = [&](const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    tree[path.lexically_relative(top).generic_string()] = std::string(std::istreambuf_iterator<char>(file), {});
  };
  add(top / "CMakeLists.txt");
  for (const char* folder : {"bpf", "userspace", "include", "tests", "vmlinux", "scripts"}) {
    for (auto entry = std::filesystem::recursive_directory_iterator(top / folder);
         entry != std::filesystem::recursive_directory_iterator(); ++entry) {
      const std::string name = entry->path().filename().string();
      if (entry->is_directory() && (name == "build" || name == "__pycache__" || name.front() == '.')) {
        entry.disable_recursion_pending();
      } else if (entry->is_regular_file() &&
                 (kinds.contains(entry->path().extension().string()) || name == "CMakeLists.txt")) {
        add(entry->path());
      }
    }
  }
  return tree;
}

}  // namespace monitor::test
