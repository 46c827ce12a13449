// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 in memory: the bytes of a request in, the bytes of its response out. The library behind it (cpp-httplib)
// reads and writes HTTP and never sees a socket: connections.h has those.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace monitor {

struct HttpRequest {
  std::string path;
  std::string accept;  // the field, empty when there is none
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Answers GET; HEAD is answered with the same response without its body, any other method with 405.
using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

class Http {
 public:
  explicit Http(HttpHandler handler);
  Http(Http&&) noexcept;
  Http& operator=(Http&&) noexcept;
  Http(const Http&) = delete;
  Http& operator=(const Http&) = delete;
  ~Http();

  // The response to the request whose head is `head`, and which ends the connection. Bodies are not read, ranges and
  // encodings not served: what a client asks for costs no more than the one document. Empty when there is nothing to
  // answer.
  std::string respond(std::string_view head);

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace monitor
