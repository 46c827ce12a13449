// SPDX-License-Identifier: Apache-2.0
#include "sinks/pages.h"

#include <algorithm>
#include <array>

#include "output/prometheus.h"

namespace monitor {
namespace {

std::string plain_text(std::string_view /*accept*/) {
  return HttpResponse().content_type;
}

std::string metrics_content_type(std::string_view accept) {
  return content_type(choose_exposition(accept));
}

HttpResponse metrics(const Sample& sample, std::string_view accept, ServedBy& by) {
  const Exposition exposition = choose_exposition(accept);
  return HttpResponse{.content_type = content_type(exposition),
                      .body = render_prometheus(sample.snapshots, exposition, by.version, by.choice)};
}

HttpResponse health(const Sample& sample, std::string_view /*accept*/, ServedBy& /*by*/) {
  const bool none_left = std::all_of(sample.snapshots.begin(), sample.snapshots.end(),
                                     [](const Snapshot& snapshot) { return snapshot.ended; });
  return none_left || sample.server_ended ? HttpResponse{.status = 503, .body = "no server is observed\n"}
                                          : HttpResponse{.body = "ok\n"};
}

constexpr std::array kPages = {
    Page{"/metrics", metrics_content_type, metrics},
    Page{"/healthz", plain_text, health},
};

}  // namespace

std::span<const Page> pages() {
  return kPages;
}

}  // namespace monitor
