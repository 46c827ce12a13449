// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 in memory: the bytes of a request in, the bytes of its response out. The library behind it (Boost.Beast)
// reads and writes HTTP and never sees a socket: http_server.h has those.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace monitor {

struct HttpRequest {
  std::string path;    // of the request target, as it was written: nothing is decoded
  std::string accept;  // the field, empty when there is none
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

// The response to the request whose head is `head`, and which ends the connection: the handler's to GET, the same
// without its body to HEAD, 405 to any other method, 400 to what is no request, 431 when the head's end is missing.
// Bodies are not read, ranges and encodings not served: what a client asks for costs no more than the one document.
// Empty when there is nothing to answer.
std::string respond(std::string_view head, const HttpHandler& handler);

}  // namespace monitor
