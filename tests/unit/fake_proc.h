// SPDX-License-Identifier: Apache-2.0
// A fake /proc in a temporary directory. It is all that host/ reads, so the tests need neither root nor a server and
// can present states that a real kernel shows only in rare races.
#pragma once

#include <doctest/doctest.h>
#include <sys/types.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "host/procfs.h"

// Makes a failed comparison print the lists.
template <>
struct doctest::StringMaker<std::vector<std::string>> {
  static String convert(const std::vector<std::string>& list) {
    std::string text;
    for (const std::string& item : list) {
      text += "[" + item + "]";
    }
    return text.c_str();
  }
};

namespace monitor::testing {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

// A file, a directory or a symbolic link.
struct Entry {
  std::string name;
  std::string content;
  std::string link;
  std::vector<Entry> entries;
};

inline Entry file(std::string name, std::string content) {
  return {std::move(name), std::move(content), "", {}};
}
inline Entry link(std::string name, std::string target) {
  return {std::move(name), "", std::move(target), {}};
}
inline Entry directory(std::string name, std::vector<Entry> entries) {
  return {std::move(name) + "/", "", "", std::move(entries)};
}

// One process of /proc. `tcp`, `tcp6` and `unix_sockets` are lines of its network namespace's tables. `more` are
// further entries of its directory, such as maps, cwd or root.
struct Process {
  pid_t pid = 0;
  pid_t parent = 1;
  Strings arguments{};
  std::vector<int> sockets{};
  std::string tcp{};
  std::string tcp6{};
  std::string unix_sockets{};
  std::string comm = "python3";
  std::string state = "S";
  int start = 5000;
  std::string network = "net:[4026531833]";
  std::vector<Entry> more{};
  std::string executable = "/usr/bin/python3.11";
  std::string output = "pipe:[7]";
};

constexpr const char* kAnyPort = "00000000:270F";  // 0.0.0.0:9999

inline std::string tcp_line(const std::string& local, int inode, const std::string& state = "0A") {
  return "   0: " + local + " 00000000:0000 " + state + " 00000000:00000000 00:00000000 00000000  1000        0 " +
         std::to_string(inode) + " 1 0000000000000000 100 0 0 10 0\n";
}

inline std::string unix_line(const std::string& flags, const std::string& type, int inode, const std::string& path) {
  return "0000000000000000: 00000002 00000000 " + flags + " " + type + " 01 " + std::to_string(inode) + " " + path +
         "\n";
}

inline Entry proc_entry(const Process& process) {
  std::string cmdline;
  for (const std::string& argument : process.arguments) {
    cmdline += argument + '\0';
  }
  std::vector<Entry> descriptors{link("0", "/dev/null"), link("1", "pipe:[7]"), link("2", process.output)};
  for (const int inode : process.sockets) {
    descriptors.push_back(link(std::to_string(descriptors.size()), "socket:[" + std::to_string(inode) + "]"));
  }
  const std::string pid = std::to_string(process.pid);
  std::vector<Entry> entries = {
      file("stat", pid + " (" + process.comm + ") " + process.state + " " + std::to_string(process.parent) +
                       " 1 1 0 -1 4194560 9 0 0 0 250 50 30 10 20 0 3 0 " + std::to_string(process.start) +
                       " 1000000 77 18446744073709551615 1 1 0\n"),
      file("statm", "5000 300 200 1 0 400 0\n"),
      file("cmdline", cmdline),
      file("comm", process.comm + "\n"),
      file("status", "Name:\tx\nTgid:\t" + pid + "\n"),
      link("exe", process.executable),
      directory("fd", descriptors),
      directory("ns", {link("net", process.network)}),
      directory("net", {file("tcp", "  sl  local_address rem_address   st\n" + process.tcp),
                        file("tcp6", "  sl  local_address rem_address   st\n" + process.tcp6),
                        file("unix", "Num RefCount Protocol Flags Type St Inode Path\n" + process.unix_sockets)})};
  entries.insert(entries.end(), process.more.begin(), process.more.end());
  return directory(pid, std::move(entries));
}

// A temporary directory; the destructor removes it.
class TempDirectory {
 public:
  explicit TempDirectory(const std::vector<Entry>& entries = {}) {
    std::string name = (fs::temp_directory_path() / "monitor-host-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
    fs::permissions(path_, fs::perms(0755));
    write(path_, entries);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  static void write(const fs::path& into, const std::vector<Entry>& entries) {
    for (const Entry& entry : entries) {
      if (entry.name.back() == '/') {
        fs::create_directory(into / entry.name.substr(0, entry.name.size() - 1));
        write(into / entry.name, entry.entries);
      } else if (!entry.link.empty()) {
        fs::create_symlink(entry.link, into / entry.name);
      } else {
        std::ofstream(into / entry.name, std::ios::binary) << entry.content;
      }
    }
  }
  fs::path path_;
};

class FakeProc {
 public:
  explicit FakeProc(const std::vector<Process>& processes, std::vector<Entry> more = {})
      : directory_(all(processes, more)) {}
  ProcFs proc() const { return ProcFs(directory_.path().string()); }
  std::string operator/(const std::string& name) const { return directory_ / name; }

 private:
  // The processes of a network namespace share its tables.
  static std::vector<Entry> all(std::vector<Process> processes, std::vector<Entry>& entries) {
    std::map<std::string, Process> shared;
    for (const Process& process : processes) {
      Process& tables = shared[process.network];
      tables.tcp += process.tcp;
      tables.tcp6 += process.tcp6;
      tables.unix_sockets += process.unix_sockets;
    }
    for (Process& process : processes) {
      const Process& tables = shared[process.network];
      process.tcp = tables.tcp;
      process.tcp6 = tables.tcp6;
      process.unix_sockets = tables.unix_sockets;
      entries.push_back(proc_entry(process));
    }
    entries.push_back(file("uptime", "1 1\n"));
    entries.push_back(directory("sys", {}));
    return std::move(entries);
  }
  TempDirectory directory_;
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace monitor::testing
