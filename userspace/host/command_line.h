// SPDX-License-Identifier: Apache-2.0
// Takes a command line apart, recognises a server by it, and makes it safe to print. Private to host/.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

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
  bool python = false;      // argv[0] is a Python interpreter
  // What Python runs; at most one is not empty.
  std::string script;  // a path
  std::string module;  // -m
  std::string code;    // -c

  // For people: the program with its application, or with its arguments.
  std::string title() const { return application.empty() ? shown : program + " " + application; }
};

CommandLine read_command_line(const std::vector<std::string>& arguments);

// read_command_line().server
std::string server_program(const std::vector<std::string>& arguments);

// Whether the name of an executable is that of a Python interpreter.
bool is_python(std::string_view path);

// "/usr/bin/uvicorn" → "uvicorn".
std::string_view base_name(std::string_view path);

// Escapes untrusted bytes into one line of printable ASCII: a byte that is not printable becomes \xNN, a backslash
// becomes \\. Text that does not fit in `limit` characters is cut and ends in "...".
std::string printable(std::string_view bytes, std::size_t limit);

}  // namespace monitor
