// SPDX-License-Identifier: Apache-2.0
// Which handler answers which path.
#pragma once

#include <string>
#include <vector>

#include "http/message.h"

namespace monitor {

struct Route {
  std::string path;  // compared as the client wrote it: nothing is decoded
  HttpHandler handler;
};

class Routes {
 public:
  // `routes` is not empty.
  explicit Routes(std::vector<Route> routes) : routes_(std::move(routes)) {}

  // Calls the handler of the request's path. Responds to any other path with 404 and a list of the paths.
  HttpResponse answer(const HttpRequest& request) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace monitor
