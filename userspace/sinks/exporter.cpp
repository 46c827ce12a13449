// SPDX-License-Identifier: Apache-2.0
#include "sinks/exporter.h"

#include <utility>

namespace monitor {
namespace {

HttpResponse unavailable(const std::string& why) {
  return HttpResponse{.status = 503, .body = why + "\n"};
}

}  // namespace

std::vector<Route> Exporter::routes() {
  const auto page = [this](Page render) {
    return [this, render](const HttpRequest& request) { return respond(render, request); };
  };
  return {{"/metrics", page(&Exporter::metrics)}, {"/healthz", page(&Exporter::health)}};
}

HttpResponse Exporter::respond(Page page, const HttpRequest& request) {
  if (!latest_ || clock_() - taken_at_ >= kFresh) {
    refresh();
  }
  const Result<Sample>& sample = *latest_;
  return sample ? (this->*page)(*sample, request) : unavailable(sample.error().what);
}

void Exporter::refresh() {
  documents_.clear();
  latest_.emplace(take_());
  taken_at_ = clock_();
}

std::optional<Error> Exporter::failed() const {
  return latest_ && !*latest_ ? std::optional(latest_->error()) : std::nullopt;
}

HttpResponse Exporter::metrics(const Sample& sample, const HttpRequest& request) {
  const Exposition exposition = choose_exposition(request.accept);
  auto document = documents_.find(exposition);
  if (document == documents_.end()) {
    document = documents_.emplace(exposition, render_prometheus(sample.snapshots, exposition, version_)).first;
  }
  return HttpResponse{.content_type = content_type(exposition), .body = document->second};
}

// A member like every page, though it needs nothing of the exporter.
// NOLINTNEXTLINE(readability-convert-member-functions-to-static)
HttpResponse Exporter::health(const Sample& sample, const HttpRequest&) {
  return sample.snapshots.empty() || sample.server_ended ? unavailable("no server is observed")
                                                         : HttpResponse{.body = "ok\n"};
}

}  // namespace monitor
