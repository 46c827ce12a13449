// SPDX-License-Identifier: Apache-2.0
// Names and buckets are those of OpenTelemetry's conventions for HTTP servers, as Prometheus maps them. Metrics that
// the conventions do not name begin with uvicorn_.
#include "output/prometheus.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <span>
#include <system_error>
#include <utility>

#include "output/figures.h"
#include "output/metrics.h"
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

// A double has six decimals: every one is a time in seconds, and less than a microsecond is noise.
std::string value_text(const Number& number) {
  const auto* const value = std::get_if<double>(&number);
  return number_text(value != nullptr ? Number(microseconds(*value)) : number);
}

// A document that is being written.
class Document {
 public:
  explicit Document(Exposition exposition) : open_metrics_(exposition == Exposition::kOpenMetrics) {}

  // Begins a family; its samples follow. `name` ends in "_total" for a counter and in "_info" for an info: OpenMetrics
  // names the family without it. Prometheus' format has no type info.
  void family(std::string_view name, Kind kind, std::string_view help) {
    name_ = name;
    std::string_view family = name;
    if (open_metrics_ && kind == Kind::kCounter) {
      family.remove_suffix(std::string_view("_total").size());
    }
    if (open_metrics_ && kind == Kind::kInfo) {
      family.remove_suffix(std::string_view("_info").size());
    }
    const char* const type = kind_name(!open_metrics_ && kind == Kind::kInfo ? Kind::kGauge : kind);
    fmt::format_to(std::back_inserter(text_), "# HELP {0} {2}\n# TYPE {0} {1}\n", family, type, help);
  }

  // `labels` as they stand between the braces, `value` as a number is written.
  void sample(std::string_view suffix, std::string_view labels, std::string_view value) {
    fmt::format_to(std::back_inserter(text_), "{}{}{{{}}} {}\n", name_, suffix, labels, value);
  }

  // OpenMetrics has no comments.
  void comment(std::string_view text) {
    if (!open_metrics_) {
      fmt::format_to(std::back_inserter(text_), "# {}\n", text);
    }
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
  std::size_t left_out = 0;
};

std::string target_label(std::string_view name) {
  return "target=" + quoted_value(name);
}

std::string endpoint_labels(std::string_view target, const EndpointSeries& series) {
  return fmt::format("{},http_request_method={},endpoint={}", target, quoted_value(series.method),
                     quoted_value(series.endpoint));
}

// The labels of a listener. With --by-listener, those of the server name it already.
std::string listener_labels(const Target& target, const ListenerSnapshot& listener) {
  const std::string address =
      target.snapshot.listener.empty() ? ",listener=" + quoted_value(escape_text(listener.address)) : "";
  return target.labels + address;
}

// At most what the samples of an endpoint take in the document: one of requests in flight, and a histogram for each
// status. A line of a histogram has, beside the labels of the endpoint and the status, the family's name and suffix
// (43), the bound (12), what separates them (32), and a number.
std::size_t endpoint_bytes(std::string_view target, const EndpointSeries& series) {
  constexpr std::size_t kFixed = 43 + 12 + 32;
  constexpr std::size_t kNumber = 24;
  const std::size_t labels = endpoint_labels(target, series).size();
  std::size_t bytes = labels + kFixed;
  for (const Durations& durations : series.counters.durations) {
    std::uint64_t count = 1;
    std::size_t digits = 1;
    for (const std::uint64_t in_bucket : durations.buckets) {
      count += in_bucket;
    }
    for (; count >= 10; count /= 10) {
      ++digits;
    }
    bytes += (durations.buckets.size() + 1) * (labels + kFixed + status_label(durations).size() + digits) + labels +
             kFixed + kNumber;
  }
  for (const Latency* latency : {&series.counters.latencies.queue_wait, &series.counters.latencies.first_byte}) {
    bytes += latency->count != 0 ? (kUsualBounds + 3) * (labels + kFixed + kNumber) : 0;
  }
  return bytes;
}

void add_histogram(const std::string& labels, const Durations& durations, Document& document) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < durations.buckets.size(); ++i) {
    count += durations.buckets.at(i);
    const std::string bound = i < kDurationBounds.size() ? bound_text(kDurationBounds.at(i)) : "+Inf";
    document.sample("_bucket", fmt::format("{},le=\"{}\"", labels, bound), std::to_string(count));
  }
  document.sample("_sum", labels, value_text(durations.sum_seconds));
  document.sample("_count", labels, std::to_string(count));
}

// Only OpenTelemetry's bounds: those past 10 s are for streams.
void add_latency_histogram(const std::string& labels, const Latency& latency, Document& document) {
  if (latency.count == 0) {
    return;
  }
  for (const double bound : std::span(kDurationBounds).first(kUsualBounds)) {
    document.sample("_bucket", fmt::format("{},le=\"{}\"", labels, bound_text(bound)),
                    std::to_string(latency_up_to(latency, bound)));
  }
  document.sample("_bucket", labels + ",le=\"+Inf\"", std::to_string(latency.count));
  document.sample("_sum", labels, value_text(latency.sum_seconds));
  document.sample("_count", labels, std::to_string(latency.count));
}

// Writes the samples of one target, in the way that fits what the metric's row reads.
class TargetSamples {
 public:
  TargetSamples(const Target& target, std::string_view version, Document& document)
      : target_(target), version_(version), document_(document) {}

  void operator()(Read<Snapshot> read) const {
    document_.sample("", target_.labels, value_text(read(target_.snapshot)));
  }

  void operator()(Read<EndpointCounters> read) const {
    for (const EndpointSeries& series : target_.endpoints) {
      document_.sample("", endpoint_labels(target_.labels, series), value_text(read(series.counters)));
    }
  }

  void operator()(ReadDurations read) const {
    for (const EndpointSeries& series : target_.endpoints) {
      for (const Durations& durations : read(series.counters)) {
        const std::string status = quoted_value(status_label(durations));
        add_histogram(endpoint_labels(target_.labels, series) + ",http_response_status_code=" + status, durations,
                      document_);
      }
    }
  }

  void operator()(ReadLatency<EndpointCounters> read) const {
    for (const EndpointSeries& series : target_.endpoints) {
      add_latency_histogram(endpoint_labels(target_.labels, series), read(series.counters), document_);
    }
  }

  void operator()(Read<ListenerSnapshot> read) const {
    for (const ListenerSnapshot& listener : target_.snapshot.listeners) {
      document_.sample("", listener_labels(target_, listener), value_text(read(listener)));
    }
  }

  void operator()(LeftOut /*unused*/) const { document_.sample("", target_.labels, std::to_string(target_.left_out)); }

  void operator()(ReadCauses read) const {
    for (const auto& [cause, count] : read(target_.snapshot)) {
      document_.sample("", target_.labels + ",cause=" + quoted_value(escape_text(cause)), std::to_string(count));
    }
  }

  void operator()(std::monostate /*unused*/) const {
    const Snapshot& snapshot = target_.snapshot;
    document_.sample("",
                     fmt::format("{},pid=\"{}\",command={},profile={},version={}", target_.labels, snapshot.pid,
                                 quoted_value(escape_text(snapshot.command)),
                                 quoted_value(escape_text(snapshot.profile)), quoted_value(version_)),
                     "1");
  }

  // Only the JSON has these.
  void operator()(Read<WorkerSnapshot> /*unused*/) const {}
  void operator()(ReadClasses /*unused*/) const {}
  void operator()(ReadLatency<Snapshot> /*unused*/) const {}

 private:
  const Target& target_;
  std::string_view version_;
  Document& document_;
};

// The rows that Prometheus has, by topic.
std::vector<Metric> families() {
  std::vector<Metric> list;
  std::copy_if(metrics().begin(), metrics().end(), std::back_inserter(list),
               [](const Metric& metric) { return metric.prometheus != nullptr; });
  std::stable_sort(list.begin(), list.end(),
                   [](const Metric& left, const Metric& right) { return left.topic < right.topic; });
  return list;
}

// Writes the document for targets whose endpoints are chosen.
std::string render(const std::vector<Target>& targets, Exposition exposition, std::string_view version,
                   const std::vector<std::string>& comments) {
  Document document(exposition);
  for (const std::string& comment : comments) {
    document.comment(comment);
  }
  for (const Metric& metric : families()) {
    document.family(metric.prometheus, metric.kind, metric.help);
    for (const Target& target : targets) {
      if (target.snapshot.system || !metric.system) {
        std::visit(TargetSamples(target, version, document), metric.read);
      }
    }
  }
  return std::move(document).finish();
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

std::string render_prometheus(const std::vector<Snapshot>& snapshots, Exposition exposition, std::string_view version,
                              SeriesChoice& choice) {
  const std::vector<std::string> names = target_names(snapshots);
  std::vector<Target> targets;
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    const std::string listener =
        snapshots[i].listener.empty() ? "" : ",listener=" + quoted_value(escape_text(snapshots[i].listener));
    targets.push_back({snapshots[i], target_label(names[i]) + listener, {}});
  }
  constexpr std::size_t kComments = 300;  // bytes for each server
  // The same for both formats, so that they have the same endpoints.
  const std::size_t taken = render(targets, Exposition::kPrometheus, version, {}).size() + kComments * targets.size();
  std::vector<std::string> labels;
  std::transform(targets.begin(), targets.end(), std::back_inserter(labels),
                 [](const Target& target) { return target.labels; });
  std::vector<ChosenSeries> chosen = choice.choose(snapshots, labels, taken, endpoint_bytes);
  std::vector<std::string> comments;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    targets[i].endpoints = std::move(chosen[i].series);
    targets[i].left_out = chosen[i].left_out;
    if (targets[i].left_out > 0) {
      comments.push_back(fmt::format(
          "{} endpoints of {} are left out, those with the fewest requests; (other) has their sum. --max-scrape {} is "
          "the limit, in kB.",
          targets[i].left_out, names[i], choice.limit() / 1000));
    }
  }
  return render(targets, exposition, version, comments);
}

}  // namespace monitor
