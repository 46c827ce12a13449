// SPDX-License-Identifier: Apache-2.0
// What a command line says of a process: whether it is one of the servers we know, and how to show it to a person.
// Private to host/.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace monitor {

// "uvicorn", "gunicorn" or "hypercorn" when the arguments are those of that program; else empty. It must be the program
// itself (argv[0]), the script or module that a Python interpreter runs, or a title that the server gave itself
// ("gunicorn: master [app]"). A name further behind proves nothing: "sudo uvicorn", "vim uvicorn", "sh -c uvicorn".
std::string_view server_program(const std::vector<std::string>& arguments);

// Bytes of a stranger on one line of ASCII: what is not printable becomes \xNN, a backslash \\; past `limit` characters
// it ends in "...".
std::string shown(std::string_view bytes, std::size_t limit);

}  // namespace monitor
