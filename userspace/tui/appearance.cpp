// SPDX-License-Identifier: Apache-2.0
#include "tui/appearance.h"

#include <langinfo.h>

#include <clocale>
#include <cstring>

namespace monitor {

bool use_color(ColorChoice choice, bool is_terminal, const Environment& environment) {
  if (choice != ColorChoice::kAuto) {
    return choice == ColorChoice::kAlways;
  }
  // By no-color.org, any value but an empty one asks for no colour.
  const char* const no_color = environment("NO_COLOR");
  return (no_color == nullptr || *no_color == '\0') && is_smart_terminal(is_terminal, environment);
}

bool is_smart_terminal(bool is_terminal, const Environment& environment) {
  const char* const term = environment("TERM");
  return is_terminal && term != nullptr && *term != '\0' && std::strcmp(term, "dumb") != 0;
}

bool is_utf8_locale() {
  return std::setlocale(LC_CTYPE, "") != nullptr && std::strcmp(::nl_langinfo(CODESET), "UTF-8") == 0;
}

}  // namespace monitor
