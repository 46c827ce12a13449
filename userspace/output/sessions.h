// SPDX-License-Identifier: Apache-2.0
// What `monitor sessions` prints, pure. Strings that others wrote are escaped.
#pragma once

#include <string>

#include "model/sessions.h"

namespace monitor {

// Text for people.
std::string render_sessions(const Sessions& sessions);

// One JSON object, without a newline.
std::string render_sessions_json(const Sessions& sessions);

// "2026-11-25 14:30:12" in the local time zone.
std::string format_time(double seconds_since_1970);

}  // namespace monitor
