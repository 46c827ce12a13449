// SPDX-License-Identifier: Apache-2.0
#include "session/libbpf_messages.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <string>

#include "session/load_error.h"

namespace monitor {
namespace {

// libbpf has one print callback for the whole process and passes it no context, so these cannot be members.
thread_local std::string first_warning;   // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
thread_local std::string verifier_log;    // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
thread_local bool show_messages = false;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

// Only the end of a verifier's log says why; all of it can take megabytes.
constexpr std::size_t kKeptOfLog = 4096;

__attribute__((format(printf, 1, 0))) std::string format_message(const char* format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  std::string text(length > 0 ? static_cast<std::size_t>(length) : 0, '\0');
  std::vsnprintf(text.data(), text.size() + 1, format, arguments);
  return text;
}

__attribute__((format(printf, 2, 0))) int take_message(libbpf_print_level level, const char* format,
                                                       va_list arguments) {
  if (!show_messages && level != LIBBPF_WARN) {
    return 0;
  }
  std::string text = format_message(format, arguments);
  if (show_messages) {
    std::fputs(text.c_str(), stderr);
  }
  // The first warning names what failed; later ones repeat that something did, but for the verifier's log.
  if (level == LIBBPF_WARN && verifier_log.empty() && has_verifier_log(text)) {
    verifier_log = text.size() > kKeptOfLog ? std::string(kVerifierLog) + text.substr(text.size() - kKeptOfLog) : text;
  } else if (level == LIBBPF_WARN && first_warning.empty()) {
    first_warning = text;
    std::replace(first_warning.begin(), first_warning.end(), '\n', ' ');
    while (!first_warning.empty() && first_warning.back() == ' ') {
      first_warning.pop_back();
    }
  }
  return static_cast<int>(text.size());
}

}  // namespace

void capture_libbpf_messages() {
  first_warning.clear();
  verifier_log.clear();
  libbpf_set_print(take_message);
}

void show_libbpf_messages(bool show) {
  show_messages = show;
}

Error libbpf_error(std::string_view operation, int saved_errno) {
  const std::string log = verifier_log.empty() ? first_warning : first_warning + "\n" + verifier_log;
  return explain_load_error(operation, saved_errno, log, machine_state());
}

}  // namespace monitor
