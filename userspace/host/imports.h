// SPDX-License-Identifier: Apache-2.0
// What a Python source imports, and which modules are HTTP servers. Private to host/.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace monitor {

// Modules whose import makes a program that listens an HTTP server, and distributions whose requirement does.
std::span<const std::string_view> server_modules();

// The entry of server_modules() that the module is, or a package that it is in, or "".
std::string_view server_module(std::string_view module);

// The HTTP server or web framework that the Python source imports first, such as "uvicorn"; empty if it imports no
// known one.
std::string imported_server(std::string_view source);

// What a source imports.
struct Imports {
  std::string server;                // imported_server()
  std::vector<std::string> modules;  // as they are written: "a.b", ".c" within a package; 256 at most
};
Imports read_imports(std::string_view source);

}  // namespace monitor
