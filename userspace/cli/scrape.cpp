// SPDX-License-Identifier: Apache-2.0
#include "cli/scrape.h"

#include <utility>

namespace monitor {
namespace {

HttpResponse unavailable(const std::string& why) {
  return HttpResponse{.status = 503, .body = why + "\n"};
}

}  // namespace

const Result<Look>& Scrapes::latest() {
  if (!latest_ || clock_() - looked_ >= kSameLook) {
    look_again();
  }
  return *latest_;
}

void Scrapes::look_again() {
  documents_.clear();
  latest_.emplace(look_());
  looked_ = clock_();
}

std::optional<Error> Scrapes::failed() const {
  return latest_ && !*latest_ ? std::optional(latest_->error()) : std::nullopt;
}

HttpResponse Scrapes::metrics(const Look& look, Exposition exposition) {
  auto document = documents_.find(exposition);
  if (document == documents_.end()) {
    document = documents_.emplace(exposition, render_prometheus(look.snapshots, exposition, MONITOR_VERSION)).first;
  }
  return HttpResponse{.content_type = content_type(exposition), .body = document->second};
}

HttpResponse Scrapes::answer(const HttpRequest& request) {
  if (request.path != "/metrics" && request.path != "/healthz") {
    return HttpResponse{.status = 404, .body = "there are /metrics and /healthz\n"};
  }
  const Result<Look>& look = latest();
  if (!look) {
    return unavailable(look.error().what);
  }
  if (request.path == "/metrics") {
    return metrics(*look, choose_exposition(request.accept));
  }
  return look->snapshots.empty() || look->server_ended ? unavailable("no server is observed")
                                                       : HttpResponse{.body = "ok\n"};
}

}  // namespace monitor
