// SPDX-License-Identifier: Apache-2.0
// What Debian's http_parser (libhttp-parser-dev, the parser of Node.js up to 11 and of httptools up to 0.1) says of the
// same bytes: an opinion on where messages begin and end that shares no line with ours. Where the two mean different
// things on purpose the opinion ends, with the reason written at the place.
#pragma once

#include <http_parser.h>

#include <array>
#include <cstddef>
#include <string_view>

#include "fuzz/replay.h"
#include "fuzz/token_list.h"

namespace monitor::fuzz {

// One message, as both parsers can tell of it.
struct Message {
  __u32 head = 0;  // bytes of the stream up to the end of its head
  __u32 end = 0;   // up to its last byte; 0 while that is not there
  bool end_known = true;
  __u16 status = 0;       // of a response
  __u8 kind = 0;          // of a request: enum http1_method
  __u8 captured = 0;      // of the body of a 400 or 503: its bytes, HTTP1_CAPTURE + 1 if more than are kept
  bool closes = false;    // a request: nothing follows on the connection; a response: Connection: close
  bool upgrades = false;  // a request asks for another protocol
  bool path_cut = false;
  bool path_known = true;  // false: it lies behind what is judged of a line
  __u8 method_length = 0;
  __u8 path_length = 0;
  std::array<char, MONITOR_METHOD_SIZE> method{};
  std::array<char, MONITOR_PATH_SIZE> path{};
  std::array<char, HTTP1_CAPTURE> capture{};
};

// What one parser says of a stream.
struct Opinion {
  std::array<Message, TRACE_EVENTS> messages;
  std::size_t count = 0;
  __u32 until = 0;           // nothing is said of what ends behind this many bytes
  bool turned_down = false;  // what follows is no HTTP/1.x
};

class SecondOpinion {
 public:
  // Reads the input's bytes; `responses` are to requests with `method`.
  const Opinion& read(const trace_input& input);

 private:
  // Where in a message http_parser is; of its lines the harness must know where they begin.
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

  // What the last callback told of, at `position` of the stream. False: no more is said.
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
  TokenList* list_ = nullptr;      // the one that the field under way is
  bool other_connection_ = false;  // http_parser took another field for Connection
  At at_ = At::kHead;
  __u32 begin_ = 0;  // of the head or chunk-size line under way
  bool told_head_ = false;
  bool told_end_ = false;
  bool told_chunk_ = false;
  bool told_chunk_end_ = false;
};

// The path that a request target means (RFC 9110 §4.2.3, §7.1), at most as long as a key holds. Of the target `judged`
// bytes are looked at.
void put_path(std::string_view target, std::size_t judged, Message& message);

}  // namespace monitor::fuzz
