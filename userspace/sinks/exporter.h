// SPDX-License-Identifier: Apache-2.0
// Responds with the pages of `monitor serve` (pages.h), made from samples of the servers. Takes at most one sample in
// kFresh, however many clients ask.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "http/routes.h"
#include "model/sample.h"
#include "sinks/pages.h"

namespace monitor {

class Exporter {
 public:
  using Clock = std::chrono::steady_clock;
  using TakeSample = std::function<Result<Sample>()>;
  static constexpr std::chrono::milliseconds kFresh{100};

  // `by`: the program's version and the limit of a scrape.
  Exporter(TakeSample take, ServedBy by, std::function<Clock::time_point()> clock = Clock::now)
      : take_(std::move(take)), by_(std::move(by)), clock_(std::move(clock)) {}
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;
  ~Exporter() = default;

  // A route to each page. The handlers refer to this exporter.
  std::vector<Route> routes();

  // Takes a sample now, even if the latest one is fresh: a server has ended.
  void refresh();

  // Whether the latest sample was the final one: all servers have ended.
  bool server_ended() const { return latest_ && *latest_ && (*latest_)->server_ended; }

  // Why the latest sample failed, if it did. Later ones will fail, too.
  std::optional<Error> failed() const;

 private:
  // The page's response, made from a sample that is fresh; 503 if the sample failed.
  HttpResponse respond(const Page& page, const HttpRequest& request);

  TakeSample take_;
  ServedBy by_;
  std::function<Clock::time_point()> clock_;
  std::optional<Result<Sample>> latest_;
  Clock::time_point taken_at_;
  // Made from the latest sample, by page and content type.
  std::map<std::pair<std::string, std::string>, HttpResponse> responses_;
};

}  // namespace monitor
