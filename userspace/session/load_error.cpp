// SPDX-License-Identifier: Apache-2.0
#include "session/load_error.h"

#include <linux/magic.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

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

bool has_text(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// The first Linux that has all that the engine needs.
constexpr unsigned kNeededMajor = 6;
constexpr unsigned kNeededMinor = 1;

// Whether the release ("5.10.0-28-amd64") is one that lacks something. Only for advice: distributions backport.
bool is_too_old(const std::string& release) {
  unsigned major = 0;
  unsigned minor = 0;
  return std::sscanf(release.c_str(), "%u.%u", &major, &minor) == 2 &&  // NOLINT(cert-err34-c)
         (major < kNeededMajor || (major == kNeededMajor && minor < kNeededMinor));
}

std::string advice_for_kernel(const MachineState& machine, const std::string& otherwise) {
  return is_too_old(machine.kernel_release) ? "monitor needs Linux 6.1 or later" : otherwise;
}

// "map services", "program on_received" of "libbpf: map 'services': failed to create: …"; empty if it names neither.
std::string failed_object(std::string_view log) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kKinds = {{
      {"prog '", "program "},
      {"program '", "program "},
      {"map '", "map "},
  }};
  for (const auto& [mark, kind] : kKinds) {
    const std::size_t at = log.find(mark);
    const std::size_t end = at == std::string_view::npos ? at : log.find('\'', at + mark.size());
    if (end != std::string_view::npos) {
      return std::string(kind) + std::string(log.substr(at + mark.size(), end - at - mark.size()));
    }
  }
  return {};
}

// The line of the verifier's log that says why: the last one before its statistics.
std::string verifier_reason(std::string_view log) {
  log.remove_prefix(std::min(log.find(kVerifierLog) + kVerifierLog.size(), log.size()));
  log = log.substr(0, log.find("-- END PROG LOAD LOG --"));
  constexpr std::array<std::string_view, 4> kStatistics = {"processed ", "verification time ", "stack depth ",
                                                           "libbpf: "};
  std::string_view reason;
  while (!log.empty()) {
    const std::string_view line = log.substr(0, log.find('\n'));
    log.remove_prefix(std::min(line.size() + 1, log.size()));
    if (!line.empty() && std::none_of(kStatistics.begin(), kStatistics.end(),
                                      [line](std::string_view start) { return line.starts_with(start); })) {
      reason = line;
    }
  }
  return std::string(reason);
}

// The verifier ran and turned a program down. The errno is no evidence of anything else: it is EACCES, EINVAL, E2BIG
// and others, by the rule that the program breaks.
Error rejected_by_verifier(const std::string& failed, int saved_errno, std::string_view log,
                           const MachineState& machine) {
  const std::string program = failed_object(log);
  const std::string reason = verifier_reason(log);
  const bool too_large = saved_errno == E2BIG || has_text(reason, "too large") || has_text(reason, "too complex");
  std::string what = failed + "the verifier of kernel " + machine.kernel_release + " rejects the " +
                     (program.empty() ? "program" : program);
  if (too_large) {
    what += " as too large or too complex";
  }
  what += reason.empty() ? "" : ": " + reason;
  return Error{ErrorCode::kUnsupported, std::move(what),
               advice_for_kernel(machine,
                                 "permissions are not the cause; try the other --profile, and report this kernel with "
                                 "the output of --verbose")};
}

Error out_of_memory(const std::string& failed, std::string_view log) {
  const std::string object = failed_object(log);
  return Error{ErrorCode::kFailed, failed + std::strerror(ENOMEM) + (object.empty() ? "" : ", for the " + object),
               "free memory, or raise the memory limit of the container or service that this runs in (memory.max, "
               "MemoryMax=); --max-connections, --max-endpoints and --max-targets make the maps smaller"};
}

// The kernel refuses a map, a program or one of their flags without a word of its verifier.
Error unknown_to_kernel(const std::string& failed, std::string_view log, const MachineState& machine) {
  const std::string object = failed_object(log);
  return Error{ErrorCode::kUnsupported,
               failed + "kernel " + machine.kernel_release + " does not accept " +
                   (object.empty() ? "it" : "the " + object) + " (" + std::strerror(EINVAL) +
                   (log.empty() ? "" : "; " + std::string(log)) + ")",
               advice_for_kernel(machine, "run it again with --verbose to see the messages of libbpf and the kernel")};
}

}  // namespace

bool has_verifier_log(std::string_view message) {
  return has_text(message, kVerifierLog);
}

MachineState machine_state() {
  MachineState machine;
  utsname name{};
  if (::uname(&name) == 0) {
    machine.kernel_release = name.release;
  }
  machine.missing_capabilities = missing_capabilities();
  machine.has_btf = ::access("/sys/kernel/btf/vmlinux", R_OK) == 0;
  machine.sysfs_hidden = !machine.has_btf && is_sysfs_hidden();
  machine.confidential = has_text(read_small_file("/sys/kernel/security/lockdown"), "[confidentiality]");
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
    if (has_text(log, tracepoint) && (saved_errno == ESRCH || saved_errno == ENOENT)) {
      return Error{ErrorCode::kUnsupported,
                   failed + "kernel " + machine.kernel_release + " lacks the tracepoint " + tracepoint,
                   "the profile \"socket\" needs Linux 6.3 or later; use --profile syscall"};
    }
  }
  if (has_verifier_log(log)) {
    return rejected_by_verifier(failed, saved_errno, log, machine);
  }
  if (saved_errno == ENOMEM) {
    return out_of_memory(failed, log);
  }
  if (saved_errno == EINVAL) {
    return unknown_to_kernel(failed, log, machine);
  }
  if (saved_errno == E2BIG) {
    const std::string object = failed_object(log);
    return Error{
        ErrorCode::kUnsupported,
        failed + "kernel " + machine.kernel_release + " takes " +
            (object.empty() ? "what it was given" : "the " + object) + " for too large (" + std::strerror(E2BIG) + ")",
        advice_for_kernel(machine,
                          "make --max-connections, --max-endpoints and --max-targets smaller if you gave them; "
                          "otherwise try the other --profile")};
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
