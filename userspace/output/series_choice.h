// SPDX-License-Identifier: Apache-2.0
// Keeps a scrape small: chooses the endpoints that have series of their own, and sums up the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/snapshot.h"
#include "output/series.h"

namespace monitor {

// The default of --max-scrape.
inline constexpr std::size_t kUsualScrape = 1'000'000;  // bytes

// The endpoints of one server in a scrape.
struct ChosenSeries {
  std::vector<EndpointSeries> series;  // as endpoint_series() sorts them; "(other)" has what is left out
  std::size_t left_out = 0;            // endpoints
};

// Shows the endpoints with the most requests. The counts of those that are left out are part of "(other)", so the sum
// over the series is the server's. No counter falls: an endpoint that gets a series of its own leaves in "(other)" what
// it counted there, and its series begins at 0; one that loses its series takes its counts to "(other)". An endpoint
// that is shown stays until another one has more than twice its requests.
class SeriesChoice {
 public:
  explicit SeriesChoice(std::size_t limit = kUsualScrape) : limit_(limit) {}

  std::size_t limit() const { return limit_; }

  // The bytes that a series takes in the document, at most.
  using Cost = std::size_t (*)(std::string_view target, const EndpointSeries& series);

  // Chooses for each server. `names` are those of target_names(). `taken`: the bytes of the document without endpoints.
  // A second call with the same snapshots makes the same choice.
  std::vector<ChosenSeries> choose(const std::vector<Snapshot>& snapshots, const std::vector<std::string>& names,
                                   std::size_t taken, Cost cost);

 private:
  using Key = std::pair<std::string, std::string>;  // method, endpoint

  // The histograms of an endpoint.
  struct Times {
    std::vector<Durations> durations;
    Latencies latencies;
  };

  // What earlier scrapes of a server had.
  struct Earlier {
    std::map<Key, Times> shown;  // and what each had counted in "(other)" before it was shown
    std::set<Key> left_out;
    Times other;
  };

  static ChosenSeries split(std::vector<EndpointSeries> all, const std::set<Key>& chosen, Earlier& earlier);

  std::size_t limit_;
  std::map<std::string, Earlier> earlier_;  // by the server's name and pid
};

}  // namespace monitor
