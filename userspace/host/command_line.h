// SPDX-License-Identifier: Apache-2.0
// Recognises a server by its command line, and makes a command line safe to print. Private to host/.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace monitor {

// Returns "uvicorn", "gunicorn" or "hypercorn" if the arguments start that program, otherwise "". The name must be the
// program itself (argv[0]), the script or module that a Python interpreter runs, or a title that the server has set
// ("gunicorn: master [app]"). A name in a later argument proves nothing: "sudo uvicorn", "vim uvicorn",
// "sh -c uvicorn".
std::string_view server_program(const std::vector<std::string>& arguments);

// Escapes untrusted bytes into one line of printable ASCII: a byte that is not printable becomes \xNN, a backslash
// becomes \\. Text that does not fit in `limit` characters is cut and ends in "...".
std::string printable(std::string_view bytes, std::size_t limit);

}  // namespace monitor
