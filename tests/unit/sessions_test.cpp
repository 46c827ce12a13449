// SPDX-License-Identifier: Apache-2.0
// What `monitor sessions` prints.
#include "output/sessions.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

namespace monitor {
namespace {

Sessions example() {
  Sessions sessions;
  sessions.directory = "/sys/fs/bpf/monitor";
  sessions.engine = EngineInfo{"1.2.3", "socket", false, 0};
  sessions.servers = {{42, "uvicorn app:app", 1764080000, 3723.5, 2}, {7, "evil\n\033[31m", 1764080000, 1, 1}};
  sessions.maps = {{"targets", 2, 16, 2048}, {"connections", 3, 0, 4096}, {"programs", std::nullopt, 0, 1024}};
  return sessions;
}

// Sets the local time zone to UTC, and restores it at the end.
class Utc {
 public:
  Utc() { set("UTC"); }
  Utc(const Utc&) = delete;
  Utc& operator=(const Utc&) = delete;
  ~Utc() { before_.empty() ? ::unsetenv("TZ") : ::setenv("TZ", before_.c_str(), 1); }

 private:
  void set(const char* zone) {
    const char* const value = ::getenv("TZ");
    before_ = value == nullptr ? "" : value;
    ::setenv("TZ", zone, 1);
  }
  std::string before_;
};

}  // namespace

TEST_CASE("output.sessions: a line for each server, and the memory of the engine") {
  const Utc utc;
  CHECK(render_sessions(example()) ==
        "pid 42  since 2025-11-25 14:13:20 (1h 2m 3s)  2 processes  uvicorn app:app\n"
        "pid 7  since 2025-11-25 14:13:20 (1s)  1 process  evil\\x0a\\x1b[31m\n"
        "\n"
        "Engine at /sys/fs/bpf/monitor: monitor 1.2.3, profile socket\n"
        "  map                     entries             kernel memory\n"
        "  targets                 2 of 16                    2.0 kB\n"
        "  connections             3                          4.0 kB\n"
        "  programs                                           1.0 kB\n"
        "  in all                                             7.0 kB\n");
  Sessions ended = example();
  ended.servers[0].kept_seconds = 65.4;
  CHECK(render_sessions(ended).starts_with(
      "pid 42  has ended; kept for 1m 5s in case its address is served again\npid 7  since"));
  CHECK(render_sessions(Sessions{}) == "No server is attached.\n");
  Sessions raw = example();
  raw.engine->raw_paths = true;
  CHECK(render_sessions(raw).find("monitor 1.2.3, profile socket, paths as sent\n") != std::string::npos);
}

TEST_CASE("output.sessions: JSON") {
  const auto json = nlohmann::json::parse(render_sessions_json(example()));
  CHECK(json["sessions"].size() == 2);
  CHECK(json["sessions"][0]["pid"] == 42);
  CHECK(json["sessions"][0]["since"] == "2025-11-25T14:13:20Z");
  CHECK(json["sessions"][0]["observed_seconds"] == 3723.5);
  CHECK(json["sessions"][0]["kept_seconds"].is_null());
  CHECK(json["sessions"][1]["command"] == "evil\\x0a\\x1b[31m");
  CHECK(json["engine"]["memory_bytes"] == 7168);
  CHECK(json["engine"]["maps"][1]["capacity"].is_null());
  CHECK(json["engine"]["maps"][2]["entries"].is_null());
  const auto none = nlohmann::json::parse(render_sessions_json(Sessions{}));
  CHECK(none["sessions"].empty());
  CHECK(none["engine"].is_null());
}

}  // namespace monitor
