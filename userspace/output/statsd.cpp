// SPDX-License-Identifier: Apache-2.0
// https://github.com/statsd/statsd/blob/master/docs/metric_types.md and
// https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/
#include "output/statsd.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "output/named_figures.h"
#include "output/series.h"

namespace monitor {
namespace {

// The value of a tag: what would end it is written as the escape of text.h writes a byte.
std::string tag_value(std::string_view value) {
  std::string text;
  for (const char byte : value) {
    if (byte == ',' || byte == '|' || byte == '#') {
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    } else {
      text += byte;
    }
  }
  return text;
}

std::string line(std::string_view name, const std::string& value, char type, const std::string& tags) {
  return fmt::format("uvicorn.{}:{}|{}{}", name, value, type, tags);
}

// A counter that went down was read while an endpoint was taken off the table: nothing is known to have happened.
std::uint64_t growth(std::uint64_t now, std::uint64_t before) {
  return now > before ? now - before : 0;
}

void add_figures(const Snapshot& now, const Snapshot* before, const std::string& tags,
                 std::vector<std::string>& lines) {
  const std::vector<NamedFigure> earlier = before != nullptr ? named_figures(*before) : std::vector<NamedFigure>();
  const std::vector<NamedFigure> figures = named_figures(now);
  for (std::size_t i = 0; i < figures.size(); ++i) {
    if (!figures[i].counts) {
      lines.push_back(line(figures[i].name, number_text(figures[i].value), 'g', tags));
    } else if (!earlier.empty()) {
      const std::uint64_t grown =
          growth(std::get<std::uint64_t>(figures[i].value), std::get<std::uint64_t>(earlier[i].value));
      lines.push_back(line(figures[i].name, std::to_string(grown), 'c', tags));
    }
  }
}

using EndpointKey = std::pair<std::string, std::string>;

void add_endpoints(const Snapshot& now, const Snapshot* before, const std::string& tags,
                   std::vector<std::string>& lines) {
  std::map<EndpointKey, EndpointSeries> earlier;
  if (before != nullptr) {
    for (EndpointSeries& series : endpoint_series(*before)) {
      EndpointKey key{series.method, series.endpoint};
      earlier.emplace(std::move(key), std::move(series));
    }
  }
  for (const EndpointSeries& series : endpoint_series(now)) {
    const std::string all =
        fmt::format("{},method:{},endpoint:{}", tags, tag_value(series.method), tag_value(series.endpoint));
    lines.push_back(line("endpoint.active", std::to_string(series.active), 'g', all));
    if (before == nullptr) {
      continue;
    }
    const EndpointSeries& was = earlier[{series.method, series.endpoint}];
    for (const auto& [name, grown] : {std::pair{"endpoint.completed", growth(series.completed, was.completed)},
                                      {"endpoint.failed", growth(series.failed, was.failed)},
                                      {"endpoint.aborted", growth(series.aborted, was.aborted)}}) {
      if (grown > 0) {
        lines.push_back(line(name, std::to_string(grown), 'c', all));
      }
    }
  }
}

}  // namespace

std::vector<std::string> render_statsd(const std::vector<Snapshot>& now, const std::vector<Snapshot>& before,
                                       bool tagged) {
  const std::vector<std::string> names = target_names(now);
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < now.size(); ++i) {
    const auto found = std::find_if(before.begin(), before.end(),
                                    [&](const Snapshot& snapshot) { return snapshot.pid == now[i].pid; });
    const Snapshot* const earlier = found == before.end() ? nullptr : &*found;
    const std::string tags =
        tagged ? fmt::format("|#target:{},pid:{}", tag_value(names[i]), now[i].pid) : std::string();
    add_figures(now[i], earlier, tags, lines);
    if (tagged) {
      add_endpoints(now[i], earlier, tags, lines);
    }
  }
  return lines;
}

std::vector<std::string> pack_datagrams(const std::vector<std::string>& lines, std::size_t most) {
  std::vector<std::string> datagrams;
  for (const std::string& one : lines) {
    if (datagrams.empty() || datagrams.back().size() + 1 + one.size() > most) {
      datagrams.push_back(one);
    } else {
      datagrams.back() += "\n" + one;
    }
  }
  return datagrams;
}

}  // namespace monitor
