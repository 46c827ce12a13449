// SPDX-License-Identifier: Apache-2.0
#include "session/load_error.h"

#include <linux/magic.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace monitor {
namespace {

struct CloseFile {
  void operator()(FILE* file) const { std::fclose(file); }
};

std::string read_small_file(const char* path) {
  const std::unique_ptr<FILE, CloseFile> file{std::fopen(path, "re")};
  if (!file) {
    return {};
  }
  std::string text(8192, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  return text;
}

// From include/uapi/linux/capability.h. The kernel accepts CAP_SYS_ADMIN in place of CAP_BPF and CAP_PERFMON.
constexpr unsigned kCapSysPtrace = 19;
constexpr unsigned kCapSysAdmin = 21;
constexpr unsigned kCapPerfmon = 38;
constexpr unsigned kCapBpf = 39;

std::string missing_capabilities() {
  const std::string status = read_small_file("/proc/self/status");
  const std::size_t at = status.find("CapEff:\t");
  if (at == std::string::npos) {
    return {};
  }
  const std::uint64_t effective = std::strtoull(status.c_str() + at + 8, nullptr, 16);
  const auto has = [effective](unsigned capability) { return (effective >> capability & 1) != 0; };
  std::string missing;
  const auto need = [&missing](const char* name) { missing += (missing.empty() ? "" : ", ") + std::string(name); };
  if (!has(kCapBpf) && !has(kCapSysAdmin)) {
    need("CAP_BPF");
  }
  if (!has(kCapPerfmon) && !has(kCapSysAdmin)) {
    need("CAP_PERFMON");
  }
  if (!has(kCapSysPtrace)) {
    need("CAP_SYS_PTRACE");
  }
  return missing;
}

// In a sandbox /sys/kernel can be hidden by a file system over it, be inaccessible, or not be mounted at all.
bool is_sysfs_hidden() {
  struct statfs status {};
  for (const char* path : {"/sys/kernel/btf", "/sys/kernel"}) {
    if (::statfs(path, &status) == 0) {
      return status.f_type != SYSFS_MAGIC || ::access(path, X_OK) != 0;
    }
    if (errno != ENOENT) {
      return true;
    }
  }
  return true;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

MachineState machine_state() {
  MachineState machine;
  utsname name{};
  if (::uname(&name) == 0) {
    machine.kernel_release = name.release;
  }
  machine.missing_capabilities = missing_capabilities();
  machine.has_btf = ::access("/sys/kernel/btf/vmlinux", R_OK) == 0;
  machine.sysfs_hidden = !machine.has_btf && is_sysfs_hidden();
  machine.confidential = contains(read_small_file("/sys/kernel/security/lockdown"), "[confidentiality]");
  return machine;
}

Error explain_load_error(std::string_view operation, int saved_errno, std::string_view log,
                         const MachineState& machine) {
  const std::string failed = std::string(operation) + ": ";
  if (!machine.missing_capabilities.empty()) {
    return Error{ErrorCode::kNotPermitted, failed + "not permitted, this process lacks " + machine.missing_capabilities,
                 "run it as root, for example with sudo"};
  }
  if (machine.sysfs_hidden) {
    return Error{ErrorCode::kUnsupported,
                 failed +
                     "/sys/kernel/btf/vmlinux cannot be read: /sys/kernel is hidden from this process, as in a "
                     "container or a sandbox, or sysfs is not mounted",
                 "run it on the host; where sysfs is not mounted: mount -t sysfs sysfs /sys"};
  }
  if (!machine.has_btf) {
    return Error{
        ErrorCode::kUnsupported,
        failed + "kernel " + machine.kernel_release +
            " has no BTF (/sys/kernel/btf/vmlinux), which describes the layout of its structures",
        "use a kernel built with CONFIG_DEBUG_INFO_BTF=y; Debian and most other distributions build theirs so"};
  }
  if (machine.confidential) {
    return Error{ErrorCode::kUnsupported,
                 failed + "kernel lockdown is in confidentiality mode, which does not let BPF programs read memory",
                 "boot with lockdown=integrity or without lockdown"};
  }
  for (const char* tracepoint : {"sock_recv_length", "sock_send_length", "inet_sock_set_state"}) {
    if (contains(log, tracepoint) && (saved_errno == ESRCH || saved_errno == ENOENT)) {
      return Error{ErrorCode::kUnsupported,
                   failed + "kernel " + machine.kernel_release + " lacks the tracepoint " + tracepoint,
                   "the profile \"socket\" needs Linux 6.3 or later; use --profile syscall"};
    }
  }
  if (saved_errno == EPERM || saved_errno == EACCES) {
    return Error{ErrorCode::kNotPermitted,
                 failed +
                     "not permitted although the capabilities are present: a seccomp filter, an LSM or a container "
                     "forbids the bpf system call",
                 "run it on the host, outside containers"};
  }
  Error error = system_error(saved_errno, operation);
  if (!log.empty()) {
    error.what += " (" + std::string(log) + ")";
  }
  error.hint = "run it again with --verbose to see the messages of libbpf and the kernel";
  return error;
}

}  // namespace monitor
