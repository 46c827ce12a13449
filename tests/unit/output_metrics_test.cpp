// SPDX-License-Identifier: Apache-2.0
// The registry of metrics: its rows are consistent, the JSON has what it lists, docs/metrics.md documents each row and
// no others, and the other documents name only series that it has.
#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "output/metrics.h"
#include "output/render.h"
#include "unit/example_snapshot.h"

namespace monitor {
namespace {

using Json = nlohmann::ordered_json;

// The place in the JSON of what this reads: "" (the top), "endpoints[].", "workers[]." or "listeners[].".
std::string json_place(const AnyRead& read) {
  const bool of_endpoint = std::holds_alternative<Read<EndpointCounters>>(read) ||
                           std::holds_alternative<ReadClasses>(read) || std::holds_alternative<ReadDurations>(read) ||
                           std::holds_alternative<ReadLatency<EndpointCounters>>(read);
  if (of_endpoint) {
    return "endpoints[].";
  }
  if (std::holds_alternative<Read<ListenerSnapshot>>(read)) {
    return "listeners[].";
  }
  return std::holds_alternative<Read<WorkerSnapshot>>(read) ? "workers[]." : "";
}

// The name that the page gives a metric, which is unique: the path in the JSON, or else Prometheus' name.
std::string documented_name(const Metric& metric) {
  return metric.name != nullptr ? json_place(metric.read) + json_key(metric) : metric.prometheus;
}

std::string cell(const std::string& text) {
  return text.empty() ? " |" : " `" + text + "` |";
}

std::string table_row(const Metric& metric) {
  return "|" + cell(metric.name != nullptr ? documented_name(metric) : "") +
         cell(metric.prometheus != nullptr ? metric.prometheus : "") + " " + kind_name(metric.kind) + " |" +
         (*metric.unit != '\0' ? std::string(" ") + metric.unit : "") + " |";
}

// The part of the page that defines the figures, before the part that judges them.
std::string definitions() {
  const std::string page = test::read_source_file("docs/metrics.md");
  const std::size_t end = page.find("\n## Healthy figures");
  REQUIRE(end != std::string::npos);
  return page.substr(0, end);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  return lines;
}

// The items of the page's lists by the name that each begins with, "- `name`: text", in one line each.
std::map<std::string, std::string> documented_items() {
  constexpr std::string_view kBegin = "- `";
  std::map<std::string, std::string> items;
  std::string* item = nullptr;
  for (const std::string& line : lines_of(definitions())) {
    const std::size_t colon = line.find("`: ");
    if (line.starts_with(kBegin) && colon != std::string::npos) {
      item = &items[line.substr(kBegin.size(), colon - kBegin.size())];
      *item = line.substr(colon + 3);
    } else if (line.starts_with("  ") && item != nullptr) {
      *item += line.substr(1);
    } else {
      item = nullptr;
    }
  }
  return items;
}

std::vector<std::string> keys_of(const Json& object, const std::set<std::string>& but) {
  std::vector<std::string> keys;
  for (const auto& member : object.items()) {
    if (!but.contains(member.key())) {
      keys.push_back(member.key());
    }
  }
  return keys;
}

std::vector<std::string> json_names(const std::string& place) {
  std::vector<std::string> names;
  for (const Metric& metric : metrics()) {
    if ((metric.outputs & kJson) != 0 && json_place(metric.read) == place) {
      names.push_back(json_key(metric));
    }
  }
  return names;
}

TEST_CASE("output.metrics.rows_are_consistent") {
  std::set<std::string> names;
  std::set<std::string> prometheus;
  for (const Metric& metric : metrics()) {
    const bool exported = metric.name != nullptr || metric.prometheus != nullptr;
    REQUIRE(exported);
    const std::string name = documented_name(metric);
    CAPTURE(name);
    CHECK(names.insert(name).second);
    CHECK((metric.name != nullptr) == (metric.outputs != 0));
    const std::string help = metric.help;
    CHECK(help.ends_with('.'));
    CHECK(help.find_first_of("\n\\\"") == std::string::npos);
    if (metric.prometheus != nullptr) {
      const std::string exported_name = metric.prometheus;
      CHECK(prometheus.insert(exported_name).second);
      CHECK(exported_name.ends_with("_total") == (metric.kind == Kind::kCounter));
      CHECK(exported_name.ends_with("_info") == (metric.kind == Kind::kInfo));
    }
  }
}

TEST_CASE("output.metrics.the_json_has_the_rows_in_their_order") {
  const Json object = Json::parse(render_json(test::example_snapshot()));
  CHECK(keys_of(object, {"profile", "schema_version", "target", "endpoints", "workers", "listeners", "warnings"}) ==
        json_names(""));
  CHECK(keys_of(object["endpoints"][0], {"method", "path"}) == json_names("endpoints[]."));
  CHECK(keys_of(object["workers"][0], {"pid"}) == json_names("workers[]."));
  CHECK(keys_of(object["listeners"][0], {"address", "protocol", "own", "processes"}) == json_names("listeners[]."));
}

// "queue_wait_seconds_p50" is {"queue_wait": {"p50"}}, and "queue_wait_recent_count" its "count".
const Json& json_of(const Json& object, const std::string& figure) {
  for (const Metric& metric : metrics()) {
    if (metric.kind != Kind::kSummary || json_place(metric.read) != "") {
      continue;
    }
    const std::string name = metric.name;
    if (figure == name + "_recent_count") {
      return object.at(name).at("count");
    }
    if (figure.starts_with(name + "_seconds_")) {
      return object.at(name).at(figure.substr(name.size() + std::string_view("_seconds_").size()));
    }
  }
  return object.at(figure);
}

TEST_CASE("output.metrics.figures_are_the_numbers_of_the_json") {
  const Json object = Json::parse(render_json(test::example_snapshot()));
  for (const Output output : {kCsv, kInflux, kStatsd}) {
    const std::vector<Figure> list = figures(test::example_snapshot(), output);
    // all but undercount_by_cause and not_seen_seconds; a summary has six figures
    CHECK(list.size() == json_names("").size() - 2 + 3 * 5);
    for (const Figure& figure : list) {
      CAPTURE(figure.name);
      const Json& value = json_of(object, figure.name);
      const Number number = value.is_number_float() ? Number(value.get<double>()) : Number(value.get<std::uint64_t>());
      CHECK(figure.value == number);
    }
  }
}

TEST_CASE("output.metrics.the_table_of_the_documentation_has_exactly_the_rows") {
  std::multiset<std::string> documented;
  for (const std::string& line : lines_of(definitions())) {
    if (line.starts_with("| ") && std::count(line.begin(), line.end(), '|') == 5 && !line.starts_with("| JSON |")) {
      documented.insert(line);
    }
  }
  std::multiset<std::string> rows;
  for (const Metric& metric : metrics()) {
    rows.insert(table_row(metric));
    CHECK_MESSAGE(documented.contains(table_row(metric)), "missing in docs/metrics.md: ", table_row(metric));
  }
  for (const std::string& line : documented) {
    CHECK_MESSAGE(rows.contains(line), "not a metric: ", line);
  }
  CHECK(documented.size() == rows.size());
}

TEST_CASE("output.metrics.the_documentation_defines_exactly_the_rows") {
  std::map<std::string, std::string> items = documented_items();
  for (const Metric& metric : metrics()) {
    const std::string name = documented_name(metric);
    CHECK_MESSAGE(items[name].starts_with(metric.help), name, " is not defined as: ", std::string(metric.help));
    items.erase(name);
  }
  const Json schema = Json::parse(test::read_source_file("docs/schema/snapshot.schema.json"));
  for (const auto& cause : schema["properties"]["undercount_by_cause"]["properties"].items()) {
    CHECK_MESSAGE(items.erase(cause.key()) == 1, "not a documented cause: ", cause.key());
  }
  for (const auto& item : items) {
    FAIL_CHECK("neither a metric nor a cause: ", item.first, ": ", item.second);
  }
}

// The names in a text that look like one of Prometheus' series of ours, each once.
std::set<std::string> series_in(const std::string& text) {
  static const std::regex kSeries("(uvicorn|http_server)_[a-z_]+|target_info");
  std::set<std::string> found;
  for (auto match = std::sregex_iterator(text.begin(), text.end(), kSeries); match != std::sregex_iterator(); ++match) {
    const auto at = static_cast<std::size_t>(match->position());
    const bool inside_a_word =
        at > 0 && (std::isalnum(static_cast<unsigned char>(text[at - 1])) || text[at - 1] == '_');
    if (!inside_a_word) {
      found.insert(match->str());
    }
  }
  return found;
}

// Every series that the registry can yield: a histogram has three.
std::set<std::string> exported_series() {
  std::set<std::string> series;
  for (const Metric& metric : metrics()) {
    if (metric.prometheus == nullptr) {
      continue;
    }
    series.insert(metric.prometheus);
    for (const char* suffix : {"_bucket", "_sum", "_count"}) {
      if (metric.kind == Kind::kHistogram) {
        series.insert(std::string(metric.prometheus) + suffix);
      }
    }
  }
  return series;
}

TEST_CASE("output.metrics.every_series_in_the_documents_is_one_of_the_registry") {
  std::set<std::string> known = exported_series();
  known.insert("uvicorn_endpoint");  // a measurement of InfluxDB
  for (const std::string page : {"README.md", "docs/integrations.md", "docs/grafana/uvicorn.json", "docs/metrics.md",
                                 "docs/troubleshooting.md", "docs/CONCURRENCY_MONITOR_DEBUG.md"}) {
    for (const std::string& name : series_in(test::read_source_file(page))) {
      CHECK_MESSAGE(known.contains(name), page, " names ", name, ", which is not exported");
    }
  }
  CHECK(series_in("rate(uvicorn_requests_total[5m]) / target_info, monitor_uvicorn_x") ==
        std::set<std::string>{"uvicorn_requests_total", "target_info"});
}

TEST_CASE("output.metrics.the_table_of_integrations_has_every_series_with_its_type") {
  const std::string page = test::read_source_file("docs/integrations.md");
  const std::size_t begin = page.find("| metric | type | meaning |");
  REQUIRE(begin != std::string::npos);
  std::map<std::string, std::string> documented;  // name → type
  for (const std::string& row : lines_of(page.substr(begin, page.find("\n\n", begin) - begin))) {
    const std::size_t names_end = row.find(" | ", 1);
    const std::size_t type_end = row.find(" | ", names_end + 1);
    for (const std::string& name : series_in(row.substr(0, names_end))) {
      CHECK_MESSAGE(documented.emplace(name, row.substr(names_end + 3, type_end - names_end - 3)).second,
                    "twice: ", name);
    }
  }
  std::map<std::string, std::string> exported;
  for (const Metric& metric : metrics()) {
    if (metric.prometheus != nullptr) {
      exported[metric.prometheus] = kind_name(metric.kind == Kind::kInfo ? Kind::kGauge : metric.kind);
    }
  }
  for (const auto& [name, type] : exported) {
    CHECK_MESSAGE(documented[name] == type, name, " is a ", type, ", the table has: ", documented[name]);
    documented.erase(name);
  }
  for (const auto& [name, type] : documented) {
    FAIL_CHECK("not exported: ", name);
  }
}

}  // namespace
}  // namespace monitor
