// SPDX-License-Identifier: Apache-2.0
// The words and prefixes of bpf/http1/secret_words.h, as text.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace monitor::fuzz {

// `word` is in lower case.
inline bool is_secret_word(std::string_view word) {
  constexpr std::array<std::string_view, 49> kEnds = {
      "key",      "otp",      "pwd",      "auth",     "code",     "feed",     "hook",     "join",     "keys",
      "link",     "creds",    "email",    "feeds",    "hooks",    "links",    "login",    "magic",    "reset",
      "share",    "token",    "accept",   "bearer",   "invite",   "redeem",   "secret",   "shared",   "shares",
      "signin",   "tokens",   "unlock",   "verify",   "confirm",  "invites",  "private",  "recover",  "refresh",
      "secrets",  "session",  "activate", "dentials", "irmation", "itations", "password", "recovery", "services",
      "tivation", "sessions", "ubscribe", "vitation"};
  return word == "ical" || std::any_of(kEnds.begin(), kEnds.end(),
                                       [word](std::string_view end) { return !end.empty() && word.ends_with(end); });
}

// 0: the word marks no keys before `after`; 1: it marks other things too; 2: it can also be a word; 3: it marks keys
// alone.
inline int key_kind(std::string_view word, char after) {
  constexpr std::array<std::string_view, 8> kBeforeDot = {"dp", "sg", "sl", "tk", "hvb", "hvr", "hvs", "mfa"};
  constexpr std::array<std::string_view, 6> kWeak = {"apik", "live", "test", "api", "pat", "sdk"};
  constexpr std::array<std::string_view, 38> kWords = {
      "ek",  "fc",  "fw",  "hf",  "pk",   "r8",   "rk",   "sk",   "csk",  "doo",   "dop",    "dor",    "fm2",
      "fo1", "glc", "gsk", "lin", "nfp",  "npm",  "ntn",  "phc",  "phx",  "pul",   "rnd",    "rzp",    "sbp",
      "sgp", "tfp", "tgp", "xai", "jina", "napi", "pypi", "rdme", "waka", "apify", "pscale", "atlasv1"};
  constexpr std::array<std::string_view, 44> kSure = {
      "bkua",   "dckr",   "figd",   "figu",   "gldt",    "glft",    "glrt",    "glsa",    "hrku",
      "lsv2",   "nrak",   "pcsk",   "pmak",   "pplx",    "tvly",    "xapp",    "ya29",    "cfpat",
      "glcbt",  "glimt",  "gloas",  "glpat",  "glptt",   "nvapi",   "shpat",   "shpca",   "shppa",
      "shpss",  "shpua",  "whsec",  "ccipat", "dt0c01",  "glffct",  "glsoat",  "gocspx",  "sntrys",
      "sntryu", "sq0atp", "sq0csp", "sq0idp", "flwseck", "glagent", "xkeysib", "xsmtpsib"};
  const auto in = [word](const auto& words) {
    return !word.empty() && std::find(words.begin(), words.end(), word) != words.end();
  };
  if ((word.size() == 4 && word.starts_with("xox")) || (word.size() == 3 && word.starts_with("gh")) || in(kSure)) {
    return 3;
  }
  if (in(kBeforeDot)) {
    return after == '.' ? 2 : 0;
  }
  return in(kWords) || word == "rubygems" ? 2 : in(kWeak) ? 1 : 0;
}

inline bool has_key_head(std::string_view part) {
  constexpr std::array<std::string_view, 15> kHeads = {"EAA",  "eyJ",  "ABIA", "ACCA", "AKIA", "ASIA", "AIza", "AKID",
                                                       "LTAI", "ATAT", "ATBB", "ATCT", "EZAK", "EZTK", "pplx"};
  return std::any_of(kHeads.begin(), kHeads.end(), [part](std::string_view head) { return part.starts_with(head); });
}

}  // namespace monitor::fuzz
