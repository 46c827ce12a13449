// SPDX-License-Identifier: Apache-2.0
// What `monitor ls` prints, pure. Strings that others wrote are escaped.
#pragma once

#include <string>
#include <vector>

#include "model/listed_server.h"

namespace monitor {

// Text for people.
std::string render_listed(const std::vector<ListedServer>& servers);

// One JSON object, without a newline; docs/schema/ls.schema.json describes it.
std::string render_listed_json(const std::vector<ListedServer>& servers);

}  // namespace monitor
