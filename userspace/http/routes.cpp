// SPDX-License-Identifier: Apache-2.0
#include "http/routes.h"

#include <algorithm>
#include <cstddef>

namespace monitor {
namespace {

// "there are /a, /b and /c"
HttpResponse not_found(const std::vector<Route>& routes) {
  std::string body = "there are ";
  for (std::size_t i = 0; i < routes.size(); ++i) {
    body += i == 0 ? "" : i + 1 == routes.size() ? " and " : ", ";
    body += routes[i].path;
  }
  return HttpResponse{.status = 404, .body = body + "\n"};
}

}  // namespace

HttpResponse Routes::answer(const HttpRequest& request) const {
  const auto route =
      std::find_if(routes_.begin(), routes_.end(), [&](const Route& one) { return one.path == request.path; });
  return route == routes_.end() ? not_found(routes_) : route->handler(request);
}

}  // namespace monitor
