// SPDX-License-Identifier: Apache-2.0
// What `monitor serve` answers: documents made from looks at the servers, of which it takes no more than one in a
// while, however many ask.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/result.h"
#include "cli/loop.h"
#include "output/prometheus.h"
#include "serve/http.h"

namespace monitor {

class Scrapes {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kSameLook{100};

  explicit Scrapes(std::function<Result<Look>()> look, std::function<Clock::time_point()> clock = Clock::now)
      : look_(std::move(look)), clock_(std::move(clock)) {}

  // /metrics and /healthz, nothing else.
  HttpResponse answer(const HttpRequest& request);

  // Looks now, whenever it was done last: a server has ended.
  void look_again();

  // The last look was the last one: all servers have ended.
  bool server_ended() const { return latest_ && *latest_ && (*latest_)->server_ended; }

  // A look failed, and why. It will not succeed later.
  std::optional<Error> failed() const;

 private:
  const Result<Look>& latest();
  HttpResponse metrics(const Look& look, Exposition exposition);

  std::function<Result<Look>()> look_;
  std::function<Clock::time_point()> clock_;
  std::optional<Result<Look>> latest_;
  Clock::time_point looked_;
  std::map<Exposition, std::string> documents_;  // made from the latest look
};

}  // namespace monitor
