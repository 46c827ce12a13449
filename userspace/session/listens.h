// SPDX-License-Identifier: Apache-2.0
// Reads the ring buffer in which the kernel side posts each process that begins to listen.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "session/engine.h"
#include "session/map.h"

struct ring_buffer;  // libbpf's

namespace monitor {

class Listens {
 public:
  static Result<std::unique_ptr<Listens>> open(const Map& map);

  Listens() = default;
  Listens(const Listens&) = delete;
  Listens& operator=(const Listens&) = delete;
  ~Listens();

  // Readable while take() would return something.
  int fd() const;

  // Those that were posted since the last call.
  std::vector<Listen> take();

 private:
  ring_buffer* ring_ = nullptr;
  std::vector<Listen> taken_;
};

}  // namespace monitor
