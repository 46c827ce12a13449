// SPDX-License-Identifier: Apache-2.0
// Checks the shape of the source tree: which folder may include which and how long a file may be. Each rule is a
// function from a tree to its violations, so that tests can also show it a tree that breaks it.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "source_tree.h"

namespace monitor {
namespace {

// "userspace/host/procfs.h" → "host"; "main.cpp" for the program itself; empty outside userspace/.
std::string layer_of(const std::string& file) {
  constexpr std::string_view kTop = "userspace/";
  return file.starts_with(kTop) ? file.substr(kTop.size(), file.find('/', kTop.size()) - kTop.size()) : "";
}

Violations wrong_layer(const Tree& tree) {
  const std::map<std::string, std::set<std::string>> allowed = {
      {"base", {"base"}},
      {"model", {"base", "model"}},
      {"host", {"base", "model", "host"}},
      {"routes", {"base", "routes"}},
      {"session", {"base", "model", "routes", "session"}},
      {"output", {"base", "model", "output"}},
      {"observe", {"base", "model", "host", "session", "observe"}},
      {"http", {"base", "http"}},
      {"sinks", {"base", "model", "output", "http", "sinks"}},
      {"tui", {"base", "model", "output", "sinks", "tui"}},
      {"cli", {"base", "model", "host", "routes", "session", "observe", "output", "http", "sinks", "tui", "cli"}},
      {"main.cpp", {"cli"}},
  };
  Violations found;
  for (const Include& include : includes_of(tree)) {
    const std::string from = layer_of(include.file);
    if (from.empty()) {
      continue;
    }
    const auto may = allowed.find(from);
    if (may == allowed.end()) {
      found.push_back(include.file + ": userspace/" + from + " is not one of the known folders");
      continue;
    }
    const std::string target = resolve(tree, include);
    const std::string to = layer_of(target);
    if (!to.empty() && !may->second.contains(to)) {
      found.push_back(says(include, from + " may not include " + to));
    }
    if (target.starts_with("bpf/") || target.starts_with("tests/") || target.starts_with("vmlinux/")) {
      found.push_back(says(include, "userspace may include only monitor/abi.h of the kernel side"));
    }
  }
  return found;
}

Violations kernel_side_looks_up(const Tree& tree) {
  Violations found;
  for (const Include& include : includes_of(tree)) {
    const std::string target = resolve(tree, include);
    const bool below = include.file.starts_with("bpf/") || include.file.starts_with("include/");
    if (below && (target.starts_with("userspace/") || target.starts_with("tests/"))) {
      found.push_back(says(include, "the kernel side may not include " + target.substr(0, target.find('/') + 1)));
    }
    if (include.file.starts_with("include/") && target.starts_with("bpf/")) {
      found.push_back(says(include, "include/ may not include bpf/"));
    }
  }
  return found;
}

// "bpf/hooks/unix.bpf.h" → "hooks"; empty for the objects themselves and for files outside bpf/.
std::string floor_of(const std::string& file) {
  constexpr std::string_view kTop = "bpf/";
  const std::size_t end = file.starts_with(kTop) ? file.find('/', kTop.size()) : std::string::npos;
  return end == std::string::npos ? "" : file.substr(kTop.size(), end - kTop.size());
}

// The folders of bpf/ form layers, of which hooks/ and iter/ are the highest. Files of these two do not include each
// other.
Violations wrong_floor(const Tree& tree) {
  const std::map<std::string, std::set<std::string>> allowed = {
      {"lib", {"lib"}},
      {"arch", {"lib", "arch"}},
      {"http1", {"lib", "http1"}},
      {"quic", {"lib", "quic"}},
      {"state", {"lib", "http1", "state"}},
      {"account", {"lib", "state", "account"}},
      {"feed", {"lib", "arch", "http1", "quic", "state", "account", "feed"}},
      {"hooks", {"lib", "arch", "state", "account", "feed"}},
      {"iter", {"lib", "state", "account"}},
  };
  Violations found;
  for (const Include& include : includes_of(tree)) {
    const std::string from = floor_of(include.file);
    const std::string to = floor_of(resolve(tree, include));
    if (from.empty() || to.empty()) {
      continue;
    }
    const auto may = allowed.find(from);
    if (may == allowed.end()) {
      found.push_back(include.file + ": bpf/" + from + " is not one of the known folders");
    } else if (!may->second.contains(to)) {
      found.push_back(says(include, "bpf/" + from + " may not include bpf/" + to));
    }
  }
  return found;
}

// The accounts, the hooks and the records know no protocol and no byte source: a second one is new files in feed/.
Violations names_protocol(const Tree& tree) {
  const std::set<std::string> floors = {"state", "account", "hooks", "iter"};
  Violations found;
  for (const auto& [path, content] : tree) {
    if (!floors.contains(floor_of(path)) || path == "bpf/state/protocol_state.bpf.h") {
      continue;
    }
    int number = 0;
    for (const std::string& line : lines_of(content)) {
      ++number;
      if (contains(line, "http1") || contains(line, "HTTP1_")) {
        found.push_back(path + ":" + std::to_string(number) + ": names a protocol outside bpf/feed: " + line);
      }
    }
  }
  return found;
}

Violations libbpf_outside_session(const Tree& tree) {
  Violations found;
  for (const Include& include : includes_of(tree)) {
    const std::string layer = layer_of(include.file);
    if (layer.empty() || layer == "session") {
      continue;
    }
    if (include.name.starts_with("bpf/") || include.name.ends_with(".skel.h")) {
      found.push_back(says(include, "only session/ uses libbpf and the skeleton"));
    }
    if (include.name == "monitor/abi.h") {
      found.push_back(says(include, "only bpf/ and session/ share the ABI"));
    }
  }
  return found;
}

Violations boost_outside_http(const Tree& tree) {
  Violations found;
  for (const Include& include : includes_of(tree)) {
    if (include.name.starts_with("boost/") && layer_of(include.file) != "http") {
      found.push_back(says(include, "only http/ uses Boost"));
    }
  }
  return found;
}

// Headers that must also compile natively: every .h of bpf/ that is not a .bpf.h. Those listed here must exist.
Violations impure_headers(const Tree& tree) {
  std::set<std::string> pure = {"bpf/lib/pure.h",    "bpf/http1/parser.h",       "bpf/http1/fields.h",
                                "bpf/http1/lines.h", "bpf/http1/request_line.h", "bpf/http1/path_fold.h"};
  for (const auto& [path, content] : tree) {
    if (path.starts_with("bpf/") && path.ends_with(".h") && !path.ends_with(".bpf.h")) {
      pure.insert(path);
    }
  }
  Violations found;
  for (const std::string& header : pure) {
    const auto file = tree.find(header);
    if (file == tree.end()) {
      found.push_back(header + ": does not exist");
      continue;
    }
    for (const Include& include : includes_of(header, file->second)) {
      // linux/types.h of the UAPI only names types (__u64), natively as well.
      const bool of_kernel = include.name == "vmlinux.h" || include.name.ends_with(".bpf.h") ||
                             include.name.starts_with("bpf/") || include.name.starts_with("asm/") ||
                             (include.name.starts_with("linux/") && include.name != "linux/types.h");
      if (of_kernel && !include.for_bpf) {
        found.push_back(
            says(include, "a kernel header outside #ifdef __bpf__ in a header that is also built natively"));
      }
    }
  }
  return found;
}

Violations include_cycles(const Tree& tree) {
  std::map<std::string, std::set<std::string>> edges;
  for (const Include& include : includes_of(tree)) {
    edges[include.file].insert(resolve(tree, include));
  }
  Violations found;
  std::set<std::string> done;
  std::vector<std::string> path;
  const std::function<void(const std::string&)> visit = [&](const std::string& file) {
    const auto on_path = std::find(path.begin(), path.end(), file);
    if (on_path != path.end()) {
      std::string cycle;
      std::for_each(on_path, path.end(), [&](const std::string& step) { cycle += step + " → "; });
      found.push_back("include cycle: " + cycle + file);
      return;
    }
    if (file.empty() || !done.insert(file).second) {
      return;
    }
    path.push_back(file);
    for (const std::string& target : edges[file]) {
      visit(target);
    }
    path.pop_back();
  };
  for (const auto& [file, content] : tree) {
    visit(file);
  }
  return found;
}

Violations too_long(const Tree& tree) {
  constexpr std::size_t kMost = 500;
  const std::map<std::string, std::size_t> exceptions = {
      {"userspace/main.cpp", 39},   // fits on a screen
      {"vmlinux/vmlinux.h", 2000},  // a list of types
  };
  Violations found;
  for (const auto& [file, content] : tree) {
    const auto exception = exceptions.find(file);
    const std::size_t most = exception == exceptions.end() ? kMost : exception->second;
    const std::size_t lines = lines_of(content).size();
    if (lines > most) {
      found.push_back(file + ": " + std::to_string(lines) + " lines, at most " + std::to_string(most) + " allowed");
    }
  }
  return found;
}

}  // namespace

TEST_CASE("structure.tree: the sources hold every rule") {
  const Tree tree = read_tree(MONITOR_SOURCE_DIR);
  REQUIRE(tree.count("userspace/main.cpp") == 1);
  REQUIRE(tree.count("bpf/engine.bpf.c") == 1);
  CHECK(joined(wrong_layer(tree)) == "");
  CHECK(joined(kernel_side_looks_up(tree)) == "");
  CHECK(joined(wrong_floor(tree)) == "");
  CHECK(joined(names_protocol(tree)) == "");
  CHECK(joined(libbpf_outside_session(tree)) == "");
  CHECK(joined(boost_outside_http(tree)) == "");
  CHECK(joined(impure_headers(tree)) == "");
  CHECK(joined(include_cycles(tree)) == "");
  CHECK(joined(too_long(tree)) == "");
}

TEST_CASE("structure.rules: each reports a violation and its place") {
  const Tree host = {{"userspace/output/box.h", ""}, {"userspace/host/a.cpp", "\n#include \"output/box.h\"\n"}};
  CHECK(joined(wrong_layer(host)) == "userspace/host/a.cpp:2: includes output/box.h: host may not include output\n");
  CHECK(wrong_layer({{"userspace/cli/c.h", ""}, {"userspace/model/a.h", "# include <../cli/c.h>"}}).size() == 1);
  CHECK(wrong_layer({{"userspace/cli/c.h", ""}, {"userspace/model/a.h", "#include \"../cli/c.h\""}}).size() == 1);
  CHECK(wrong_layer({{"userspace/cli/c.h", ""}, {"userspace/main.cpp", "#include \"cli/c.h\""}}).empty());
  CHECK(wrong_layer({{"userspace/host/c.h", ""}, {"userspace/main.cpp", "#include \"host/c.h\""}}).size() == 1);
  // On the way from session/ to cli/, each folder includes only earlier ones.
  CHECK(joined(wrong_layer({{"userspace/cli/loop.h", ""}, {"userspace/observe/fleet.h", "#include \"cli/loop.h\""}})) ==
        "userspace/observe/fleet.h:1: includes cli/loop.h: observe may not include cli\n");
  for (const auto& [from, to] : {std::pair{"session", "observe"},
                                 {"observe", "output"},
                                 {"observe", "sinks"},
                                 {"output", "sinks"},
                                 {"output", "observe"},
                                 {"http", "sinks"},
                                 {"sinks", "observe"},
                                 {"sinks", "tui"},
                                 {"tui", "cli"}}) {
    CAPTURE(from);
    CAPTURE(to);
    const std::string header = std::string(to) + "/a.h";
    const std::string file = "userspace/" + std::string(from) + "/b.cpp";
    CHECK(wrong_layer({{"userspace/" + header, ""}, {file, "#include \"" + header + "\""}}).size() == 1);
  }
  CHECK(wrong_layer({{"userspace/new/a.cpp", "#include <string>"}}).size() == 1);
  CHECK(wrong_layer({{"bpf/http1/parser.h", ""}, {"userspace/session/a.cpp", "#include \"http1/parser.h\""}}).size() ==
        1);
  CHECK(wrong_layer({{"userspace/session/a.cpp", "// #include \"output/box.h\""}, {"userspace/output/box.h", ""}})
            .empty());

  CHECK(kernel_side_looks_up({{"bpf/a.h", "#include \"base/fd.h\""}, {"userspace/base/fd.h", ""}}).size() == 1);
  CHECK(kernel_side_looks_up({{"include/monitor/a.h", "#include \"lib/pure.h\""}, {"bpf/lib/pure.h", ""}}).size() == 1);

  const Tree hooks = {{"bpf/hooks/a.bpf.h", "#include \"hooks/b.bpf.h\""}, {"bpf/hooks/b.bpf.h", ""}};
  CHECK(joined(wrong_floor(hooks)) ==
        "bpf/hooks/a.bpf.h:1: includes hooks/b.bpf.h: bpf/hooks may not include bpf/hooks\n");
  CHECK(wrong_floor({{"bpf/state/a.bpf.h", "#include \"account/b.bpf.h\""}, {"bpf/account/b.bpf.h", ""}}).size() == 1);
  CHECK(wrong_floor({{"bpf/account/a.bpf.h", "#include \"state/b.bpf.h\""}, {"bpf/state/b.bpf.h", ""}}).empty());
  CHECK(wrong_floor({{"bpf/engine.bpf.c", "#include \"hooks/b.bpf.h\""}, {"bpf/hooks/b.bpf.h", ""}}).empty());
  CHECK(wrong_floor({{"bpf/account/a.bpf.h", "#include \"http1/b.h\""}, {"bpf/http1/b.h", ""}}).size() == 1);

  CHECK(joined(names_protocol({{"bpf/account/a.bpf.h", "int a;\nstruct http1_stream s;"}})) ==
        "bpf/account/a.bpf.h:2: names a protocol outside bpf/feed: struct http1_stream s;\n");
  CHECK(names_protocol({{"bpf/hooks/a.bpf.h", "if (mode == HTTP1_START)"}}).size() == 1);
  CHECK(names_protocol({{"bpf/state/protocol_state.bpf.h", "struct http1_stream s;"}}).empty());
  CHECK(names_protocol({{"bpf/feed/a.bpf.h", "struct http1_stream s;"}}).empty());

  CHECK(libbpf_outside_session({{"userspace/cli/a.cpp", "#include <bpf/libbpf.h>"}}).size() == 1);
  CHECK(libbpf_outside_session({{"userspace/output/a.cpp", "#include \"engine.skel.h\""}}).size() == 1);
  CHECK(libbpf_outside_session({{"userspace/host/a.cpp", "#include <monitor/abi.h>"}}).size() == 1);
  CHECK(
      libbpf_outside_session({{"userspace/session/a.cpp", "#include <bpf/bpf.h>\n#include <monitor/abi.h>"}}).empty());

  CHECK(boost_outside_http({{"userspace/cli/a.cpp", "#include <boost/version.hpp>"}}).size() == 1);
  CHECK(boost_outside_http({{"userspace/http/a.cpp", "#include <boost/version.hpp>"}}).empty());

  CHECK(joined(include_cycles({{"bpf/a.h", "#include \"b.h\""}, {"bpf/b.h", "#include \"a.h\""}})) ==
        "include cycle: bpf/a.h → bpf/b.h → bpf/a.h\n");
  CHECK(include_cycles(
            {{"bpf/a.h", "#include \"b.h\"\n#include \"c.h\""}, {"bpf/b.h", "#include \"c.h\""}, {"bpf/c.h", ""}})
            .empty());

  std::string lines;
  for (int i = 0; i < 501; ++i) {
    lines += "\n";
  }
  CHECK(joined(too_long({{"tests/a.py", lines}})) == "tests/a.py: 501 lines, at most 500 allowed\n");
  CHECK(too_long({{"tests/a.py", lines.substr(1)}, {"vmlinux/vmlinux.h", lines}}).empty());
  CHECK(too_long({{"userspace/main.cpp", lines.substr(0, 40)}}).size() == 1);
}

TEST_CASE("structure.rules: kernel headers in a pure header") {
  const auto impure = [](const std::string& content) {
    return impure_headers({{"bpf/lib/pure.h", content},
                           {"bpf/http1/parser.h", ""},
                           {"bpf/http1/fields.h", ""},
                           {"bpf/http1/lines.h", ""},
                           {"bpf/http1/request_line.h", ""},
                           {"bpf/http1/path_fold.h", ""}});
  };
  CHECK(impure_headers({}).size() == 6);
  CHECK(impure_headers({{"bpf/new.h", "#include \"vmlinux.h\""}, {"bpf/x.bpf.h", "#include \"vmlinux.h\""}}).size() ==
        7);
  CHECK(impure("#include \"vmlinux.h\"").size() == 1);
  CHECK(impure("#ifdef __bpf__\n#include \"vmlinux.h\"\n#else\n#include <stdint.h>\n#endif").empty());
  CHECK(impure("#ifdef __bpf__\n#else\n#include <linux/bpf.h>\n#endif").size() == 1);
  CHECK(impure("#include <linux/types.h>").empty());
  CHECK(impure("#ifndef __bpf__\n#include \"maps.bpf.h\"\n#endif").size() == 1);
  CHECK(impure("#if defined(__bpf__)\n#ifdef X\n#include <bpf/bpf_helpers.h>\n#endif\n#endif").empty());
  CHECK(impure("#ifdef __bpf__\n#endif\n#include <bpf/bpf_helpers.h>").size() == 1);
}

}  // namespace monitor
