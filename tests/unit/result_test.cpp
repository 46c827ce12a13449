// SPDX-License-Identifier: Apache-2.0
// TRY returns a value, propagates an Error to the caller, and nests.
#include "base/result.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

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

// Counts the instances that exist.
struct Counted {
  static inline int instances = 0;
  explicit Counted(int n) : number(n) { ++instances; }
  Counted(const Counted& other) : number(other.number) { ++instances; }
  Counted& operator=(const Counted&) = default;
  ~Counted() { --instances; }
  int number;
};

int add(const Counted& left, int right, Counted by_value) {
  return left.number + right + by_value.number;
}

Result<int> before_others(const std::string& digit) {
  return add(Counted(1), TRY(parse(digit)), Counted(2));
}

Result<int> after_others(const std::string& digit) {
  const Counted left(1);
  return add(Counted(left), Counted(2).number + TRY(parse(digit)), left);
}

Result<int> into_a_container(const std::string& digit) {
  std::vector<std::pair<Counted, int>> numbers;
  numbers.emplace_back(Counted(1), TRY(parse(digit)));
  numbers.push_back(std::pair<Counted, int>(Counted(2), TRY(parse(digit))));
  return numbers.back().second;
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

TEST_CASE("result.try: a return destroys the other arguments of a call") {
  for (const auto& [try_it, sum_of_7] : {std::pair{&before_others, 10}, {&after_others, 11}, {&into_a_container, 7}}) {
    CHECK(*try_it("7") == sum_of_7);
    CHECK(Counted::instances == 0);
    CHECK_FALSE(try_it("seven"));
    CHECK(Counted::instances == 0);
  }
}

TEST_CASE("result.within: prefixes the operation and leaves a value alone") {
  CHECK(check("1"));
  CHECK(check("z").error().what == "check: 'z' is not a digit");
}

}  // namespace monitor
