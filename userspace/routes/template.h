// SPDX-License-Identifier: Apache-2.0
// Templates of paths, as frameworks write them: "/users/{id}/posts/{slug}", "/files/{path:path}".
#pragma once

#include <bitset>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace monitor {

// What a template has at one place: one byte of a set, or any number of them.
struct TemplateElement {
  std::bitset<256> bytes;
  bool repeats = false;
};

// How well a template describes a segment of a path; the first is the best.
enum class SegmentKind { kLiteral, kMixed, kTyped, kParameter, kRest };

struct RouteTemplate {
  std::string method;  // empty: every method
  std::string path;    // as endpoints show it
  std::vector<TemplateElement> elements;
  std::vector<SegmentKind> segments;
  // The path differs from what was declared by the slash at its end, which frameworks answer with a redirect, or it
  // ends in a parameter that may stand for more than one segment. Any other template that matches is better.
  bool lenient = false;
};

// Parses a path with parameters in braces. A parameter matches one or more bytes except "/"; "{name:path}", "{name*}"
// and
// "{name+}" match the rest of the path, "{name:int}", "{name:float}" and "{name:uuid}" what they say. Fails with a
// sentence that names no place.
Result<RouteTemplate> parse_template(std::string_view method, std::string_view path);

// The variants of a template that frameworks answer with a redirect: with and without the slash at the end. Empty if
// there is no such variant.
std::vector<RouteTemplate> redirected_variants(const RouteTemplate& route);

}  // namespace monitor
