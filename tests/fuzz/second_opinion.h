// SPDX-License-Identifier: Apache-2.0
// Parses the same bytes with Debian's http_parser (libhttp-parser-dev, the parser of Node.js up to 11 and of httptools
// up to 0.1): an opinion on where messages begin and end that shares no code with ours. Where the two differ on
// purpose, the opinion ends; a comment at each such place gives the reason.
#pragma once

#include <http_parser.h>

#include <array>
#include <cstddef>
#include <string_view>

#include "fuzz/replay.h"
#include "fuzz/token_list.h"

namespace monitor::fuzz {

// One message, with the properties that both parsers report.
struct Message {
  __u32 head = 0;  // bytes of the stream up to the end of its head
  __u32 end = 0;   // up to its last byte; 0 while it is incomplete
  bool end_known = true;
  __u16 status = 0;       // of a response
  __u8 kind = 0;          // of a request: enum http1_method
  __u8 captured = 0;      // body bytes of a 400 or 503; HTTP1_CAPTURE + 1 if there are more than `capture` holds
  bool closes = false;    // a request: the last one on the connection; a response: Connection: close
  bool upgrades = false;  // a request asks for another protocol
  bool path_cut = false;
  bool path_known = true;  // false: it extends past the bytes of a line that our parser examines
  __u8 method_length = 0;
  __u8 path_length = 0;
  std::array<char, MONITOR_METHOD_SIZE> method{};
  std::array<char, MONITOR_PATH_SIZE> path{};
  std::array<char, HTTP1_CAPTURE> capture{};
};

// One parser's view of a stream.
struct Opinion {
  std::array<Message, TRACE_EVENTS> messages;
  std::size_t count = 0;
  __u32 until = 0;        // no opinion on anything that ends after this many bytes
  bool rejected = false;  // what follows is not HTTP/1.x
};

class SecondOpinion {
 public:
  // Parses the input's bytes: requests, or with TRACE_RESPONSES the responses to requests with the input's method.
  const Opinion& read(const trace_input& input);

 private:
  // Where http_parser is in a message. It does not report where lines begin, so we keep track.
  enum class At { kHead, kBody, kChunkLine, kTrailer };

  static SecondOpinion& of(http_parser* parser) { return *static_cast<SecondOpinion*>(parser->data); }
  static int pause(http_parser* parser);
  static int on_message_begin(http_parser* parser);
  static int on_url(http_parser* parser, const char* at, std::size_t length);
  static int on_header_field(http_parser* parser, const char* at, std::size_t length);
  static int on_header_value(http_parser* parser, const char* at, std::size_t length);
  static int on_headers_complete(http_parser* parser);
  static int on_body(http_parser* parser, const char* at, std::size_t length);
  static int on_message_complete(http_parser* parser);
  static int on_chunk_header(http_parser* parser);
  static int on_chunk_complete(http_parser* parser);

  // Handles the callbacks since the last pause, at `position` of the stream. False: the opinion ends here.
  bool take(__u32 position);
  bool take_head(__u32 position);
  void judge_unfinished(__u32 position);
  void judge_returns(__u32 from, __u32 to);
  void judge_lines(std::string_view head, __u32 position);
  void judge_status(std::string_view head, __u32 position);
  void judge_version(std::string_view head, __u32 position);
  void read_lists_again();
  [[nodiscard]] bool closes() const;
  [[nodiscard]] bool has_no_body() const;
  [[nodiscard]] bool is_tunnel() const;
  [[nodiscard]] bool responses() const { return (input_->options & TRACE_RESPONSES) != 0; }
  [[nodiscard]] const char* bytes() const { return static_cast<const char*>(input_->bytes); }
  void stop(__u32 position) { opinion_.until = position < opinion_.until ? position : opinion_.until; }

  const trace_input* input_ = nullptr;
  http_parser parser_{};
  Opinion opinion_;
  Message message_;
  TokenList connection_;
  TokenList codings_;
  TokenList* list_ = nullptr;      // that the current field belongs to
  bool other_connection_ = false;  // http_parser treats another field as Connection
  At at_ = At::kHead;
  __u32 begin_ = 0;  // of the current head or chunk-size line
  bool saw_head_ = false;
  bool saw_end_ = false;
  bool saw_chunk_ = false;
  bool saw_chunk_end_ = false;
};

// Sets the path of a request target (RFC 9110 §4.2.3, §7.1), cut to the length that a key holds. Our parser examines
// only the first `judged` bytes of the target.
void put_path(std::string_view target, std::size_t judged, Message& message);

}  // namespace monitor::fuzz
