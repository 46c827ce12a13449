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

#include "output/metrics.h"
#include "output/series.h"
#include "output/text.h"

namespace monitor {
namespace {

// The value of a tag. Bytes that would end it are escaped as text.h escapes bytes.
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

// 0 for a counter that fell: it was read while the kernel took an endpoint out of the table.
std::uint64_t growth(std::uint64_t now, std::uint64_t before) {
  return now > before ? now - before : 0;
}

// What a counter of `now` grew by since `before`, which has the same figures in the same order.
std::uint64_t growth(const std::vector<Figure>& now, const std::vector<Figure>& before, std::size_t index) {
  return growth(std::get<std::uint64_t>(*now[index].value), std::get<std::uint64_t>(*before[index].value));
}

void add_server(const Snapshot& now, const Snapshot* before, const std::string& tags, std::vector<std::string>& lines) {
  const std::vector<Figure> earlier = before != nullptr ? figures(*before, kStatsd) : std::vector<Figure>();
  const std::vector<Figure> list = figures(now, kStatsd);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!list[i].value) {
      continue;
    }
    if (list[i].kind == Kind::kGauge) {
      lines.push_back(line(list[i].name, number_text(*list[i].value), 'g', tags));
    } else if (before != nullptr) {
      lines.push_back(line(list[i].name, std::to_string(growth(list, earlier, i)), 'c', tags));
    }
  }
}

using EndpointKey = std::pair<std::string, std::string>;

// A counter of an endpoint that did not grow is left out: most endpoints are idle, and there can be thousands.
void add_endpoints(const Snapshot& now, const Snapshot* before, const std::string& tags,
                   std::vector<std::string>& lines) {
  std::map<EndpointKey, EndpointCounters> earlier;
  if (before != nullptr) {
    for (EndpointSeries& series : endpoint_series(*before)) {
      earlier.emplace(EndpointKey{series.method, series.endpoint}, std::move(series.counters));
    }
  }
  for (const EndpointSeries& series : endpoint_series(now)) {
    const std::string all =
        fmt::format("{},method:{},endpoint:{}", tags, tag_value(series.method), tag_value(series.endpoint));
    const std::vector<Figure> was = figures(earlier[{series.method, series.endpoint}], kStatsd);
    const std::vector<Figure> list = figures(series.counters, kStatsd);
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string name = "endpoint." + list[i].name;
      if (!list[i].value) {
        continue;
      }
      if (list[i].kind == Kind::kGauge) {
        lines.push_back(line(name, number_text(*list[i].value), 'g', all));
      } else if (const std::uint64_t grown = growth(list, was, i); before != nullptr && grown > 0) {
        lines.push_back(line(name, std::to_string(grown), 'c', all));
      }
    }
  }
}

std::string listener_tag(const Snapshot& snapshot) {
  return snapshot.listener.empty() ? "" : ",listener:" + tag_value(escape_text(snapshot.listener));
}

}  // namespace

std::vector<std::string> render_statsd(const std::vector<Snapshot>& now, const std::vector<Snapshot>& before,
                                       bool tagged) {
  const std::vector<std::string> names = target_names(now);
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < now.size(); ++i) {
    const auto found = std::find_if(before.begin(), before.end(), [&](const Snapshot& snapshot) {
      return snapshot.pid == now[i].pid && snapshot.listener == now[i].listener;
    });
    const Snapshot* const earlier = found == before.end() ? nullptr : &*found;
    const std::string tags =
        tagged ? fmt::format("|#target:{},pid:{}{}", tag_value(names[i]), now[i].pid, listener_tag(now[i]))
               : std::string();
    add_server(now[i], earlier, tags, lines);
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
