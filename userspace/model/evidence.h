// SPDX-License-Identifier: Apache-2.0
// How it is known that a process serves HTTP.
#pragma once

#include <array>
#include <cstddef>
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

struct EvidenceRow {
  std::string_view name;  // in JSON
  std::string_view text;  // for people
};

// In the order of Evidence.
constexpr std::array kEvidence = {
    EvidenceRow{"named", "named by you"},
    EvidenceRow{"attached", "attached"},
    EvidenceRow{"command", "by its command line"},
    EvidenceRow{"script", "by its script"},
    EvidenceRow{"modules", "by its compiled modules"},
    EvidenceRow{"listens", "a guess: a Python that listens"},
};
static_assert(kEvidence.size() == static_cast<std::size_t>(Evidence::kListens) + 1);

constexpr std::string_view evidence_name(Evidence evidence) {
  return kEvidence[static_cast<std::size_t>(evidence)].name;
}

constexpr std::string_view evidence_text(Evidence evidence) {
  return kEvidence[static_cast<std::size_t>(evidence)].text;
}

constexpr bool is_guess(Evidence evidence) {
  return evidence == Evidence::kListens;
}

}  // namespace monitor
