// SPDX-License-Identifier: Apache-2.0
// The subset construction over the places in all templates that a path can be at (Aho, Sethi, Ullman, "Compilers",
// 3.6). Places of literals and of parameters are in the same set, so the walk never goes back.
#include "routes/table.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

namespace monitor {
namespace {

constexpr std::size_t kMostTemplates = 4096;
constexpr std::size_t kMostStates = 32768;

struct Place {
  std::uint32_t route = 0;  // index of the template
  std::uint32_t at = 0;     // index of its next element; the number of elements at the end
  bool operator==(const Place&) const = default;
  bool operator<(const Place& other) const { return std::tie(route, at) < std::tie(other.route, other.at); }
};
using Places = std::vector<Place>;  // sorted

class Compiler {
 public:
  explicit Compiler(const std::vector<RouteTemplate>& templates) : templates_(templates) {}

  Result<RouteTable> compile() {
    TRY(collect_methods());
    collect_routes();
    table_.states.resize(1);
    Places start;
    for (std::uint32_t route = 0; route < templates_.size(); ++route) {
      add({route, 0}, start);
    }
    state_of(std::move(start));
    for (std::size_t state = 1; state < sets_.size() + 1; ++state) {
      if (sets_.size() > kMostStates) {
        return Error{ErrorCode::kUsage, "the templates are too many, or too long: their table has no room",
                     "give fewer templates"};
      }
      fill(state);
    }
    return std::move(table_);
  }

 private:
  Status collect_methods() {
    std::size_t count = 1;  // 0: every other method
    for (const RouteTemplate& route : templates_) {
      if (route.method.empty() || methods_.contains(route.method)) {
        continue;
      }
      if (route.method.size() > sizeof(std::uint64_t)) {
        return Error{ErrorCode::kUsage, "the method " + route.method + " is longer than 8 bytes", ""};
      }
      if (count == kRouteMethods) {
        return Error{ErrorCode::kUsage, "the templates name more than 15 methods", "give them without methods"};
      }
      std::memcpy(&table_.methods.at(count), route.method.data(), route.method.size());
      methods_[route.method] = count++;
    }
    return Ok{};
  }

  void collect_routes() {
    table_.routes.resize(1);
    std::map<std::string, std::uint16_t> known;
    for (const RouteTemplate& route : templates_) {
      const auto [entry, is_new] = known.emplace(route.path, table_.routes.size());
      route_ids_.push_back(entry->second);
      if (!is_new) {
        continue;
      }
      table_.routes.push_back(route.path);
    }
  }

  const std::vector<TemplateElement>& elements(const Place& place) const { return templates_[place.route].elements; }

  // Adds a place, and those that are reached without a byte.
  void add(Place place, Places& places) const {
    for (;; ++place.at) {
      places.push_back(place);
      if (place.at == elements(place).size() || !elements(place)[place.at].repeats) {
        return;
      }
    }
  }

  std::uint16_t state_of(Places places) {
    if (places.empty()) {
      return 0;
    }
    std::sort(places.begin(), places.end());
    places.erase(std::unique(places.begin(), places.end()), places.end());
    const auto [entry, is_new] = ids_.emplace(std::move(places), table_.states.size());
    if (is_new) {
      sets_.push_back(&entry->first);
      table_.states.emplace_back();
    }
    return static_cast<std::uint16_t>(entry->second);
  }

  void fill(std::size_t state) {
    const Places places = *sets_[state - 1];
    std::array<Places, 256> moved;
    for (const Place& place : places) {
      if (place.at == elements(place).size()) {
        continue;
      }
      const TemplateElement& element = elements(place)[place.at];
      for (std::size_t byte = 0; byte < moved.size(); ++byte) {
        if (element.bytes.test(byte)) {
          add({place.route, place.at + (element.repeats ? 0 : 1)}, moved.at(byte));
        }
      }
    }
    std::uint16_t next = 0;
    for (std::size_t byte = 0; byte < moved.size(); ++byte) {
      if (byte == 0 || moved.at(byte) != moved.at(byte - 1)) {  // most bytes lead to where their neighbour does
        next = state_of(moved.at(byte));
      }
      table_.states[state].next.at(byte) = next;
    }
    for (std::size_t method = 0; method < kRouteMethods; ++method) {
      table_.states[state].route.at(method) = best(places, method);
    }
  }

  // The best template of those that end here.
  std::uint16_t best(const Places& places, std::size_t method) const {
    const Place* found = nullptr;
    for (const Place& place : places) {
      if (place.at == elements(place).size() && (found == nullptr || rank(place, method) < rank(*found, method))) {
        found = &place;
      }
    }
    return found == nullptr ? 0 : route_ids_[found->route];
  }

  std::tuple<bool, bool, std::vector<SegmentKind>, std::uint32_t> rank(const Place& place, std::size_t method) const {
    const RouteTemplate& route = templates_[place.route];
    const bool other_method = !route.method.empty() && methods_.at(route.method) != method;
    return {route.lenient, other_method, route.segments, place.route};
  }

  const std::vector<RouteTemplate>& templates_;
  RouteTable table_;
  std::map<std::string, std::size_t> methods_;
  std::vector<std::uint16_t> route_ids_;  // by template
  std::map<Places, std::size_t> ids_;
  std::vector<const Places*> sets_;  // by state, without state 0
};

// FNV-1a.
void add_hash(const void* data, std::size_t size, std::uint64_t& hash) {
  const auto* const bytes = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < size; ++i) {
    hash = (hash ^ bytes[i]) * 0x100000001b3;
  }
}

std::uint64_t hash_of(const RouteTable& table) {
  std::uint64_t hash = 0xcbf29ce484222325;
  add_hash(table.states.data(), table.states.size() * sizeof(RouteState), hash);
  for (const std::string& route : table.routes) {
    add_hash(route.c_str(), route.size() + 1, hash);
  }
  add_hash(table.methods.data(), sizeof(table.methods), hash);
  return hash | 1;
}

std::size_t method_index(const RouteTable& table, std::string_view method) {
  std::uint64_t word = 0;
  if (method.size() > sizeof(word)) {
    return 0;
  }
  std::memcpy(&word, method.data(), method.size());
  for (std::size_t i = 1; i < kRouteMethods; ++i) {
    if (table.methods.at(i) == word && word != 0) {
      return i;
    }
  }
  return 0;
}

}  // namespace

Result<RouteTable> compile_routes(std::vector<RouteTemplate> templates) {
  if (templates.empty()) {
    return Error{ErrorCode::kUsage, "there is no template", "write one path in each line, such as /users/{id}"};
  }
  if (templates.size() > kMostTemplates) {
    return Error{ErrorCode::kUsage, "there are too many templates: " + std::to_string(templates.size()),
                 "give at most " + std::to_string(kMostTemplates)};
  }
  const std::size_t declared = templates.size();
  for (std::size_t i = 0; i < declared; ++i) {
    const std::vector<RouteTemplate> variants = redirected_variants(templates[i]);
    templates.insert(templates.end(), variants.begin(), variants.end());
  }
  RouteTable table = TRY(Compiler(templates).compile());
  table.hash = hash_of(table);
  return table;
}

std::string match_route(const RouteTable& table, std::string_view method, std::string_view path) {
  std::uint16_t state = 1;
  for (const char c : path) {
    state = table.states[state].next.at(static_cast<unsigned char>(c));
  }
  return table.routes[table.states[state].route.at(method_index(table, method))];
}

}  // namespace monitor
