// SPDX-License-Identifier: Apache-2.0
#include "session/libbpf_messages.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <string>

#include "session/load_error.h"

namespace monitor {
namespace {

// libbpf has one print callback for the whole process and passes it no context, so these cannot be members.
thread_local std::string first_warning;   // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
thread_local bool show_messages = false;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

__attribute__((format(printf, 2, 0))) int take_message(libbpf_print_level level, const char* format,
                                                       va_list arguments) {
  std::array<char, 512> text{};
  const int length = std::vsnprintf(text.data(), text.size(), format, arguments);
  if (show_messages) {
    std::fputs(text.data(), stderr);
  }
  // The first warning names what failed; later ones only repeat that something did.
  if (level == LIBBPF_WARN && first_warning.empty()) {
    first_warning = text.data();
    std::replace(first_warning.begin(), first_warning.end(), '\n', ' ');
    while (!first_warning.empty() && first_warning.back() == ' ') {
      first_warning.pop_back();
    }
  }
  return length;
}

}  // namespace

void capture_libbpf_messages() {
  first_warning.clear();
  libbpf_set_print(take_message);
}

void show_libbpf_messages(bool show) {
  show_messages = show;
}

Error libbpf_error(std::string_view operation, int saved_errno) {
  return explain_load_error(operation, saved_errno, first_warning, machine_state());
}

}  // namespace monitor
