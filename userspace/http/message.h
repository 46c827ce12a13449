// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 in memory: the bytes of a request in, the bytes of its response out. Boost.Beast parses and writes HTTP; it
// never touches a socket (server.h does).
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace monitor {

struct HttpRequest {
  std::string path;    // of the request target, as the client wrote it: nothing is decoded
  std::string accept;  // the header field; empty if the request has no such field
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

// The response to the request with this head; it ends the connection. GET gets the handler's response, HEAD the same
// without its body, any other method 405, anything that is not a request 400, a head without an end 431. Reads no
// request bodies and serves no ranges or encodings, so that no request costs more than one document. Empty if `head`
// is.
std::string respond(std::string_view head, const HttpHandler& handler);

}  // namespace monitor
