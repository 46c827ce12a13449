// SPDX-License-Identifier: Apache-2.0
// What a Python source imports, and which modules are HTTP servers. Private to host/.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace monitor {

// Modules that an HTTP server in Python imports, and distributions that one requires.
std::span<const std::string_view> server_modules();

// The entry of server_modules() that the module is, or a package that it is in, or "".
std::string_view server_module(std::string_view module);

// What a Python source shows of the server that its program is.
struct Imports {
  std::string server;                // that it runs: "uvicorn"; empty if it runs none that is known
  std::string framework;             // of which it has an application that a server can run: "fastapi"; may be empty
  bool listens = false;              // it accepts connections by itself
  std::vector<std::string> modules;  // that it imports, as they are written: "a.b", ".c" within a package; 256 at most
};

// `is_main`: it runs as "__main__".
Imports read_imports(std::string_view source, bool is_main = true);

// The server of a Python source, else its framework; may be empty.
std::string imported_server(std::string_view source);

}  // namespace monitor
