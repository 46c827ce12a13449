// SPDX-License-Identifier: Apache-2.0
#include "sinks/exporter.h"

#include <utility>

namespace monitor {

std::vector<Route> Exporter::routes() {
  std::vector<Route> routes;
  for (const Page& page : pages()) {
    routes.push_back({page.path, [this, &page](const HttpRequest& request) { return respond(page, request); }});
  }
  return routes;
}

HttpResponse Exporter::respond(const Page& page, const HttpRequest& request) {
  if (!latest_ || clock_() - taken_at_ >= kFresh) {
    refresh();
  }
  if (!*latest_) {
    return HttpResponse{.status = 503, .body = latest_->error().what + "\n"};
  }
  const std::pair<std::string, std::string> key(page.path, page.content_type(request.accept));
  auto response = responses_.find(key);
  if (response == responses_.end()) {
    response = responses_.emplace(key, page.respond(**latest_, request.accept, by_)).first;
  }
  return response->second;
}

void Exporter::refresh() {
  responses_.clear();
  latest_.emplace(take_());
  taken_at_ = clock_();
}

std::optional<Error> Exporter::failed() const {
  return latest_ && !*latest_ ? std::optional(latest_->error()) : std::nullopt;
}

}  // namespace monitor
