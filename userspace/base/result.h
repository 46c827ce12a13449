// SPDX-License-Identifier: Apache-2.0
// The one error idiom of the user side: Result<T> is a value or an Error, and an Error is a sentence for a person.
#pragma once

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
  kNoTarget = 3,      // no such process, or it is no server
  kNotPermitted = 4,  // a capability is missing
  kUnsupported = 5,   // the kernel lacks what is needed
};

// `what` says what failed, on what and why; `hint` says what to do next (may be empty). Neither ends in a newline.
struct Error {
  ErrorCode code = ErrorCode::kFailed;
  std::string what;
  std::string hint;

  // Puts the operation that was under way in front: "attach sock_recv_length: …".
  Error within(std::string_view operation) && {
    what.insert(0, std::string(operation) + ": ");
    return std::move(*this);
  }
};

// "<what>: <strerror>" for an errno that the caller saved first.
Error system_error(int saved_errno, std::string_view what, ErrorCode code = ErrorCode::kFailed);

// A value or an Error. Check with `if (!result)` before `*result`.
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

}  // namespace monitor
