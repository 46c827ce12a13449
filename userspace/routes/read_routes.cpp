// SPDX-License-Identifier: Apache-2.0
// JSON is read by Debian's nlohmann-json3-dev, which writes the JSON of the outputs too: it reports the line and column
// of an error, and it keeps the order of the paths, in which FastAPI declares them.
#include "routes/read_routes.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cerrno>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/fd.h"

namespace monitor {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostBytes = std::size_t{64} << 20;

std::string_view take_word(std::string_view& line) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t begin = std::min(line.find_first_not_of(kBlank), line.size());
  const std::size_t end = std::min(line.find_first_of(kBlank, begin), line.size());
  const std::string_view word = line.substr(begin, end - begin);
  line.remove_prefix(end);
  return word;
}

bool is_method(std::string_view word) {
  return !word.empty() &&
         std::all_of(word.begin(), word.end(), [](char c) { return (c >= 'A' && c <= 'Z') || c == '-' || c == '_'; });
}

// One line without its comment.
Status add_line(std::string_view line, std::vector<RouteTemplate>& templates) {
  std::string_view path = take_word(line);
  std::string_view method;
  if (path.empty()) {
    return Ok{};
  }
  if (is_method(path)) {
    method = std::exchange(path, take_word(line));
  }
  if (!take_word(line).empty()) {
    return Error{ErrorCode::kUsage, "more than a method and a path", "write one template in each line"};
  }
  templates.push_back(TRY(parse_template(method, path)));
  return Ok{};
}

Result<std::vector<RouteTemplate>> parse_lines(std::string_view text) {
  std::vector<RouteTemplate> templates;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t comment = line.starts_with('#') ? 0 : std::min(line.find(" #"), line.size());
    TRY(within("line " + std::to_string(number), add_line(line.substr(0, comment), templates)));
  }
  return templates;
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The path of a server's URL, with the defaults of its variables.
std::string path_of_server(const Json& server) {
  std::string url = text_of(server, "url");
  const auto variables = server.find("variables");
  if (variables != server.end() && variables->is_object()) {
    for (const auto& [name, variable] : variables->items()) {
      const std::string braces = "{" + name + "}";
      const std::size_t at = url.find(braces);
      if (at != std::string::npos && variable.is_object()) {
        url.replace(at, braces.size(), text_of(variable, "default"));
      }
    }
  }
  const std::size_t scheme = url.find("://");
  if (scheme != std::string::npos) {
    url.erase(0, std::min(url.find('/', scheme + 3), url.size()));
  }
  return url;
}

// Prefixes that the paths can have, without a slash at the end; the first is empty.
std::vector<std::string> prefixes_of(const Json& document) {
  std::vector<std::string> found = {text_of(document, "basePath")};
  const auto servers = document.find("servers");
  if (servers != document.end() && servers->is_array()) {
    for (const Json& server : *servers) {
      found.push_back(server.is_object() ? path_of_server(server) : "");
    }
  }
  std::vector<std::string> prefixes = {""};
  for (std::string& prefix : found) {
    while (prefix.ends_with('/')) {
      prefix.pop_back();
    }
    if (prefix.starts_with('/') && std::find(prefixes.begin(), prefixes.end(), prefix) == prefixes.end()) {
      prefixes.push_back(std::move(prefix));
    }
  }
  return prefixes;
}

// OpenAPI knows no parameter that matches more than a segment. FastAPI writes "/files/{file_path:path}" as
// "/files/{file_path}"; the name is all that is left to see it.
std::vector<RouteTemplate> rest_variant(const RouteTemplate& route) {
  if (!route.path.ends_with("path}") || route.segments.back() != SegmentKind::kParameter) {
    return {};
  }
  RouteTemplate rest = route;
  rest.lenient = true;
  rest.segments.back() = SegmentKind::kRest;
  rest.elements.pop_back();
  rest.elements.back() = {std::bitset<256>().set(), true};
  return {rest};
}

// The methods of a path, in upper case. One without methods is for all of them.
std::vector<std::string> methods_of(const Json& item) {
  constexpr std::array kMethods = {"get", "put", "post", "delete", "options", "head", "patch", "trace"};
  std::vector<std::string> methods;
  for (const char* name : kMethods) {
    if (item.is_object() && item.contains(name)) {
      methods.emplace_back(name);
      std::transform(methods.back().begin(), methods.back().end(), methods.back().begin(),
                     [](char c) { return static_cast<char>(c - 'a' + 'A'); });
    }
  }
  return methods.empty() ? std::vector<std::string>{""} : methods;
}

Result<std::vector<RouteTemplate>> parse_document(const Json& document) {
  const auto paths = document.find("paths");
  if (paths == document.end() || !paths->is_object()) {
    return Error{ErrorCode::kUsage, "the JSON is no OpenAPI document: it has no object \"paths\"",
                 "give the openapi.json of the application, or a file with one template in each line"};
  }
  std::vector<RouteTemplate> templates;
  for (const std::string& prefix : prefixes_of(document)) {
    for (const auto& [path, item] : paths->items()) {
      for (const std::string& method : methods_of(item)) {
        templates.push_back(TRY(within("the path " + path, parse_template(method, prefix + path))));
        const std::vector<RouteTemplate> rest = rest_variant(templates.back());
        templates.insert(templates.end(), rest.begin(), rest.end());
      }
    }
  }
  return templates;
}

}  // namespace

Result<std::vector<RouteTemplate>> parse_routes(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) {
    text.remove_prefix(3);  // a byte order mark
  }
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || text[first] != '{') {
    if (text.starts_with("openapi:") || text.starts_with("swagger:")) {
      return Error{ErrorCode::kUsage, "the document is YAML", "give it in JSON, as the application serves it"};
    }
    return parse_lines(text);
  }
  try {
    return parse_document(Json::parse(text));
  } catch (const Json::exception& error) {
    return Error{ErrorCode::kUsage, std::string("the JSON cannot be read: ") + error.what(), ""};
  }
}

Result<RouteTable> read_routes(const std::string& path) {
  const std::string what = "--routes " + path;
  const Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file) {
    return system_error(errno, what);
  }
  std::string text;
  std::array<char, 65536> buffer{};
  for (;;) {
    const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count < 0) {
      return system_error(errno, what);
    }
    if (count == 0) {
      break;
    }
    text.append(buffer.data(), static_cast<std::size_t>(count));
    if (text.size() > kMostBytes) {
      return Error{ErrorCode::kUsage, what + ": the file is larger than 64 MiB", "give a file of templates"};
    }
  }
  std::vector<RouteTemplate> templates = TRY(within(what, parse_routes(text)));
  return within(what, compile_routes(std::move(templates)));
}

}  // namespace monitor
