// SPDX-License-Identifier: Apache-2.0
// Takes a command line apart, recognises a server by it, and makes it safe to print. Private to host/.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/procfs.h"

namespace monitor {

// What a command line says. Strings can hold untrusted bytes.
struct CommandLine {
  // The HTTP server that it starts by name, such as "uvicorn"; empty if it starts no known server. The name must be the
  // program itself (argv[0]), the script or module that a Python interpreter runs, what a debugger or profiler runs
  // ("-m debugpy -m uvicorn"), or a title that the server has set ("gunicorn: master [app]"). A name in a later
  // argument proves nothing: "sudo uvicorn", "vim uvicorn", "sh -c uvicorn".
  std::string server;
  std::string program;      // without the interpreter and directories: "uvicorn", "main.py"
  std::string application;  // "app:app"; empty if unknown
  std::string shown;        // the program and its arguments, joined by spaces
  bool python = false;      // the arguments are those of a Python interpreter
  bool titled = false;      // the process has set a title of its own
  // What Python runs; at most one is not empty.
  std::string script;  // a path
  std::string module;  // -m
  std::string code;    // -c

  // For people: the program with its application, or with its arguments.
  std::string title() const { return application.empty() ? shown : program + " " + application; }
};

CommandLine read_command_line(const std::vector<std::string>& arguments);

// The same for a process that executes an interpreter under another name, by a link, a copy or `exec -a`: nullopt
// unless `arguments` name a file in Python or a module. `line` is what read_command_line() made of them.
std::optional<CommandLine> read_renamed_python(const CommandLine& line, const std::vector<std::string>& arguments);

// Those of a running process, which may execute an interpreter under another name.
CommandLine read_command_line(const ProcFs& proc, pid_t pid);

// read_command_line().server
std::string server_program(const std::vector<std::string>& arguments);

// "package.module:attribute", also "app:create()". Not "localhost:80", "unix:/run/x" or gunicorn's "python:settings".
bool is_application(std::string_view text);

// Whether the name of an executable is that of a Python interpreter.
bool is_python(std::string_view path);

// "/usr/bin/uvicorn" → "uvicorn".
std::string_view base_name(std::string_view path);

// Escapes untrusted bytes into one line of printable ASCII: a byte that is not printable becomes \xNN, a backslash
// becomes \\. Text that does not fit in `limit` characters is cut and ends in "...".
std::string printable(std::string_view bytes, std::size_t limit);

}  // namespace monitor
