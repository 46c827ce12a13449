// SPDX-License-Identifier: Apache-2.0
// Names and buckets are those of OpenTelemetry's conventions for HTTP servers as Prometheus maps them, and under
// uvicorn_ what they have no name for.
#include "output/prometheus.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <iterator>
#include <system_error>
#include <utility>

#include "output/figures.h"
#include "output/series.h"
#include "output/text.h"

namespace monitor {
namespace {

// A value of a label, quoted by the rules of the exposition formats, which are the same in both.
std::string quoted_value(std::string_view value) {
  std::string text = "\"";
  for (const char byte : value) {
    if (byte == '\n') {
      text += "\\n";
      continue;
    }
    if (byte == '\\' || byte == '"') {
      text += '\\';
    }
    text += byte;
  }
  return text + '"';
}

// 1 as "1.0": OpenMetrics' canonical form of a bound, so that a series is the same one in both formats.
std::string bound_text(double bound) {
  return std::floor(bound) == bound ? fmt::format("{:.1f}", bound) : fmt::format("{}", bound);
}

// Microseconds: more would be noise.
std::string seconds_text(double seconds) {
  return fmt::format("{}", std::round(presentable(seconds) * 1e6) / 1e6);
}

// One document in the making.
class Document {
 public:
  explicit Document(Exposition exposition) : open_metrics_(exposition == Exposition::kOpenMetrics) {}

  // Begins a family; its samples follow it. `name` of a counter has its "_total".
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    std::string_view of_family = name;
    if (open_metrics_ && type == "counter") {
      of_family.remove_suffix(std::string_view("_total").size());
    }
    if (open_metrics_ && type == "info") {
      of_family.remove_suffix(std::string_view("_info").size());
    }
    if (!open_metrics_ && type == "info") {
      type = "gauge";
    }
    fmt::format_to(std::back_inserter(text_), "# HELP {0} {2}\n# TYPE {0} {1}\n", of_family, type, help);
  }

  // `labels` as they stand between the braces, `value` as a number is written.
  void sample(std::string_view suffix, std::string_view labels, std::string_view value) {
    fmt::format_to(std::back_inserter(text_), "{}{}{{{}}} {}\n", name_, suffix, labels, value);
  }

  std::string finish() && {
    if (open_metrics_) {
      text_ += "# EOF\n";
    }
    return std::move(text_);
  }

 private:
  bool open_metrics_;
  std::string name_;
  std::string text_;
};

struct Target {
  const Snapshot& snapshot;
  std::string labels;
  std::vector<EndpointSeries> endpoints;
};

struct Figure {
  const char* name;
  const char* type;
  const char* help;
  std::function<std::string(const Snapshot&)> value;
  bool of_system = false;  // CPU and its like
};

template <typename Number>
std::function<std::string(const Snapshot&)> whole(Number Snapshot::*figure) {
  return [figure](const Snapshot& snapshot) { return std::to_string(snapshot.*figure); };
}

std::function<std::string(const Snapshot&)> seconds(double Snapshot::*figure) {
  return [figure](const Snapshot& snapshot) { return seconds_text(snapshot.*figure); };
}

// What a server has one of.
std::vector<Figure> figures() {
  return {
      {"uvicorn_active_requests_peak", "gauge",
       "The most requests that were ever in flight at once, since counting began.", whole(&Snapshot::peak)},
      {"uvicorn_requests_total", "counter", "Requests that ended, however they ended.", whole(&Snapshot::total)},
      {"uvicorn_failed_requests_total", "counter",
       "Requests that ended with a status of 500 or more or were cut off by the server.", whole(&Snapshot::failed)},
      {"uvicorn_aborted_requests_total", "counter", "Requests whose client went away first.",
       whole(&Snapshot::aborted)},
      {"uvicorn_refused_requests_total", "counter", "Requests refused by the server's own limit of concurrency.",
       whole(&Snapshot::refused)},
      {"uvicorn_rejected_requests_total", "counter",
       "Malformed requests, answered by the server's parser; in no other count.", whole(&Snapshot::rejected)},
      {"uvicorn_queue_depth", "gauge", "What waits now: connections to be accepted or with unread bytes.",
       whole(&Snapshot::queue_depth)},
      {"uvicorn_open_connections", "gauge", "Connections accepted and not closed, idle ones too.",
       whole(&Snapshot::open_connections)},
      {"uvicorn_open_connections_peak", "gauge", "The most connections that were open at once, since counting began.",
       whole(&Snapshot::peak_connections)},
      {"uvicorn_active_websockets", "gauge", "Requests in flight that were upgraded to a WebSocket.",
       whole(&Snapshot::websockets)},
      {"uvicorn_cpu_seconds_total", "counter", "CPU time of the server's processes, ended ones too.",
       seconds(&Snapshot::cpu_seconds), true},
      {"uvicorn_memory_bytes", "gauge", "Resident memory of the server's processes.", whole(&Snapshot::memory_bytes),
       true},
      {"uvicorn_threads", "gauge", "Threads of the server's processes.", whole(&Snapshot::threads), true},
      {"uvicorn_uptime_seconds", "gauge", "Time since the server's first process was started.",
       seconds(&Snapshot::uptime_seconds)},
      {"uvicorn_observed_seconds", "gauge", "Time since counting began, which is what the totals and peaks cover.",
       seconds(&Snapshot::observed_seconds)},
  };
}

std::string endpoint_labels(const Target& target, const EndpointSeries& series) {
  return fmt::format("{},http_request_method={},endpoint={}", target.labels, quoted_value(series.method),
                     quoted_value(series.endpoint));
}

void add_active(const std::vector<Target>& targets, Document& document) {
  document.family("http_server_active_requests", "gauge", "Requests in flight now.");
  for (const Target& target : targets) {
    for (const EndpointSeries& series : target.endpoints) {
      document.sample("", endpoint_labels(target, series), std::to_string(series.active));
    }
  }
}

void add_histogram(const std::string& labels, const Durations& durations, Document& document) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < durations.buckets.size(); ++i) {
    count += durations.buckets.at(i);
    const std::string bound = i < kDurationBounds.size() ? bound_text(kDurationBounds.at(i)) : "+Inf";
    document.sample("_bucket", fmt::format("{},le=\"{}\"", labels, bound), std::to_string(count));
  }
  document.sample("_sum", labels, seconds_text(durations.sum_seconds));
  document.sample("_count", labels, std::to_string(count));
}

void add_durations(const std::vector<Target>& targets, Document& document) {
  document.family("http_server_request_duration_seconds", "histogram",
                  "Time from the last byte of a request's head to the end of its response.");
  for (const Target& target : targets) {
    for (const EndpointSeries& series : target.endpoints) {
      for (const auto& [status, durations] : series.durations) {
        add_histogram(endpoint_labels(target, series) + ",http_response_status_code=" + quoted_value(status), durations,
                      document);
      }
    }
  }
}

void add_undercount(const std::vector<Target>& targets, Document& document) {
  document.family("uvicorn_undercount_total", "counter",
                  "Connections or events that could not be counted; at 0 the other figures are complete.");
  for (const Target& target : targets) {
    for (const auto& [cause, count] : target.snapshot.undercount) {
      document.sample("", target.labels + ",cause=" + quoted_value(escape_text(cause)), std::to_string(count));
    }
  }
}

void add_info(const std::vector<Target>& targets, std::string_view version, Document& document) {
  document.family("target_info", "info", "The servers that are observed.");
  for (const Target& target : targets) {
    const Snapshot& snapshot = target.snapshot;
    document.sample("",
                    fmt::format("{},pid=\"{}\",command={},profile={},version={}", target.labels, snapshot.pid,
                                quoted_value(escape_text(snapshot.command)),
                                quoted_value(escape_text(snapshot.profile)), quoted_value(version)),
                    "1");
  }
}

struct MediaRange {
  std::string type;
  std::string version;
  double quality = 1;
};

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

std::string lower(std::string_view text) {
  std::string lowered(text);
  std::transform(lowered.begin(), lowered.end(), lowered.begin(),
                 [](char byte) { return byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte + 32) : byte; });
  return lowered;
}

// "text/plain; version=0.0.4; q=0.5". A weight that is no number is 0.
MediaRange parse_media_range(std::string_view range) {
  MediaRange media;
  media.type = lower(trimmed(range.substr(0, range.find(';'))));
  for (std::size_t next = range.find(';'); next != std::string_view::npos; next = range.find(';')) {
    range.remove_prefix(next + 1);
    const std::string_view parameter = trimmed(range.substr(0, range.find(';')));
    const std::string name = lower(parameter.substr(0, parameter.find('=')));
    const std::string_view value = parameter.substr(std::min(name.size() + 1, parameter.size()));
    if (name == "version") {
      media.version = value;
    } else if (name == "q" &&
               std::from_chars(value.data(), value.data() + value.size(), media.quality).ec != std::errc()) {
      media.quality = 0;
    }
  }
  return media;
}

}  // namespace

Exposition choose_exposition(std::string_view accept) {
  double open_metrics = 0;
  double text = 0;
  while (!accept.empty()) {
    const std::string_view range = accept.substr(0, accept.find(','));
    accept.remove_prefix(std::min(range.size() + 1, accept.size()));
    const MediaRange media = parse_media_range(range);
    if (media.type == "application/openmetrics-text" && (media.version.empty() || media.version == "1.0.0")) {
      open_metrics = std::max(open_metrics, media.quality);
    } else if (media.type == "text/plain" || media.type == "text/*" || media.type == "*/*") {
      text = std::max(text, media.quality);
    }
  }
  return open_metrics > 0 && open_metrics >= text ? Exposition::kOpenMetrics : Exposition::kPrometheus;
}

const char* content_type(Exposition exposition) {
  return exposition == Exposition::kOpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                                : "text/plain; version=0.0.4; charset=utf-8";
}

std::string render_prometheus(const std::vector<Snapshot>& snapshots, Exposition exposition, std::string_view version) {
  const std::vector<std::string> names = target_names(snapshots);
  std::vector<Target> targets;
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    targets.push_back({snapshots[i], "target=" + quoted_value(names[i]), endpoint_series(snapshots[i])});
  }
  Document document(exposition);
  add_active(targets, document);
  add_durations(targets, document);
  for (const Figure& figure : figures()) {
    document.family(figure.name, figure.type, figure.help);
    for (const Target& target : targets) {
      if (!figure.of_system || target.snapshot.system) {
        document.sample("", target.labels, figure.value(target.snapshot));
      }
    }
  }
  add_undercount(targets, document);
  add_info(targets, version, document);
  return std::move(document).finish();
}

}  // namespace monitor
