// SPDX-License-Identifier: Apache-2.0
// Parses the case files and formats the parser's events.
#include "parser/cases.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace monitor {
namespace {

constexpr std::array<const char*, HTTP1_BAD + 1> kModes = {
    "start",           "field",      "field",  "trailer",     "chunks", "decide", "proxy-fixed",
    "proxy-addresses", "chunk-data", "length", "until-close", "over",   "bad"};
constexpr std::array<const char*, 4> kDelimiters = {"interim", "no-body", "body", "tunnel"};

[[noreturn]] void malformed(const std::string& file, int line, const std::string& why) {
  throw std::runtime_error(file + ":" + std::to_string(line) + ": " + why);
}

// One line of bytes: \r \n \t \\ \xNN, and \*N{…} for N repetitions of what is in braces. Every other character stands
// for itself.
std::string unescape(const std::string& text, const std::string& file, int line) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes += text[i];
      continue;
    }
    if (++i == text.size()) {
      malformed(file, line, "a backslash at the end");
    }
    switch (text[i]) {
      case 'r':
        bytes += '\r';
        break;
      case 'n':
        bytes += '\n';
        break;
      case 't':
        bytes += '\t';
        break;
      case '\\':
        bytes += '\\';
        break;
      case 'x':
        bytes += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
        i += 2;
        break;
      case '*': {
        const std::size_t open = text.find('{', i);
        const std::size_t close = text.find('}', i);
        if (open == std::string::npos || close == std::string::npos) {
          malformed(file, line, "a repetition without braces");
        }
        const std::string unit = unescape(text.substr(open + 1, close - open - 1), file, line);
        for (int n = std::stoi(text.substr(i + 1, open - i - 1)); n > 0; --n) {
          bytes += unit;
        }
        i = close;
        break;
      }
      default:
        malformed(file, line, "an unknown escape");
    }
  }
  return bytes;
}

enum class Part { kProse, kBytes, kEvents };

// Handles the first line of a block, "```kind": returns what the block holds and, for bytes, sets the case's options. A
// block "servers" is for the end-to-end tests.
Part begin_block(const std::string& kind, ParserCase& here, const std::string& file, int line) {
  if (kind == "events") {
    return Part::kEvents;
  }
  if (kind == "servers") {
    return Part::kProse;
  }
  if (kind.starts_with("response")) {
    here.options = TRACE_RESPONSES;
    here.method = kind == "response to HEAD"      ? HTTP1_METHOD_HEAD
                  : kind == "response to CONNECT" ? HTTP1_METHOD_CONNECT
                                                  : HTTP1_METHOD_OTHER;
  } else if (kind == "request raw") {
    here.options = TRACE_FOLD | TRACE_SECRETS;
  } else if (kind != "request") {
    malformed(file, line, "an unknown kind of block: " + kind);
  }
  return Part::kBytes;
}

void read_file(const std::filesystem::path& path, std::vector<ParserCase>& cases) {
  const std::string file = path.filename().string();
  std::ifstream in(path);
  std::string text;
  Part part = Part::kProse;
  for (int line = 1; std::getline(in, text); ++line) {
    if (text.starts_with("## ")) {
      cases.push_back({file + ": " + text.substr(3), TRACE_FOLD, HTTP1_METHOD_OTHER, "", ""});
    } else if (text == "```") {
      part = Part::kProse;
    } else if (text.starts_with("```")) {
      if (cases.empty()) {
        malformed(file, line, "a block before the first case");
      }
      part = begin_block(text.substr(3), cases.back(), file, line);
    } else if (part == Part::kBytes) {
      cases.back().bytes += unescape(text, file, line);
    } else if (part == Part::kEvents) {
      cases.back().expected += text + "\n";
    }
  }
}

std::string quoted(const char* bytes, std::size_t count) {
  std::string text = "\"";
  for (std::size_t i = 0; i < count; ++i) {
    const char c = bytes[i];
    if (c >= ' ' && c <= '~' && c != '\\') {
      text += c;
    } else {
      constexpr const char* kHex = "0123456789abcdef";
      text += "\\x";
      text += kHex[static_cast<unsigned char>(c) >> 4];
      text += kHex[static_cast<unsigned char>(c) & 15];
    }
  }
  return text + "\"";
}

std::string state(const trace_event& event) {
  std::string text = kModes.at(event.mode);
  if (event.mode == HTTP1_LENGTH || event.mode == HTTP1_PROXY_ADDRESSES) {
    text += " " + std::to_string(event.remaining);
  }
  return text;
}

std::string describe_event(const trace_event& event, bool responses) {
  switch (event.event) {
    case HTTP1_REQUEST_LINE: {
      const monitor_endpoint_key& key = event.key;
      std::string text = "line " + quoted(key.method, key.method_length) + " " + quoted(key.path, key.path_length);
      text += (key.flags & ENDPOINT_METHOD_CUT) != 0 ? " method-cut" : "";
      text += (key.flags & ENDPOINT_PATH_CUT) != 0 ? " path-cut" : "";
      return text;
    }
    case HTTP1_HEAD_COMPLETE:
      return responses
                 ? "head " + std::to_string(event.status) + " " + kDelimiters.at(event.delimiter) + ", " + state(event)
                 : "head, " + state(event);
    case HTTP1_END:
      return "end" + (event.captured != 0 ? " " + quoted(event.capture, std::min<int>(event.captured, HTTP1_CAPTURE))
                                          : std::string());
    default: {
      std::string text = "error";
      text += (event.flags & HTTP1_F_TLS) != 0 ? " tls" : "";
      text += (event.flags & HTTP1_F_HTTP2) != 0 ? " http2" : "";
      return text;
    }
  }
}

}  // namespace

std::vector<ParserCase> read_parser_cases(const std::string& directory) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".md" && entry.path().filename() != "README.md") {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<ParserCase> cases;
  for (const auto& file : files) {
    read_file(file, cases);
  }
  return cases;
}

std::string describe(const trace& trace, bool responses) {
  std::string text;
  for (__u32 i = 0; i < std::min<__u32>(trace.count, TRACE_EVENTS); ++i) {
    text += describe_event(trace.events[i], responses) + "\n";
  }
  if (trace.count > TRACE_EVENTS) {
    text += "and " + std::to_string(trace.count - TRACE_EVENTS) + " more\n";
  }
  text += "then " + state(trace.last);
  if (trace.last.captured != 0 && trace.last.mode == HTTP1_UNTIL_CLOSE) {
    text += " " + quoted(trace.last.capture, std::min<int>(trace.last.captured, HTTP1_CAPTURE));
  }
  return text + "\n";
}

trace_input make_input(const ParserCase& parser_case, std::size_t first, std::size_t piece, __u8 more_options) {
  trace_input input{};
  input.length = static_cast<__u32>(parser_case.bytes.size());
  if (input.length >= TRACE_INPUT) {
    throw std::runtime_error(parser_case.name + ": longer than a trace's input");
  }
  input.first = static_cast<__u32>(first);
  input.piece = static_cast<__u32>(piece);
  input.options = static_cast<__u8>(parser_case.options | more_options);
  input.method = static_cast<__u8>(parser_case.method);
  std::memcpy(input.bytes, parser_case.bytes.data(), parser_case.bytes.size());
  return input;
}

}  // namespace monitor
