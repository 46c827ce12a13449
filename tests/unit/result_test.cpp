// SPDX-License-Identifier: Apache-2.0
// TRY returns a value, propagates an Error to the caller, and nests.
#include "base/result.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace monitor {
namespace {

Result<int> parse(const std::string& digit) {
  if (digit.size() != 1 || digit[0] < '0' || digit[0] > '9') {
    return Error{ErrorCode::kUsage, "'" + digit + "' is not a digit"};
  }
  return digit[0] - '0';
}

Result<int> sum(const std::string& left, const std::string& right) {
  const int first = TRY(parse(left));
  return first + TRY(parse(right));
}

Status check(const std::string& digit) {
  TRY(within("check", parse(digit)));
  return Ok{};
}

Result<std::unique_ptr<int>> allocate(const std::string& digit) {
  return std::make_unique<int>(TRY(parse(digit)));
}

Result<int> nested(const std::string& digit) {
  return *TRY(allocate(std::to_string(TRY(parse(digit)))));
}

}  // namespace

TEST_CASE("result.try: returns the value or propagates the Error") {
  CHECK(*sum("2", "3") == 5);
  CHECK(sum("2", "x").error().what == "'x' is not a digit");
  CHECK(sum("y", "x").error().what == "'y' is not a digit");
  CHECK(sum("y", "3").error().code == ErrorCode::kUsage);
}

TEST_CASE("result.try: moves values that cannot be copied, and nests") {
  CHECK(*nested("7") == 7);
  CHECK_FALSE(nested("seven"));
}

TEST_CASE("result.within: prefixes the operation and leaves a value alone") {
  CHECK(check("1"));
  CHECK(check("z").error().what == "check: 'z' is not a digit");
}

}  // namespace monitor
