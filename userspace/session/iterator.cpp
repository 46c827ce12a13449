// SPDX-License-Identifier: Apache-2.0
#include "session/iterator.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/fd.h"

namespace monitor {

Result<std::vector<char>> read_iterator(const Program& program, bpf_iter_link_info& info) {
  const std::string& name = program.name();
  bpf_link_create_opts options{};
  options.sz = sizeof(options);
  options.iter_info = &info;
  options.iter_info_len = sizeof(info);
  const Fd link{bpf_link_create(program.fd(), 0, BPF_TRACE_ITER, &options)};
  if (!link) {
    if (errno == ESRCH) {
      return std::vector<char>{};
    }
    return system_error(errno, "start the kernel's iterator " + name);
  }
  const Fd iterator{bpf_iter_create(link.get())};
  if (!iterator) {
    return system_error(errno, "open the kernel's iterator " + name);
  }
  std::vector<char> records;
  constexpr std::size_t kBlock = 16384;
  for (;;) {
    const std::size_t size = records.size();
    records.resize(size + kBlock);
    const ssize_t count = ::read(iterator.get(), records.data() + size, kBlock);
    const int saved_errno = errno;
    records.resize(size + (count > 0 ? static_cast<std::size_t>(count) : 0));
    if (count == 0) {
      return records;
    }
    // EAGAIN: this stretch had no record, the next one may have (kernel/bpf/bpf_iter.c, bpf_seq_read).
    if (count < 0 && saved_errno != EAGAIN && saved_errno != EINTR) {
      return system_error(saved_errno, "read the kernel's iterator " + name);
    }
  }
}

}  // namespace monitor
