// SPDX-License-Identifier: Apache-2.0
#include "http/message.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/write.hpp>
#include <cstdint>
#include <exception>
#include <limits>
#include <sstream>
#include <utility>

namespace monitor {
namespace {

namespace http = boost::beast::http;

// The parser stops after the head and leaves the body, if there is one, unread.
using Parser = http::request_parser<http::buffer_body>;

constexpr std::string_view kHeadEnd = "\r\n\r\n";

// The path of a request target, in origin-form or in absolute-form (RFC 9112, 3.2): a server must accept both.
std::string path_of(std::string_view target) {
  const std::size_t scheme = target.find("://");
  if (!target.starts_with('/') && scheme != std::string_view::npos) {
    const std::size_t path = target.find('/', scheme + 3);
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  return std::string(target.substr(0, target.find('?')));
}

// Fields with the same name are one list (RFC 9110, 5.3).
std::string joined(const http::fields& fields, http::field name) {
  std::string list;
  const auto [first, last] = fields.equal_range(name);
  for (auto field = first; field != last; ++field) {
    list += (list.empty() ? "" : ", ") + std::string(field->value());
  }
  return list;
}

std::string serialize(const HttpResponse& answer, bool with_body, std::string_view allow = {}) {
  http::response<http::empty_body> response;
  response.result(static_cast<unsigned>(answer.status));
  response.set(http::field::content_type, answer.content_type);
  if (!allow.empty()) {
    response.set(http::field::allow, boost::string_view(allow.data(), allow.size()));
  }
  response.content_length(answer.body.size());
  response.keep_alive(false);
  std::ostringstream head;
  head << response.base();
  return std::move(head).str() + (with_body ? answer.body : "");
}

// A response that needs no explanation beyond its status.
HttpResponse bare(http::status status) {
  return {.status = static_cast<int>(status), .body = std::string(http::obsolete_reason(status)) + '\n'};
}

std::string turn_down(std::string_view head) {
  return serialize(
      bare(head.ends_with(kHeadEnd) ? http::status::bad_request : http::status::request_header_fields_too_large), true);
}

std::string answer(std::string_view head, const HttpHandler& handler) {
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(head.size()) + 1);  // the caller has bounded it
  parser.body_limit(std::numeric_limits<std::uint64_t>::max());      // no body is read
  boost::system::error_code error;
  parser.put(boost::asio::buffer(head.data(), head.size()), error);
  if (error || !parser.is_header_done()) {
    return turn_down(head);
  }
  const auto& request = parser.get();
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    return serialize(bare(http::status::method_not_allowed), true, "GET, HEAD");
  }
  const boost::string_view target = request.target();
  return serialize(handler({path_of({target.data(), target.size()}), joined(request.base(), http::field::accept)}),
                   request.method() == http::verb::get);
}

}  // namespace

std::string respond(std::string_view head, const HttpHandler& handler) {
  try {
    return head.empty() ? "" : answer(head, handler);
  } catch (const std::exception&) {
    return "";  // out of memory, with nothing sent yet
  }
}

}  // namespace monitor
