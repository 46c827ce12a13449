// SPDX-License-Identifier: Apache-2.0
// Reads a source tree and the #include lines in it, for tests of rules over the whole tree.
#ifndef MONITOR_TESTS_SOURCE_TREE_H
#define MONITOR_TESTS_SOURCE_TREE_H

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace monitor {

namespace fs = std::filesystem;

using Tree = std::map<std::string, std::string>;  // path from the top → content
using Violations = std::vector<std::string>;

struct Include {
  std::string file;
  int line = 0;
  std::string name;
  bool for_bpf = false;  // only compiled where __bpf__ is defined
};

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

inline std::vector<std::string> lines_of(const std::string& content) {
  std::vector<std::string> lines;
  std::istringstream stream(content);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  return lines;
}

// The directive and the rest of its line: "# include <a.h>" → {"include", " <a.h>"}; empty if it is not a directive.
inline std::pair<std::string, std::string> directive(const std::string& line) {
  const std::size_t hash = line.find_first_not_of(" \t");
  if (hash == std::string::npos || line[hash] != '#') {
    return {};
  }
  const std::size_t begin = line.find_first_not_of(" \t", hash + 1);
  if (begin == std::string::npos) {
    return {};
  }
  std::size_t end = begin;
  while (end < line.size() && line[end] >= 'a' && line[end] <= 'z') {
    ++end;
  }
  return {line.substr(begin, end - begin), line.substr(end)};
}

// Follows #if … #endif only as far as needed to find the lines that are for the BPF compiler alone.
class BpfBranches {
 public:
  void see(const std::string& word, const std::string& rest) {
    const bool negated = word == "ifndef" || contains(rest, "!");
    const bool named = contains(rest, "__bpf__");
    if (word == "if" || word == "ifdef" || word == "ifndef") {
      branches_.push_back({named, named && !negated});
    } else if (word == "elif" && !branches_.empty()) {
      branches_.back() = {named, named && !negated};
    } else if (word == "else" && !branches_.empty()) {
      branches_.back().bpf = branches_.back().named && !branches_.back().bpf;
    } else if (word == "endif" && !branches_.empty()) {
      branches_.pop_back();
    }
  }
  bool inside() const {
    return std::any_of(branches_.begin(), branches_.end(), [](const Branch& branch) { return branch.bpf; });
  }

 private:
  struct Branch {
    bool named;
    bool bpf;
  };
  std::vector<Branch> branches_;
};

inline std::vector<Include> includes_of(const std::string& file, const std::string& content) {
  std::vector<Include> includes;
  BpfBranches branches;
  int number = 0;
  for (const std::string& line : lines_of(content)) {
    ++number;
    const auto [word, rest] = directive(line);
    branches.see(word, rest);
    const std::size_t begin = rest.find_first_of("<\"");
    const std::size_t end = begin == std::string::npos ? begin : rest.find_first_of(">\"", begin + 1);
    if (word == "include" && end != std::string::npos) {
      includes.push_back({file, number, rest.substr(begin + 1, end - begin - 1), branches.inside()});
    }
  }
  return includes;
}

inline std::vector<Include> includes_of(const Tree& tree) {
  std::vector<Include> all;
  for (const auto& [file, content] : tree) {
    const auto of_file = includes_of(file, content);
    all.insert(all.end(), of_file.begin(), of_file.end());
  }
  return all;
}

inline std::string says(const Include& include, const std::string& why) {
  return include.file + ":" + std::to_string(include.line) + ": includes " + include.name + ": " + why;
}

// The file of the tree that an include means; empty for one that is not ours.
inline std::string resolve(const Tree& tree, const Include& include) {
  const std::string beside = include.file.substr(0, include.file.rfind('/') + 1);
  for (const std::string& folder : {beside, std::string("userspace/"), std::string("bpf/"), std::string("include/"),
                                    std::string("tests/"), std::string("vmlinux/")}) {
    std::string path = fs::path(folder + include.name).lexically_normal().generic_string();
    if (tree.contains(path)) {
      return path;
    }
  }
  return "";
}

// The sources on disk, without files that are built, hidden or cached.
inline Tree read_tree(const fs::path& top) {
  const std::set<std::string> kinds = {".h",   ".cpp", ".c",   ".py",  ".sh", ".cmake",
                                       ".lua", ".js",  ".zsh", ".yml", ".in"};
  Tree tree;
  const auto add = [&](const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    tree[path.lexically_relative(top).generic_string()] = std::string(std::istreambuf_iterator<char>(file), {});
  };
  add(top / "CMakeLists.txt");
  for (const char* folder : {"bpf", "userspace", "include", "tests", "vmlinux", "scripts"}) {
    for (auto entry = fs::recursive_directory_iterator(top / folder); entry != fs::recursive_directory_iterator();
         ++entry) {
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

inline std::string joined(const Violations& violations) {
  std::string text;
  for (const std::string& violation : violations) {
    text += violation + "\n";
  }
  return text;
}

}  // namespace monitor

#endif
