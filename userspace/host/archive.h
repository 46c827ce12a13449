// SPDX-License-Identifier: Apache-2.0
// A Python program in one ZIP file: a zipapp, or what shiv and pex make. Private to host/.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace monitor {

class Archive {
 public:
  // nullopt if the file is no ZIP file, or its directory is larger than 4 MB.
  static std::optional<Archive> open(const std::string& path);

  // The member, if it is stored and not compressed; 256 kB at most.
  std::optional<std::string> read(const std::string& name) const;

  // Whether the package ("uvicorn") is in the archive, at its top or in a directory of packages.
  bool has_package(std::string_view package) const;

 private:
  struct Member {
    std::uint64_t offset = 0;  // of its local header, from the start of the archive
    std::uint64_t size = 0;
    bool stored = false;
  };

  Fd file_;
  std::uint64_t start_ = 0;  // of the archive within the file: after the line that names the interpreter
  std::map<std::string, Member, std::less<>> members_;
};

}  // namespace monitor
