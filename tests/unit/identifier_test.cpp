// SPDX-License-Identifier: Apache-2.0
// Which segments of a path count as identifiers: generated ones of usual kinds, and names of real APIs.
#include "http1/identifier.h"

#include <doctest/doctest.h>

#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace monitor {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBase32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr std::string_view kBase36 = "0123456789abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kBase62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kBase64Url = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
constexpr std::string_view kDigits = kHex.substr(0, 10);
constexpr std::string_view kUpper = kBase62.substr(0, 36);
constexpr std::string_view kSafe = "bcdfghjklmnpqrstvwxz2456789";  // of names that Kubernetes makes

bool is_identifier(std::string_view text) {
  segment counted{};
  for (const char c : text) {
    segment_add(&counted, c);
  }
  segment_end_part(&counted, 0);
  return segment_is_identifier(&counted);
}

bool is_secret(std::string_view text) {
  segment counted{};
  for (const char c : text) {
    segment_add(&counted, c);
  }
  segment_end_part(&counted, 0);
  return segment_is_secret(&counted) != 0;
}

class Generator {
 public:
  std::string text(std::size_t length, std::string_view alphabet) {
    std::string made;
    while (made.size() < length) {
      made += alphabet[random_() % alphabet.size()];
    }
    return made;
  }

 private:
  std::mt19937 random_{1};  // NOLINT(cert-msc51-cpp): the same text in every run
};

}  // namespace

TEST_CASE("identifier: generated ones are recognized, but for one in a hundred") {
  Generator random;
  const std::vector<std::pair<const char*, std::function<std::string()>>> kinds = {
      {"response", [&] { return "resp_" + random.text(48, kHex); }},
      {"file", [&] { return "file-" + random.text(24, kBase62); }},
      {"completion", [&] { return "chatcmpl-" + random.text(29, kBase62); }},
      {"customer", [&] { return "cus_" + random.text(14, kBase62); }},
      {"instance", [&] { return "i-" + random.text(17, kHex); }},
      {"hash", [&] { return random.text(40, kHex); }},
      {"ULID", [&] { return "01" + random.text(24, kBase32); }},
      {"nanoid", [&] { return random.text(21, kBase64Url); }},
      {"base64url", [&] { return random.text(43, kBase64Url); }},
      {"KSUID", [&] { return random.text(27, kBase62); }},
      {"cuid", [&] { return "c" + random.text(24, kBase36); }},
      {"xid", [&] { return random.text(20, kBase36.substr(0, 32)); }},
      {"API key", [&] { return "sk-" + random.text(48, kBase62); }},
      {"token with a name", [&] { return random.text(32, kBase62) + ".json"; }},
      {"e-mail", [&] { return random.text(8, kBase36) + "@example.org"; }},
      {"number and title", [&] { return "1" + random.text(3, "0123456789") + "-how-to"; }},
      {"order", [&] { return "order-" + random.text(7, "0123456789"); }},
      {"title", [&] { return "tt" + random.text(7, "0123456789"); }},
      {"user", [&] { return "user" + random.text(6, "0123456789"); }},
      {"time within a name", [&] { return "report-17" + random.text(8, "0123456789") + "-final.pdf"; }},
      {"interface", [&] { return "00-1b-44-" + random.text(2, kHex) + "-" + random.text(2, kHex) + "-0a"; }},
      {"pod", [&] { return "api-gateway-7" + random.text(3, kHex) + "4c6f5d-" + random.text(5, kBase36); }},
      {"pod of a CronJob", [&] { return "cron-280564" + random.text(2, kDigits) + "-" + random.text(5, kSafe); }},
      {"user of Matrix", [&] { return "@user" + random.text(4, kDigits) + ":example.org"; }},
      {"ticket", [&] { return "PROJ-" + random.text(4, kDigits); }},
      {"channel of Slack", [&] { return "C0" + random.text(9, kUpper); }},
      {"VIN", [&] { return "1HGCM8" + random.text(5, kUpper) + random.text(6, kDigits); }},
      {"index", [&] { return "logs-2024.1" + random.text(1, "012") + ".1" + random.text(1, kDigits); }},
      {"tile", [&] { return "1" + random.text(3, kDigits) + ".png"; }},
      {"event of Matrix", [&] { return "$" + random.text(43, kBase64Url); }},
      {"address", [&] { return "10.20.1" + random.text(2, "0123456789") + ".1" + random.text(2, "0123456789"); }},
  };
  for (const auto& [name, make] : kinds) {
    CAPTURE(std::string(name));
    int missed = 0;
    for (int i = 0; i < 5000; ++i) {
      missed += is_identifier(make()) ? 0 : 1;
    }
    CHECK(missed <= 50);
  }
}

TEST_CASE("identifier: names of real APIs are not") {
  for (const std::string_view name : {"v1",
                                      "v1beta1",
                                      "v1alpha1",
                                      "v2beta2",
                                      "oauth2",
                                      "oauth.v2.access",
                                      "gpt-4",
                                      "gpt-4o",
                                      "gpt-4o-mini",
                                      "text-embedding-3-small",
                                      "text-embedding-ada-002",
                                      "Llama-3.3-70B-Instruct-Turbo-FP8",
                                      "Qwen2.5-Coder-32B-Instruct-AWQ",
                                      "claude-3-5-sonnet",
                                      "claude-3-5-sonnet-20241022",
                                      "claude-opus-4-20250514",
                                      "gpt-4o-2024-08-06",
                                      "text-embedding-3-large",
                                      "mixtral-8x7b-32768",
                                      "deepseek-r1-distill-qwen-32b",
                                      "v1p3beta1",
                                      "v202405",
                                      "s3",
                                      "ipv6",
                                      "utf8",
                                      "sha256",
                                      "h264",
                                      "top10",
                                      "me",
                                      "self",
                                      "us-east-1",
                                      "europe-west4",
                                      "face2face",
                                      "decade2020",
                                      "covid-19",
                                      "iso-27001",
                                      "getUserById",
                                      "getUserAccountSettingsById",
                                      "listDBInstances",
                                      "DescribeDBClusterParameterGroups",
                                      "AWSCognitoIdentityProviderService",
                                      "admin.conversations.ekm.listOriginalConnectedChannelInfo",
                                      "files.sharedPublicURL",
                                      "PreregisteredUsa2p",
                                      "openid-configuration",
                                      "rbac.authorization.k8s.io",
                                      "flowcontrol.apiserver.k8s.io",
                                      "x86_64-linux-gnu",
                                      "apple-touch-icon-120x120.png",
                                      "jquery-3.6.0.min.js",
                                      "bootstrap.min.css",
                                      "CHANGELOG.md",
                                      "README.Debian",
                                      "2fa",
                                      "3d-models",
                                      "7-zip",
                                      "2-factor",
                                      "404.html",
                                      "1.2.3",
                                      "10-20",
                                      "en-US",
                                      "zh_Hans_CN",
                                      "i18n",
                                      "k8s",
                                      "base64",
                                      "iso-8601",
                                      "area-51",
                                      "Ubuntu-22.04",
                                      "XMLHttpRequest",
                                      "@angular",
                                      "index.html",
                                      ""}) {
    CAPTURE(std::string(name));
    CHECK_FALSE(is_identifier(name));
  }
}

TEST_CASE("identifier: short ones are recognized more often than not") {
  Generator random;
  const std::vector<std::tuple<const char*, std::function<std::string()>, int>> kinds = {
      {"base62, 10", [&] { return random.text(10, kBase62); }, 500},
      {"base36, 10", [&] { return random.text(10, kBase36); }, 900},
      {"base36, 16", [&] { return random.text(16, kBase36); }, 200},
      {"video", [&] { return random.text(11, kBase64Url); }, 700},
      {"abbreviated hash", [&] { return random.text(7, kHex); }, 500},
      {"pod", [&] { return "web-" + random.text(10, kSafe) + "-" + random.text(5, kSafe); }, 200},
      {"any channel of Slack", [&] { return "T" + random.text(8, kUpper); }, 900},
  };
  for (const auto& [name, make, most] : kinds) {
    CAPTURE(std::string(name));
    int missed = 0;
    for (int i = 0; i < 5000; ++i) {
      missed += is_identifier(make()) ? 0 : 1;
    }
    CHECK(missed <= most);
  }
}

TEST_CASE("identifier: generated secrets are recognized") {
  Generator random;
  const std::string_view lower = kBase36.substr(10);
  const std::vector<std::pair<const char*, std::function<std::string()>>> kinds = {
      {"hexadecimal", [&] { return random.text(32, kHex); }},
      {"base36", [&] { return random.text(32, kBase36); }},
      {"base62", [&] { return random.text(32, kBase62); }},
      {"base64url", [&] { return random.text(43, kBase64Url); }},
      {"base64 with escapes", [&] { return random.text(20, kBase62) + "%2B" + random.text(22, kBase62) + "%3D"; }},
      {"lower case", [&] { return random.text(48, lower); }},
      {"key", [&] { return "sk-" + random.text(20, lower); }},
      {"key of a project", [&] { return "sk-proj-" + random.text(48, kBase64Url); }},
      {"JWT", [&] { return "eyJ" + random.text(33, kBase64Url) + "." + random.text(43, kBase64Url); }},
      {"token of a bot", [&] { return "AA" + random.text(33, kBase64Url); }},
      {"token of GitLab", [&] { return "key=glptt-" + random.text(20, kHex); }},
      {"token of Square", [&] { return "sq0atp-" + random.text(22, kBase64Url); }},
      {"key of AWS", [&] { return "ASIA" + random.text(16, kUpper); }},
      {"unknown service", [&] { return "acme_token_" + random.text(24, kBase62); }},
      {"token of GitHub", [&] { return "ghp_" + random.text(36, kBase62); }},
      {"e-mail", [&] { return random.text(8, lower) + "@example.org"; }},
  };
  for (const auto& [name, make] : kinds) {
    CAPTURE(std::string(name));
    int missed = 0;
    for (int i = 0; i < 5000; ++i) {
      missed += is_secret(make()) ? 0 : 1;
    }
    CHECK(missed <= 50);
  }
}

TEST_CASE("identifier: names and UUIDs are no secrets") {
  for (const std::string_view name : {"sk-SK",
                                      "sk-learn",
                                      "ghost_writer",
                                      "eyJson",
                                      "AIzawa",
                                      "hf_transfer",
                                      "users",
                                      "v1",
                                      "123e4567-e89b-12d3-a456-426614174000",
                                      "20240501T120000Z",
                                      "Llama-3.3-70B-Instruct-Turbo-FP8",
                                      "DescribeDBClusterParameterGroups",
                                      "admin.conversations.ekm.listOriginalConnectedChannelInfo",
                                      "SAML2Response",
                                      "npm-run-all-of-these-scripts",
                                      "test-the-connection-of-all",
                                      "lodash@4.17.21",
                                      "icon@2x.png",
                                      "how-to-write-a-title-that-is-longer-than-most",
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    CAPTURE(std::string(name));
    CHECK_FALSE(is_secret(name));
  }
}

}  // namespace monitor
