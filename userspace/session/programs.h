// SPDX-License-Identifier: Apache-2.0
// The table of the engine's BPF programs. Loading, attaching, pinning, opening pins, the check that an engine is
// complete and the count of missed events all follow from it: a new hook is one row. A kernel test compares the table
// with the built objects.
#pragma once

#include <array>
#include <cstddef>

#include "session/parts.h"
#include "session/profile.h"
#include "session/table.h"

namespace monitor {

enum class Profiles { kBoth, kSocket, kSyscall };

// How a program runs. A new kind of hook is a value here and a case in open_link (links.cpp).
enum class Attachment {
  kTracepoint,  // tp_btf: attached to the kernel for as long as its link lives
  kIterator,    // iter: user space opens and reads it (iterator.h)
  kRun,         // raw_tp, attached to nothing: user space runs it (run_program.h)
};

struct ProgramRow {
  const char* name;
  Profiles profiles;
  PartId part;
  Attachment attachment;
  // Whether a run that the kernel drops, because it interrupts another run of the same program on that CPU, loses an
  // event. Changes of a socket's state have two programs, one of which is always free.
  bool misses_count;

  constexpr bool runs_under(Profile profile) const {
    return profiles == Profiles::kBoth || (profiles == Profiles::kSocket) == (profile == Profile::kSocket);
  }
  constexpr bool is_hook() const { return attachment != Attachment::kIterator && attachment != Attachment::kRun; }
};

inline constexpr std::array kPrograms = {
    ProgramRow{"on_received", Profiles::kSocket, "core", Attachment::kTracepoint, true},
    ProgramRow{"on_sent", Profiles::kSocket, "core", Attachment::kTracepoint, true},
    ProgramRow{"on_arrival", Profiles::kSocket, "core", Attachment::kTracepoint, false},
    ProgramRow{"on_syscall", Profiles::kSyscall, "core", Attachment::kTracepoint, true},
    ProgramRow{"on_state", Profiles::kBoth, "core", Attachment::kTracepoint, false},
    ProgramRow{"on_state_too", Profiles::kBoth, "core", Attachment::kTracepoint, false},
    ProgramRow{"on_fork", Profiles::kBoth, "core", Attachment::kTracepoint, true},
    ProgramRow{"on_exit", Profiles::kBoth, "core", Attachment::kTracepoint, true},
    ProgramRow{"on_unix_received", Profiles::kSocket, "unix", Attachment::kTracepoint, true},
    ProgramRow{"on_unix_sent", Profiles::kSocket, "unix", Attachment::kTracepoint, true},
    ProgramRow{"on_close", Profiles::kBoth, "unix", Attachment::kTracepoint, true},
    ProgramRow{"iterate_sockets", Profiles::kBoth, "core", Attachment::kIterator, false},
    ProgramRow{"iterate_connections", Profiles::kSocket, "core", Attachment::kIterator, false},
    ProgramRow{"iterate_addressed", Profiles::kBoth, "core", Attachment::kIterator, false},
    ProgramRow{"evict", Profiles::kBoth, "core", Attachment::kRun, false},
    ProgramRow{"make_listener", Profiles::kBoth, "core", Attachment::kRun, false},
    ProgramRow{"judge_listener", Profiles::kBoth, "core", Attachment::kRun, false},
    ProgramRow{"sweep", Profiles::kBoth, "core", Attachment::kRun, false},
    ProgramRow{"correct", Profiles::kBoth, "core", Attachment::kRun, false},
    ProgramRow{"note_open", Profiles::kBoth, "core", Attachment::kRun, false},
};

// A row of the table, written as the program's name. A name that is not in the table does not compile.
class ProgramId {
 public:
  consteval ProgramId(const char* name) : index_(row_index(kPrograms, name)) {}  // NOLINT(google-explicit-constructor)
  constexpr explicit ProgramId(std::size_t index) : index_(index) {}

  constexpr std::size_t index() const { return index_; }
  constexpr const ProgramRow& row() const { return kPrograms[index_]; }
  bool operator==(const ProgramId&) const = default;

 private:
  std::size_t index_;
};

}  // namespace monitor
