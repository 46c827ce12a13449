// SPDX-License-Identifier: Apache-2.0
#include "serve/http.h"

#include <httplib.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

namespace monitor {
namespace {

// What the library takes for a connection.
class Memory : public httplib::Stream {
 public:
  explicit Memory(std::string_view in) : in_(in) {}

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* into, std::size_t size) override {
    const std::size_t taken = std::min(size, in_.size());
    std::memcpy(into, in_.data(), taken);
    in_.remove_prefix(taken);
    return static_cast<ssize_t>(taken);
  }
  ssize_t write(const char* bytes, std::size_t size) override {
    out_.append(bytes, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  void get_local_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  socket_t socket() const override { return -1; }

  std::string take() { return std::move(out_); }

 private:
  std::string_view in_;
  std::string out_;
};

// A document a range, or a compression a scrape, would let a small request cost much.
void leave_out(httplib::Request& request) {
  request.ranges.clear();
  for (const char* name : {"Range", "Accept-Encoding", "Expect"}) {
    request.headers.erase(name);
  }
}

}  // namespace

struct Http::Library : httplib::Server {
  using httplib::Server::process_request;

  explicit Library(HttpHandler handler) {
    set_payload_max_length(0);
    set_pre_routing_handler(
        [handler = std::move(handler)](const httplib::Request& request, httplib::Response& response) {
          if (request.method != "GET" && request.method != "HEAD") {
            response.status = 405;
            response.set_header("Allow", "GET, HEAD");
            return HandlerResponse::Handled;
          }
          const HttpResponse answer = handler({request.path, request.get_header_value("Accept")});
          response.status = answer.status;
          response.set_content(answer.body, answer.content_type);
          return HandlerResponse::Handled;
        });
  }
};

Http::Http(HttpHandler handler) : library_(std::make_unique<Library>(std::move(handler))) {}
Http::Http(Http&&) noexcept = default;
Http& Http::operator=(Http&&) noexcept = default;
Http::~Http() = default;

std::string Http::respond(std::string_view head) {
  Memory memory(head);
  bool closed = false;
  try {
    static_cast<void>(library_->process_request(memory, true, closed, leave_out));
  } catch (const std::exception&) {
    return "";  // out of memory, or a request that the library cannot take: nothing was begun that could be ended
  }
  return memory.take();
}

}  // namespace monitor
