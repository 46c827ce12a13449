// SPDX-License-Identifier: Apache-2.0
// The error idiom of user space: Result<T> holds a value or an Error, and TRY returns the Error to the caller.
#pragma once

#include <cassert>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace monitor {

// What kind of failure it is; the value is the program's exit status.
enum class ErrorCode {
  kFailed = 1,        // anything not named below
  kUsage = 2,         // the command line is wrong
  kNoTarget = 3,      // no such process, or it is not a server
  kNotPermitted = 4,  // a capability is missing
  kUnsupported = 5,   // the kernel lacks what is needed
};

// A sentence for a person: `what` says what failed, on what and why; `hint` says what to do next and may be empty.
// Neither ends in a newline. An Error reports a failure and nothing else: `what` is never empty, and no caller reads
// data out of it.
struct Error {
  Error(ErrorCode error_code, std::string sentence, std::string advice = {})
      : code(error_code), what(std::move(sentence)), hint(std::move(advice)) {
    assert(!what.empty());
  }

  ErrorCode code;
  std::string what;
  std::string hint;

  // Prefixes the operation that failed: "attach sock_recv_length: …".
  Error within(std::string_view operation) && {
    what.insert(0, std::string(operation) + ": ");
    return std::move(*this);
  }
};

// "<what>: <strerror>" for an errno that the caller saved first.
Error system_error(int saved_errno, std::string_view what, ErrorCode code = ErrorCode::kFailed);

// A value or an Error. Check with `if (!result)` before `*result`, or unwrap with TRY.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() & { return std::get<0>(state_); }
  const T& operator*() const& { return std::get<0>(state_); }
  T&& operator*() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

// Success without a value.
struct Ok {};
using Status = Result<Ok>;

// TRY unwraps a Result: it is the value, or it returns the Error from the enclosing function.
//
//   const Fd fd = TRY(open_map(pins, name));
//   TRY(check_version(pins));
//
// Wrap the call to add context: TRY(within("pin " + name, bpf_pin(fd))).
//
// TRY must not follow another element of a braced list or a lambda's captures, nor be an argument of `new`: when it
// returns, g++ and clang leak the elements built before it and the memory of `new`. Everywhere else, as in an argument
// list, they destroy what the expression has built so far.
#define TRY(expression) MONITOR_TRY(expression, __COUNTER__)
#define MONITOR_TRY(expression, unique) MONITOR_TRY_AS(expression, unique)
#define MONITOR_TRY_AS(expression, unique)    \
  __extension__({                             \
    auto try_##unique = (expression);         \
    if (!try_##unique) {                      \
      return std::move(try_##unique).error(); \
    }                                         \
    *std::move(try_##unique);                 \
  })

// Prefixes the Error of a failed Result with the operation that failed.
template <typename T>
Result<T> within(std::string_view operation, Result<T> result) {
  return result ? std::move(result) : Result<T>(std::move(result).error().within(operation));
}

}  // namespace monitor
