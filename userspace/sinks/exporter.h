// SPDX-License-Identifier: Apache-2.0
// The pages of `monitor serve`, made from samples of the servers. However many clients ask, it takes no more than one
// sample in kFresh.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "http/routes.h"
#include "model/sample.h"
#include "output/prometheus.h"

namespace monitor {

class Exporter {
 public:
  using Clock = std::chrono::steady_clock;
  using TakeSample = std::function<Result<Sample>()>;
  static constexpr std::chrono::milliseconds kFresh{100};

  // `version`: of this program, which the metrics name.
  Exporter(TakeSample take, std::string version, std::function<Clock::time_point()> clock = Clock::now)
      : take_(std::move(take)), version_(std::move(version)), clock_(std::move(clock)) {}
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;
  ~Exporter() = default;

  // The table of pages. Its handlers refer to this exporter.
  std::vector<Route> routes();

  // Takes a sample now, even if the latest one is fresh: a server has ended.
  void refresh();

  // Whether the latest sample was the final one: all servers have ended.
  bool server_ended() const { return latest_ && *latest_ && (*latest_)->server_ended; }

  // Why the latest sample failed, if it did. Later ones will fail, too.
  std::optional<Error> failed() const;

 private:
  using Page = HttpResponse (Exporter::*)(const Sample&, const HttpRequest&);

  // The page, made from a sample that is fresh; 503 if there is no sample.
  HttpResponse respond(Page page, const HttpRequest& request);
  HttpResponse metrics(const Sample& sample, const HttpRequest& request);
  HttpResponse health(const Sample& sample, const HttpRequest& request);

  TakeSample take_;
  std::string version_;
  std::function<Clock::time_point()> clock_;
  std::optional<Result<Sample>> latest_;
  Clock::time_point taken_at_;
  std::map<Exposition, std::string> documents_;  // made from the latest sample
};

}  // namespace monitor
