// SPDX-License-Identifier: Apache-2.0
// How it is known that a process serves HTTP.
#pragma once

#include <string_view>

namespace monitor {

// Strongest first.
enum class Evidence {
  kNamed,     // the operator named it
  kAttached,  // an engine counts it already
  kCommand,   // its command line starts a server
  kScript,    // its program imports a server, or belongs to a package that requires one
  kModules,   // a compiled module of a server is mapped
  kListens,   // it is a Python that listens: a guess
};

// The word of each in JSON.
constexpr std::string_view evidence_name(Evidence evidence) {
  switch (evidence) {
    case Evidence::kNamed:
      return "named";
    case Evidence::kAttached:
      return "attached";
    case Evidence::kCommand:
      return "command";
    case Evidence::kScript:
      return "script";
    case Evidence::kModules:
      return "modules";
    case Evidence::kListens:
      break;
  }
  return "listens";
}

// For people.
constexpr std::string_view evidence_text(Evidence evidence) {
  switch (evidence) {
    case Evidence::kNamed:
      return "named by you";
    case Evidence::kAttached:
      return "attached";
    case Evidence::kCommand:
      return "by its command line";
    case Evidence::kScript:
      return "by its script";
    case Evidence::kModules:
      return "by its compiled modules";
    case Evidence::kListens:
      break;
  }
  return "a guess: a Python that listens";
}

constexpr bool is_guess(Evidence evidence) {
  return evidence == Evidence::kListens;
}

}  // namespace monitor
