// SPDX-License-Identifier: Apache-2.0
#include "session/endpoints.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <numeric>
#include <thread>
#include <utility>

#include "base/boot_clock.h"
#include "session/listeners.h"
#include "session/map_walk.h"
#include "session/run_program.h"

namespace monitor {
namespace {

bool counted_nothing(const monitor_endpoint& e) {
  return completed_requests(e) == 0 && (e.word & UINT32_MAX) == 0;
}

bool is_unanswered(const monitor_endpoint& e) {
  return e.key.method_length != 0 && (e.word & UINT32_MAX) == 0 && completed_requests(e) != 0 &&
         completed_requests(e) == e.status[0] + e.not_found;
}

std::vector<Durations> read_durations(const monitor_endpoint& e) {
  static_assert(std::tuple_size_v<decltype(Durations::buckets)> == MONITOR_DURATION_BUCKETS);
  std::vector<Durations> found;
  for (const monitor_durations& durations : e.durations) {
    if (durations.code == DURATIONS_FREE) {
      continue;
    }
    Durations read;
    read.other = durations.code == DURATIONS_OTHER;
    if (!read.other && durations.code != DURATIONS_NO_STATUS) {
      read.status = durations.code;
    }
    read.sum_seconds = to_seconds(durations.sum_ns);
    std::copy(std::begin(durations.buckets), std::end(durations.buckets), read.buckets.begin());
    found.push_back(read);
  }
  return found;
}

// `count` is the number of all requests that the histogram covers.
Latency read_latency(const monitor_latency& from, std::uint64_t count) {
  Latency read{
      .count = count, .sum_seconds = to_seconds(from.sum_ns), .max_seconds = to_seconds(from.max_ns), .buckets = {}};
  std::uint64_t slower = 0;
  for (std::uint16_t i = 1; i < MONITOR_LATENCY_BUCKETS; ++i) {
    if (from.buckets[i] != 0) {
      read.buckets.emplace_back(i, from.buckets[i]);
      slower += from.buckets[i];
    }
  }
  if (count > slower) {
    read.buckets.insert(read.buckets.begin(), {0, count - slower});
  }
  read.count = std::max(count, slower);  // a request can end during this reading
  return read;
}

std::uint64_t timed_requests(const std::vector<Durations>& durations) {
  std::uint64_t count = 0;
  for (const Durations& one : durations) {
    count = std::accumulate(one.buckets.begin(), one.buckets.end(), count);
  }
  return count;
}

// Reads the times of the endpoint in this slot.
Status read_latencies(const Objects& objects, std::uint32_t id, EndpointCounters& endpoint) {
  const std::uint64_t count = timed_requests(endpoint.durations);
  if (count == 0) {
    return Ok{};
  }
  monitor_latencies times{};
  if (bpf_map_lookup_elem(objects.map("latencies").fd(), &id, &times) != 0) {
    return system_error(errno, "read the map latencies");
  }
  endpoint.latencies.queue_wait = read_latency(times.queue_wait, count - std::min(count, times.unknown_waits));
  endpoint.latencies.first_byte = read_latency(times.first_byte, count - std::min(count, times.unanswered));
  endpoint.latencies.duration = read_latency(times.duration, count);
  return Ok{};
}

EndpointCounters endpoint_counters(const monitor_endpoint_key& key, const monitor_endpoint& e) {
  EndpointCounters counters;
  counters.listener = key.listener;
  counters.method.assign(key.method, key.method_length);
  counters.path.assign(key.path, key.path_length);
  counters.path_cut = (key.flags & ENDPOINT_PATH_CUT) != 0;
  counters.method_cut = (key.flags & ENDPOINT_METHOD_CUT) != 0;
  counters.active = e.word & UINT32_MAX;
  counters.peak = e.peak;
  counters.completed = completed_requests(e);
  counters.failed = e.failed;
  counters.aborted = e.aborted;
  counters.websockets = e.websockets;
  static_assert(sizeof(e.status) == sizeof(std::uint64_t) * std::tuple_size_v<decltype(counters.status)>);
  std::memcpy(counters.status.data(), e.status, sizeof(e.status));
  counters.durations = read_durations(e);
  return counters;
}

Result<monitor_endpoint> read_slot(const Objects& objects, std::uint32_t id) {
  monitor_endpoint endpoint{};
  if (bpf_map_lookup_elem(objects.map("endpoint_table").fd(), &id, &endpoint) != 0) {
    return system_error(errno, "read the map endpoint_table");
  }
  return endpoint;
}

// While one exists, the hooks evict no endpoint because the table is full. New endpoints then count under "(other)", so
// it must be short; it ends by itself should this process be killed.
class EvictionPause {
 public:
  explicit EvictionPause(const Objects& objects) : shared_(*objects.evictions) {
    until().store(nanoseconds_since_boot() + kLongest);
    begun_ = std::atomic_ref(shared_.begun).load();
    // A search takes microseconds, unless an interrupt stops it.
    for (const std::uint64_t end = nanoseconds_since_boot() + kPatience;
         std::atomic_ref(shared_.done).load() != begun_ && nanoseconds_since_boot() < end;) {
      std::this_thread::yield();
    }
  }
  EvictionPause(const EvictionPause&) = delete;
  EvictionPause& operator=(const EvictionPause&) = delete;
  ~EvictionPause() { until().store(0); }

  // Whether no endpoint has been evicted so. Another process that ends its own pause ends this one too.
  bool has_held() const { return std::atomic_ref(shared_.done).load() == begun_; }

 private:
  static constexpr std::uint64_t kLongest = 20'000'000;  // nanoseconds
  static constexpr std::uint64_t kPatience = 1'000'000;

  std::atomic_ref<__abi_u64> until() const { return std::atomic_ref(shared_.paused_until_ns); }

  monitor_evictions& shared_;
  std::uint64_t begun_ = 0;
};

// Returns the requests of "(not found)" of all listeners: an eviction merges those of its endpoint into it.
Result<std::uint64_t> evicted_requests(const Objects& objects, unsigned target) {
  std::uint64_t evicted = 0;
  for (const KnownListener& listener : TRY(known_listeners(objects, target))) {
    evicted += completed_requests(TRY(read_slot(objects, listener.counted.special[SPECIAL_NOT_FOUND])));
  }
  return evicted;
}

// Calls `take` for each of these endpoints that has not been evicted since. Batches take a quarter of the time of
// single reads, but they read the whole table.
template <typename Take>
Status read_slots(const Objects& objects, std::vector<monitor_endpoint_ref> refs, const Take& take) {
  const Map& table = objects.map("endpoint_table");
  const auto take_if_there = [&](const monitor_endpoint& endpoint, const monitor_endpoint_ref& ref) -> Status {
    return endpoint.word >> 32 == ref.generation ? take(endpoint, ref.id) : Status(Ok{});
  };
  if (refs.size() < table.max_entries() / 4) {
    for (const monitor_endpoint_ref& ref : refs) {
      TRY(take_if_there(TRY(read_slot(objects, ref.id)), ref));
    }
    return Ok{};
  }
  std::sort(refs.begin(), refs.end(),
            [](const monitor_endpoint_ref& left, const monitor_endpoint_ref& right) { return left.id < right.id; });
  auto next = refs.cbegin();
  Status taken = Ok{};
  TRY((for_each_entry<std::uint32_t, monitor_endpoint>(table, [&](std::uint32_t id, const monitor_endpoint& endpoint) {
    if (taken && next != refs.cend() && next->id == id) {
      taken = take_if_there(endpoint, *next++);
    }
  })));
  return taken;
}

Result<std::vector<EndpointCounters>> read_endpoints_once(const Objects& objects, unsigned target) {
  std::vector<EndpointCounters> endpoints;
  // The special endpoints first: an endpoint that is evicted during this reading is then missing rather than counted
  // twice, and the total does not fall at the next reading.
  for (const KnownListener& listener : TRY(known_listeners(objects, target))) {
    for (const std::uint32_t id : listener.counted.special) {
      const monitor_endpoint endpoint = TRY(read_slot(objects, id));
      if (!counted_nothing(endpoint)) {
        endpoints.push_back(endpoint_counters(endpoint.key, endpoint));
        TRY(read_latencies(objects, id, endpoints.back()));
      }
    }
  }
  std::vector<monitor_endpoint_ref> theirs;
  TRY((for_each_entry<monitor_endpoint_key, monitor_endpoint_ref>(
      objects.map("endpoint_index"), [&](const monitor_endpoint_key& key, const monitor_endpoint_ref& ref) {
        if (key.target == target && key.method_length != 0) {
          theirs.push_back(ref);
        }
      })));
  TRY(read_slots(objects, std::move(theirs), [&](const monitor_endpoint& endpoint, std::uint32_t id) {
    endpoints.push_back(endpoint_counters(endpoint.key, endpoint));
    return read_latencies(objects, id, endpoints.back());
  }));
  return endpoints;
}

// Gives a slot back, empty and with the next generation. If this process is killed in the middle, the slot is lost, but
// two endpoints never share it.
Status free_endpoint(const Objects& objects, const monitor_endpoint_key& key, std::uint32_t id) {
  const monitor_endpoint old = TRY(read_slot(objects, id));
  monitor_endpoint blank{};
  blank.word = ((old.word >> 32) + 1) << 32;
  static constexpr monitor_latencies kNoTimes{};
  if (bpf_map_delete_elem(objects.map("endpoint_index").fd(), &key) != 0 ||
      bpf_map_update_elem(objects.map("endpoint_table").fd(), &id, &blank, BPF_ANY) != 0 ||
      bpf_map_update_elem(objects.map("latencies").fd(), &id, &kNoTimes, BPF_ANY) != 0 ||
      bpf_map_update_elem(objects.map("free_endpoints").fd(), nullptr, &id, BPF_ANY) != 0) {
    return system_error(errno, "write the table of endpoints");
  }
  return Ok{};
}

}  // namespace

std::uint64_t completed_requests(const monitor_endpoint& endpoint) {
  return std::accumulate(std::begin(endpoint.status), std::end(endpoint.status), std::uint64_t{0});
}

Status free_endpoints(const Objects& objects, unsigned target) {
  const EvictionPause pause(objects);
  std::vector<std::pair<monitor_endpoint_key, std::uint32_t>> theirs;
  Status status = for_each_entry<monitor_endpoint_key, monitor_endpoint_ref>(
      objects.map("endpoint_index"), [&](const monitor_endpoint_key& key, const monitor_endpoint_ref& ref) {
        if (key.target == target) {
          theirs.emplace_back(key, ref.id);
        }
      });
  for (const auto& [key, id] : theirs) {
    TRY(free_endpoint(objects, key, id));
  }
  return status;
}

Result<std::vector<EndpointCounters>> read_endpoints(const Objects& objects, unsigned target) {
  constexpr int kMostReadings = 8;
  std::vector<EndpointCounters> endpoints;
  for (int reading = 0; reading < kMostReadings; ++reading) {
    const EvictionPause pause(objects);
    const std::uint64_t before = TRY(evicted_requests(objects, target));
    endpoints = TRY(read_endpoints_once(objects, target));
    if (TRY(evicted_requests(objects, target)) == before && pause.has_held()) {
      break;
    }
  }
  return endpoints;
}

Status evict_unanswered(const Objects& objects, unsigned target) {
  std::uint32_t entries = 0;                 // of all targets
  std::vector<monitor_endpoint_ref> theirs;  // of this one
  TRY((for_each_entry<monitor_endpoint_key, monitor_endpoint_ref>(
      objects.map("endpoint_index"), [&](const monitor_endpoint_key& key, const monitor_endpoint_ref& ref) {
        entries += 1;
        if (key.target == target) {
          theirs.push_back(ref);
        }
      })));
  if (entries < objects.map("endpoint_index").max_entries() / 4 * 3) {
    return Ok{};
  }
  for (const monitor_endpoint_ref& ref : theirs) {
    const monitor_endpoint endpoint = TRY(read_slot(objects, ref.id));
    if (endpoint.word >> 32 == ref.generation && is_unanswered(endpoint)) {
      TRY(run_program(objects.program("evict"), std::array<std::uint64_t, 2>{ref.id, endpoint.word},
                      "make room in the table of endpoints"));
    }
  }
  return Ok{};
}

}  // namespace monitor
