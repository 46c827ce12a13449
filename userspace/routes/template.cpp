// SPDX-License-Identifier: Apache-2.0
#include "routes/template.h"

#include <algorithm>
#include <utility>

namespace monitor {
namespace {

Error malformed(std::string what) {
  return Error{ErrorCode::kUsage, std::move(what), "a template is a path such as /users/{id}, or METHOD /path"};
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::bitset<256> bytes_of(std::string_view text) {
  std::bitset<256> set;
  for (const char c : text) {
    set.set(static_cast<unsigned char>(c));
  }
  return set;
}

std::bitset<256> all_but_slash() {
  return std::bitset<256>().set().reset('/');
}

// What a parameter matches, by the word after the colon.
struct ParameterKind {
  std::string_view name;
  SegmentKind segment;
  std::bitset<256> bytes;
  bool may_be_empty;
};

Result<ParameterKind> parameter_kind(std::string_view parameter) {
  const std::vector<ParameterKind> kinds = {
      {"", SegmentKind::kParameter, all_but_slash(), false},
      {"str", SegmentKind::kParameter, all_but_slash(), false},
      {"int", SegmentKind::kTyped, bytes_of("0123456789"), false},
      {"float", SegmentKind::kTyped, bytes_of("0123456789."), false},
      {"uuid", SegmentKind::kTyped, {}, false},
      {"path", SegmentKind::kRest, std::bitset<256>().set(), true},
  };
  const std::size_t colon = parameter.find(':');
  std::string_view word = colon == std::string_view::npos ? std::string_view() : parameter.substr(colon + 1);
  if (parameter.empty() || colon == 0) {
    return malformed("a parameter has no name");
  }
  if (parameter.ends_with('*') || parameter.ends_with('+')) {
    word = "path";
  }
  const auto kind =
      std::find_if(kinds.begin(), kinds.end(), [word](const ParameterKind& known) { return known.name == word; });
  if (kind == kinds.end()) {
    return malformed("unknown kind of parameter: " + std::string(word) + " (known: str, int, float, uuid, path)");
  }
  return *kind;
}

// 8-4-4-4-12 hexadecimal digits, with or without hyphens.
void add_uuid(RouteTemplate& route) {
  const TemplateElement digit{bytes_of("0123456789abcdefABCDEF"), false};
  for (const int digits : {8, 4, 4, 4, 12}) {
    if (digits != 8) {
      route.elements.push_back({bytes_of("-"), true});
    }
    route.elements.insert(route.elements.end(), digits, digit);
  }
}

// Adds the parameter whose text is between the braces.
Status add_parameter(std::string_view parameter, bool alone, RouteTemplate& route) {
  const ParameterKind kind = TRY(parameter_kind(parameter));
  if (kind.name == "uuid") {
    add_uuid(route);
  } else {
    if (!kind.may_be_empty) {
      route.elements.push_back({kind.bytes, false});
    }
    route.elements.push_back({kind.bytes, true});
  }
  route.segments.back() = alone || kind.segment == SegmentKind::kRest ? kind.segment : SegmentKind::kMixed;
  return Ok{};
}

// Adds the byte at the front of `path`, with its escape decoded, and removes it.
void add_literal(std::string_view& path, RouteTemplate& route) {
  char byte = path.front();
  std::size_t length = 1;
  if (byte == '%' && path.size() > 2 && hex_value(path[1]) >= 0 && hex_value(path[2]) >= 0) {
    byte = static_cast<char>(hex_value(path[1]) * 16 + hex_value(path[2]));
    length = 3;
  }
  route.elements.push_back({bytes_of({&byte, 1}), false});
  if (byte == '/') {
    route.segments.push_back(SegmentKind::kLiteral);
  } else if (route.segments.back() != SegmentKind::kLiteral && route.segments.back() != SegmentKind::kRest) {
    route.segments.back() = SegmentKind::kMixed;
  }
  path.remove_prefix(length);
}

}  // namespace

Result<RouteTemplate> parse_template(std::string_view method, std::string_view path) {
  RouteTemplate route;
  route.method = method;
  route.path = path;
  if (!path.starts_with('/')) {
    return malformed("a path begins with \"/\"");
  }
  while (!path.empty()) {
    if (path.front() == '}') {
      return malformed("a \"}\" without a \"{\"");
    }
    if (path.front() != '{') {
      add_literal(path, route);
      continue;
    }
    const std::size_t end = path.find('}');
    if (end == std::string_view::npos) {
      return malformed("a \"{\" without a \"}\"");
    }
    const std::string_view parameter = path.substr(1, end - 1);
    if (parameter.find_first_of("{/") != std::string_view::npos) {
      return malformed("a \"{\" or \"/\" in a parameter");
    }
    const char before = route.path[route.path.size() - path.size() - 1];
    path.remove_prefix(end + 1);
    TRY(add_parameter(parameter, before == '/' && (path.empty() || path.front() == '/'), route));
  }
  return route;
}

std::vector<RouteTemplate> redirected_variants(const RouteTemplate& route) {
  if (route.path == "/" || route.segments.back() == SegmentKind::kRest) {
    return {};
  }
  RouteTemplate variant = route;
  variant.lenient = true;
  if (route.path.ends_with('/')) {
    variant.path.pop_back();
    variant.elements.pop_back();
    variant.segments.pop_back();
  } else {
    variant.path += '/';
    variant.elements.push_back({bytes_of("/"), false});
    variant.segments.push_back(SegmentKind::kLiteral);
  }
  return {variant};
}

}  // namespace monitor
