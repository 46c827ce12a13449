// SPDX-License-Identifier: Apache-2.0
// Strings from outside (paths, methods, command lines) must not reach a terminal, a log or the JSON unescaped, pass for
// something else, or be lost.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "output/columns.h"
#include "output/endpoints.h"
#include "output/render.h"
#include "output/text.h"
#include "unit/example_snapshot.h"

namespace monitor {
namespace {

using Json = nlohmann::ordered_json;
using test::endpoint;
using test::unescape;

// Sets every string of a snapshot that comes from outside.
Snapshot with_every_string(const std::string& bytes) {
  Snapshot snapshot;
  snapshot.endpoints = {endpoint("G" + bytes, "/" + bytes + "z", 1), endpoint("GET", bytes, 2)};
  snapshot.command = bytes + " " + bytes;
  snapshot.listen = {"unix:/" + bytes};
  snapshot.address = snapshot.listen.front();
  snapshot.profile = bytes;
  snapshot.undercount = {{bytes, 1}};
  return snapshot;
}

bool is_valid_utf8(const std::string& text) {
  try {
    return !Json(text).dump().empty();
  } catch (const Json::type_error&) {
    return false;
  }
}

// Checks that text is safe to print: UTF-8 without controls (C0 and C1), except for `newlines` line ends.
void check_safe(const std::string& text, std::ptrdiff_t newlines) {
  CAPTURE(text);
  CHECK(is_valid_utf8(text));
  CHECK(std::count(text.begin(), text.end(), '\n') == newlines);
  CHECK(std::none_of(text.begin(), text.end(), [](char byte) {
    const auto value = static_cast<unsigned char>(byte);
    return (value < 0x20 && byte != '\n') || value == 0x7f;
  }));
  for (std::size_t at = text.find('\xc2'); at != std::string::npos; at = text.find('\xc2', at + 1)) {
    CHECK(static_cast<unsigned char>(text.at(at + 1)) > 0xa0);  // U+0080..U+00A0
  }
}

void check_outputs(const std::string& bytes) {
  CAPTURE(escape_text(bytes));
  const Snapshot snapshot = with_every_string(bytes);
  check_safe(render_box(snapshot, {}), 17);
  const std::string ascii = render_box(snapshot, {.color = false, .unicode = false});
  check_safe(ascii, 17);
  CHECK(std::none_of(ascii.begin(), ascii.end(), [](char byte) { return static_cast<unsigned char>(byte) >= 0x80; }));
  for (const std::string& line : render_log_lines(snapshot)) {
    check_safe(line, 1);
    CHECK(line.back() == '\n');
  }

  const std::string text = render_json(snapshot);
  check_safe(text, 0);
  const Json object = Json::parse(text);
  const Json& first = object["endpoints"][0];
  CHECK(unescape(first["method"].get<std::string>()) == "G" + bytes);
  CHECK(unescape(first["path"].get<std::string>()) == "/" + bytes + "z");
  CHECK(unescape(object["endpoints"][1]["path"].get<std::string>()) == bytes);
  CHECK(unescape(object["target"]["command"].get<std::string>()) == snapshot.command);
  CHECK(unescape(object["target"]["listen"][0].get<std::string>()) == snapshot.listen[0]);
  check_safe(first["path"].get<std::string>(), 0);
}

TEST_CASE("output.hostile.every_byte_in_every_string") {
  for (unsigned value = 0; value < 256; ++value) {
    check_outputs(std::string(1, static_cast<char>(value)));
  }
}

struct Hostile {
  const char* what;
  std::string bytes;
  std::string shown;
};

TEST_CASE("output.hostile.sequences") {
  const std::vector<Hostile> cases = {
      {"terminal escape", "\033[2J\033]0;x\a", "\\x1b[2J\\x1b]0;x\\x07"},
      {"newline", "\r\n[SYSTEM]", "\\x0d\\x0a[SYSTEM]"},
      {"backslash", "\\x41\\", "\\\\x41\\\\"},
      {"C1 CSI",
       "\xc2\x9b"
       "2J",
       "\\xc2\\x9b2J"},
      {"C1 CSI as a byte",
       "\x9b"
       "2J",
       "\\x9b2J"},
      {"overlong slash", "\xc0\xaf", "\\xc0\\xaf"},
      {"overlong NUL", "\xc0\x80", "\\xc0\\x80"},
      {"overlong in three bytes", "\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
      {"overlong in four bytes", "\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"},
      {"surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80"},
      {"surrogate pair", "\xed\xa0\xbd\xed\xb8\x80", "\\xed\\xa0\\xbd\\xed\\xb8\\x80"},
      {"past U+10FFFF", "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
      {"five bytes", "\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"},
      {"cut short", "\xe4\xb8", "\\xe4\\xb8"},
      {"cut short before another", "\xe4\xb8/中", "\\xe4\\xb8/中"},
      {"right-to-left override U+202E", "\xe2\x80\xae", "\\xe2\\x80\\xae"},
      {"right-to-left isolate U+2067", "\xe2\x81\xa7", "\\xe2\\x81\\xa7"},
      {"zero width space U+200B", "\xe2\x80\x8b", "\\xe2\\x80\\x8b"},
      {"zero width joiner U+200D", "\xe2\x80\x8d", "\\xe2\\x80\\x8d"},
      {"byte order mark U+FEFF", "\xef\xbb\xbf", "\\xef\\xbb\\xbf"},
      {"Arabic number sign U+0600", "\xd8\x80", "\\xd8\\x80"},
      {"line separator U+2028", "\xe2\x80\xa8", "\\xe2\\x80\\xa8"},
      {"paragraph separator U+2029", "\xe2\x80\xa9", "\\xe2\\x80\\xa9"},
      {"no-break space U+00A0", "\xc2\xa0", "\\xc2\\xa0"},
      {"ideographic space U+3000", "\xe3\x80\x80", "\\xe3\\x80\\x80"},
      {"soft hyphen U+00AD", "\xc2\xad", "\\xc2\\xad"},
      {"combining acute U+0301", "e\xcc\x81", "e\\xcc\\x81"},
      {"enclosing circle U+20DD", "\xe2\x83\x9d", "\\xe2\\x83\\x9d"},
      {"variation selector U+FE0F", "\xef\xb8\x8f", "\\xef\\xb8\\x8f"},
      {"Hangul filler U+3164", "\xe3\x85\xa4", "\\xe3\\x85\\xa4"},
      {"Hangul vowel U+1161", "\xe1\x85\xa1", "\\xe1\\x85\\xa1"},
      {"private use U+E000", "\xee\x80\x80", "\\xee\\x80\\x80"},
      {"noncharacter U+FFFE", "\xef\xbf\xbe", "\\xef\\xbf\\xbe"},
      {"tag U+E0041", "\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81"},
      {"harmless characters", "é中😀\xef\xbf\xbd", "é中😀\xef\xbf\xbd"},
  };
  for (const Hostile& hostile : cases) {
    CAPTURE(hostile.what);
    CHECK(escape_text(hostile.bytes) == hostile.shown);
    CHECK(unescape(hostile.shown) == hostile.bytes);
    check_outputs(hostile.bytes);
  }
}

TEST_CASE("output.hostile.the_escape_is_reversible") {
  for (unsigned pair = 0; pair < 65536; ++pair) {
    const std::string bytes = {static_cast<char>(pair >> 8), static_cast<char>(pair & 255)};
    const bool same = unescape(escape_text(bytes)) == bytes && unescape(escape_text(bytes, true)) == bytes;
    REQUIRE_MESSAGE(same, pair);
  }
  // Bytes that form characters, escapes, and near misses of both.
  constexpr std::string_view kAlphabet = "\\x0a/ (\x7f\x80\x9f\xa0\xad\xae\xbf\xc2\xe2\xe4\xed\xef\xf0\xf4\xff";
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes(random() % 12, '\0');
    std::generate(bytes.begin(), bytes.end(), [&] { return kAlphabet[random() % kAlphabet.size()]; });
    const std::string shown = escape_text(bytes);
    REQUIRE_MESSAGE(unescape(shown) == bytes, shown);
    REQUIRE_MESSAGE(is_valid_utf8(shown), round);
    REQUIRE_MESSAGE(unescape(endpoint_path(endpoint("GET", bytes, 1))) == bytes, shown);
  }
}

TEST_CASE("output.hostile.no_path_passes_for_a_special_endpoint") {
  for (const char* name : {"(other)", "(not found)", "(before attach)", "(none)"}) {
    Snapshot snapshot;
    snapshot.endpoints = {endpoint("", name, 1), endpoint("GET", name, 2)};
    const std::vector<ActivePath> paths = active_paths(snapshot);
    REQUIRE(paths.size() == 2);
    CHECK(paths[1].path == name);
    CHECK(paths[0].path.starts_with("\\x28"));
    CHECK(unescape(paths[0].path) == name);
    const Json object = Json::parse(render_json(snapshot));
    CHECK(object["endpoints"][0]["path"] == name);
    CHECK(object["endpoints"][1]["path"] != name);
  }
}

TEST_CASE("output.hostile.no_path_forges_a_log_field") {
  Snapshot snapshot;
  snapshot.endpoints = {endpoint("GET", "/x: 9 | /y: 8 | [SYSTEM] CPU: 1%", 1)};
  CHECK(render_log_lines(snapshot)[1] ==
        "[ENDPOINTS] /x:\\x209\\x20|\\x20/y:\\x208\\x20|\\x20[SYSTEM]\\x20CPU:\\x201%: 1\n");
}

TEST_CASE("output.hostile.a_cut_method_differs_from_one_that_ends_there") {
  Snapshot snapshot;
  snapshot.endpoints = {endpoint("METHOD", "/", 1), endpoint("METHOD", "/", 1)};
  snapshot.endpoints[1].method_cut = true;
  const Json object = Json::parse(render_json(snapshot));
  CHECK(object["endpoints"][0]["method"] == "METHOD");
  CHECK(object["endpoints"][1]["method"] == "METHOD…");
}

TEST_CASE("output.hostile.a_cut_path_differs_from_one_that_ends_in_an_ellipsis") {
  CHECK(display_path("/a", true) == "/a…");
  CHECK(display_path("/a…", false) == "/a\\xe2\\x80\\xa6");
  CHECK(display_path("/a…/b", false) == "/a…/b");
  CHECK(display_path("/a", true, true) == "/a...");
  CHECK(display_path("/a...", false, true) == "/a\\x2e\\x2e\\x2e");
  CHECK(display_path("/a...", false) == "/a...");
  // Cut in the middle of a character.
  CHECK(display_path("/\xe4\xb8", true) == "/\\xe4\\xb8…");
}

TEST_CASE("output.columns.characters") {
  for (const char32_t code_point : {U'a', U' ', U'é', U'═', U'•', U'…', U'א', U'\u2800'}) {
    CAPTURE(static_cast<std::uint32_t>(code_point));
    CHECK(character_columns(code_point) == 1);
  }
  for (const char32_t code_point : {U'中', U'한', U'Ａ', U'😀', U'\U00020000'}) {
    CAPTURE(static_cast<std::uint32_t>(code_point));
    CHECK(character_columns(code_point) == 2);
  }
  for (char32_t code_point = 0; code_point < 0xa0; ++code_point) {
    CAPTURE(static_cast<std::uint32_t>(code_point));
    CHECK(character_columns(code_point) == (code_point >= 0x20 && code_point < 0x7f ? 1 : 0));
  }
  for (const char32_t code_point : {char32_t{0xd800}, char32_t{0xdfff}, U'\uffff', U'\ufdd0', U'\U0010ffff',
                                    char32_t{0x110000}, kInvalidCodePoint}) {
    CAPTURE(static_cast<std::uint32_t>(code_point));
    CHECK(character_columns(code_point) == 0);
  }
}

TEST_CASE("output.columns.shorten") {
  CHECK(shorten("abcdef", 6, 2, "…") == "abcdef");
  CHECK(shorten("abcdef", 5, 2, "…") == "ab…ef");
  CHECK(shorten("abcdef", 5, 0, "…") == "abcd…");
  CHECK(shorten("abcdef", 5, 99, "…") == "…cdef");
  CHECK(shorten("abcdef", 1, 0, "…") == "…");
  CHECK(shorten("abcdef", 2, 0, "...").empty());
  CHECK(shorten("", 0, 0, "…").empty());
}

}  // namespace
}  // namespace monitor
