// SPDX-License-Identifier: Apache-2.0
// The parser in the kernel, by BPF_PROG_TEST_RUN: for every case it gives the result in the case file, however the
// bytes are split up.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <doctest/doctest.h>

#include <memory>

#include "parser.skel.h"
#include "parser/cases.h"

namespace monitor {
namespace {

struct DestroyParser {
  void operator()(parser_bpf* skeleton) const { parser_bpf__destroy(skeleton); }
};

class KernelParser {
 public:
  KernelParser() : skeleton_(parser_bpf__open_and_load()) { REQUIRE(skeleton_ != nullptr); }

  std::string run(const trace_input& input) {
    const __u32 zero = 0;
    *result_ = trace{};
    REQUIRE(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.inputs), &zero, &input, BPF_ANY) == 0);
    REQUIRE(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.traces), &zero, result_.get(), BPF_ANY) == 0);
    bpf_test_run_opts options{};
    options.sz = sizeof(options);
    REQUIRE(bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.run_trace), &options) == 0);
    REQUIRE(options.retval == 0);
    REQUIRE(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.traces), &zero, result_.get()) == 0);
    return describe(*result_, (input.options & TRACE_RESPONSES) != 0);
  }

 private:
  std::unique_ptr<parser_bpf, DestroyParser> skeleton_;
  std::unique_ptr<trace> result_ = std::make_unique<trace>();
};

}  // namespace

TEST_CASE("kernel: the parser gives the result in the case files") {
  KernelParser parser;
  const std::vector<ParserCase> cases = read_parser_cases(MONITOR_SOURCE_DIR "/tests/cases");
  REQUIRE(cases.size() > 600);
  for (const ParserCase& c : cases) {
    CAPTURE(c.name);
    CHECK(parser.run(make_input(c, c.bytes.size(), 0)) == c.expected);
    for (const std::size_t piece : std::initializer_list<std::size_t>{1, 7, 192}) {
      CAPTURE(piece);
      CHECK(parser.run(make_input(c, piece, piece)) == c.expected);
      CHECK(parser.run(make_input(c, piece, piece, TRACE_NO_SKIP)) == c.expected);
    }
    for (std::size_t at = 1; at < c.bytes.size(); at += c.bytes.size() / 50 + 1) {
      CAPTURE(at);
      CHECK(parser.run(make_input(c, at, c.bytes.size())) == c.expected);
    }
  }
}

}  // namespace monitor
