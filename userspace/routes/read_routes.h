// SPDX-License-Identifier: Apache-2.0
// Reads the file of --routes: a template in each line, or an OpenAPI document in JSON.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "routes/table.h"
#include "routes/template.h"

namespace monitor {

// Lines "/users/{id}" or "GET /users/{id}"; empty ones, and text after "#", are ignored. Or OpenAPI 3 or Swagger 2: the
// keys of `paths`, and each also with the prefix of `servers` or `basePath`, because a proxy may or may not remove it.
// Fails with a sentence that names the line.
Result<std::vector<RouteTemplate>> parse_routes(std::string_view text);

// Reads and compiles the file.
Result<RouteTable> read_routes(const std::string& path);

}  // namespace monitor
