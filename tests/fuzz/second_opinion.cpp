// SPDX-License-Identifier: Apache-2.0
// http_parser's callbacks. They do not report positions, but a callback can pause http_parser, which then returns how
// far it parsed.
#include "fuzz/second_opinion.h"

#include <algorithm>
#include <cstring>

#include "fuzz/text.h"

namespace monitor::fuzz {
namespace {

// Connection: upgrade, with an Upgrade field.
constexpr unsigned kUpgrade = F_UPGRADE | F_CONNECTION_UPGRADE;

}  // namespace

int SecondOpinion::pause(http_parser* parser) {
  http_parser_pause(parser, 1);
  return 0;
}

int SecondOpinion::on_message_begin(http_parser* parser) {
  SecondOpinion& self = of(parser);
  self.message_ = {};
  self.connection_.clear();
  self.codings_.clear();
  self.list_ = nullptr;
  self.other_connection_ = false;
  return 0;
}

int SecondOpinion::on_url(http_parser* parser, const char* at, std::size_t length) {
  SecondOpinion& self = of(parser);
  const std::string_view before(self.bytes() + self.begin_, static_cast<std::size_t>(at - self.bytes()) - self.begin_);
  const std::size_t line = before.size() - std::min(before.find_first_not_of("\r\n"), before.size());
  put_path({at, length}, line < HTTP1_REQUEST_LINE_PREFIX ? HTTP1_REQUEST_LINE_PREFIX - line : 0, self.message_);
  return 0;
}

int SecondOpinion::on_header_field(http_parser* parser, const char* at, std::size_t length) {
  SecondOpinion& self = of(parser);
  const std::string_view name(at, length);
  const std::string_view bare = name.substr(0, name.find_last_not_of(' ') + 1);
  self.list_ = nullptr;
  if (same_text(bare, "transfer-encoding")) {
    self.list_ = &self.codings_;
  } else if (same_text(name, "connection")) {
    self.list_ = &self.connection_;
  } else if (same_text(bare, "connection") || same_text(bare, "proxy-connection")) {
    self.other_connection_ = true;
  }
  if (self.list_ != nullptr) {
    self.list_->begin_line();
  }
  return 0;
}

int SecondOpinion::on_header_value(http_parser* parser, const char* at, std::size_t length) {
  SecondOpinion& self = of(parser);
  if (self.list_ != nullptr) {
    self.list_->add({at, length});
  }
  return 0;
}

int SecondOpinion::on_headers_complete(http_parser* parser) {
  SecondOpinion& self = of(parser);
  self.saw_head_ = true;
  self.read_lists_again();
  pause(parser);
  return self.has_no_body() ? 1 : 0;
}

int SecondOpinion::on_body(http_parser* parser, const char* at, std::size_t length) {
  SecondOpinion& self = of(parser);
  if (self.opinion_.count != 0) {
    Message& message = self.opinion_.messages[self.opinion_.count - 1];
    for (std::size_t i = 0; i < length && message.captured <= HTTP1_CAPTURE; ++i) {
      if (message.captured < HTTP1_CAPTURE) {
        message.capture[message.captured] = at[i];
      }
      message.captured += 1;
    }
  }
  return 0;
}

int SecondOpinion::on_message_complete(http_parser* parser) {
  of(parser).saw_end_ = true;
  return pause(parser);
}

int SecondOpinion::on_chunk_complete(http_parser* parser) {
  of(parser).saw_chunk_end_ = true;
  return pause(parser);
}

int SecondOpinion::on_chunk_header(http_parser* parser) {
  of(parser).saw_chunk_ = true;
  return pause(parser);
}

// RFC 9112 §6.3: responses that have no body regardless of their fields. http_parser leaves this to its caller.
bool SecondOpinion::has_no_body() const {
  const unsigned status = parser_.status_code;
  if (!responses()) {
    return false;
  }
  // uvicorn writes its own 400 with a body in answer to HEAD too (http1_maybe_own_400).
  const bool own_400 = status == 400 && (parser_.flags & F_CONNECTION_CLOSE) != 0 &&
                       ((parser_.flags & F_CONTENTLENGTH) == 0 || parser_.content_length == HTTP1_OWN_400_LENGTH);
  return status < 200 || status == 204 || status == 304 || (input_->method == HTTP1_METHOD_HEAD && !own_400);
}

// RFC 9110 §9.3.6, §15.2.2: no HTTP follows.
bool SecondOpinion::is_tunnel() const {
  const unsigned status = parser_.status_code;
  return status == 101 || (input_->method == HTTP1_METHOD_CONNECT && status >= 200 && status < 300);
}

// Ends the opinion at the first CR in [from, to) that is not followed by LF.
void SecondOpinion::judge_returns(__u32 from, __u32 to) {
  for (__u32 i = from; i < to; ++i) {
    if (bytes()[i] == '\r' && i + 1 < input_->length && bytes()[i + 1] != '\n') {
      stop(i);
      return;
    }
  }
}

// http_parser parses lists that are not plain by a grammar of its own. It treats Proxy-Connection (not a field of HTTP)
// and "Connection :" as Connection, which no tested server does. With several Transfer-Encoding fields, it goes by the
// first "chunked". It decides about the body after this callback, so set its flags here as RFC 9110 §5.6.1 requires.
void SecondOpinion::read_lists_again() {
  unsigned flags = parser_.flags;
  if (other_connection_ || !connection_.is_plain()) {
    flags &= ~(F_CONNECTION_CLOSE | F_CONNECTION_KEEP_ALIVE | F_CONNECTION_UPGRADE);
    flags |= connection_.has("close") ? F_CONNECTION_CLOSE : 0U;
    flags |= connection_.has("keep-alive") ? F_CONNECTION_KEEP_ALIVE : 0U;
    flags |= connection_.has("upgrade") ? F_CONNECTION_UPGRADE : 0U;
  }
  if (!codings_.is_plain()) {
    flags &= ~F_CHUNKED;
    flags |= codings_.ends_in("chunked") ? F_CHUNKED : 0U;
  }
  parser_.flags = static_cast<unsigned char>(flags);
  if (!responses()) {
    parser_.upgrade = static_cast<unsigned char>((flags & kUpgrade) == kUpgrade || parser_.method == HTTP_CONNECT);
  }
}

// Whether this request is the last one on its connection. http_parser differs from RFC 9112 §9.3 twice: in HTTP/1.0 it
// checks only for "keep-alive", although "close" decides there too; and for versions after 1.1, which persist (h11
// agrees), it goes by the minor version, so that "HTTP/2.0" would close.
bool SecondOpinion::closes() const {
  if ((parser_.flags & F_CONNECTION_CLOSE) != 0) {
    return true;
  }
  return parser_.http_major < 2 && http_should_keep_alive(&parser_) == 0;
}

bool SecondOpinion::take_head(__u32 position) {
  // http_parser pauses before the LF that ends the head.
  const __u32 head = position + 1;
  judge_unfinished(head);
  // Our parser goes line by line: if a line continues an element of the previous one, "close" LF " x", it sees two
  // elements.
  if (connection_.has_broken_element() || codings_.has_broken_element()) {
    stop(position);
  }
  message_.head = head;
  if (responses()) {
    message_.status = static_cast<__u16>(parser_.status_code);
    message_.closes = (parser_.flags & F_CONNECTION_CLOSE) != 0;
  } else {
    const char* const name = http_method_str(static_cast<http_method>(parser_.method));
    message_.method_length = static_cast<__u8>(std::strlen(name));
    std::memcpy(message_.method.data(), name, message_.method_length);
    message_.kind = parser_.method == HTTP_HEAD      ? HTTP1_METHOD_HEAD
                    : parser_.method == HTTP_CONNECT ? HTTP1_METHOD_CONNECT
                                                     : HTTP1_METHOD_OTHER;
    message_.closes = closes();
    // authority-form (RFC 9112 §3.2.3) has no path
    message_.path_known = message_.path_known && parser_.method != HTTP_CONNECT;
    message_.upgrades = (parser_.flags & kUpgrade) == kUpgrade;
  }
  if (opinion_.count == opinion_.messages.size()) {
    stop(position);
    return false;
  }
  // What follows is not HTTP, or the server does not read it. The parsers disagree on the body of CONNECT: http_parser
  // takes it to have no body, while h11 reads the fields.
  const bool over = responses() ? is_tunnel() : message_.closes || parser_.method == HTTP_CONNECT;
  message_.end_known = !over;
  opinion_.messages[opinion_.count] = message_;
  opinion_.count += 1;
  if (over) {
    stop(head);
    return false;
  }
  at_ = (parser_.flags & F_CHUNKED) != 0 && !has_no_body() ? At::kChunkLine : At::kBody;
  begin_ = head;
  return true;
}

// Ends the opinion where, in a head or a chunk-size line up to `position`, the parsers disagree on ends of lines.
void SecondOpinion::judge_unfinished(__u32 position) {
  __u32 begin = begin_;
  if (at_ == At::kBody) {
    return;
  }
  // A CR without LF does not end a line (RFC 9112 §2.2). Debian's http_parser is built without its strict checks, and
  // in some states it accepts any byte in place of the LF. Both parsers skip CRs before a request.
  while (at_ == At::kHead && begin < position && (bytes()[begin] == '\r' || bytes()[begin] == '\n')) {
    begin += 1;
  }
  judge_returns(responses() ? begin_ : begin, position);
  const std::string_view text(bytes() + begin, position - begin);
  if (at_ == At::kHead) {
    judge_lines(text, begin);
    if (responses()) {
      judge_status(text, begin);
    } else {
      judge_version(text, begin);
    }
  }
  if (at_ != At::kChunkLine) {
    return;
  }
  // Of a chunk size with many leading zeros, our parser examines the first 176 digits and the last 15.
  if (text.find_first_of("\r\n; ") >= HTTP1_LINE_PREFIX && text.size() > HTTP1_LINE_PREFIX) {
    stop(begin);
  }
  // http_parser reads any byte from 0x80 on as the digit 0: its table of digits lists only the first 128 bytes.
  const auto* const strange = std::find_if(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
  if (strange != text.end()) {
    stop(begin + static_cast<__u32>(strange - text.begin()));
  }
  // A lone LF ends a line (RFC 9112 §2.2), but http_parser does not accept it in a chunk-size line.
  const std::size_t lf = text.find('\n');
  if (lf != std::string_view::npos && (lf == 0 || text[lf - 1] != '\r')) {
    stop(begin + static_cast<__u32>(lf));
  }
}

// Of the field lines that delimit messages, our parser examines only the first 176 bytes and the last 16.
void SecondOpinion::judge_lines(std::string_view head, __u32 position) {
  for (std::size_t begin = 0; begin < head.size();) {
    const std::size_t end = std::min(head.find('\n', begin), head.size());
    const std::string_view line = head.substr(begin, end - begin);
    if (line.size() > HTTP1_LINE_PREFIX &&
        (line.front() == ' ' || line.front() == '\t' || starts_with(line, "content-length") ||
         starts_with(line, "connection") || starts_with(line, "transfer-encoding") || starts_with(line, "upgrade"))) {
      stop(position + static_cast<__u32>(begin));
      return;
    }
    // It also ignores a value of Upgrade on a continuation line (obs-fold).
    const bool continued = end + 1 < head.size() && (head[end + 1] == ' ' || head[end + 1] == '\t');
    if (continued && starts_with(line, "upgrade:") && line.find_first_not_of(" \t\r", 8) == std::string_view::npos) {
      stop(position + static_cast<__u32>(begin));
      return;
    }
    begin = end + 1;
  }
}

// A status line begins "HTTP/1.1 200" (RFC 9112 §4). http_parser also accepts other versions, more spaces, and any
// number of digits. Our parser rejects these, because servers do not write them.
void SecondOpinion::judge_status(std::string_view head, __u32 position) {
  constexpr std::string_view kForm = "HTTP/1.0 000";
  const auto fits = [](char c, char form) { return form == '0' ? is_digit(c) : c == form; };
  const std::string_view start = head.substr(0, kForm.size());
  const auto* const misfit = std::mismatch(start.begin(), start.end(), kForm.begin(), fits).first;
  if (misfit != start.end() || (head.size() > kForm.size() && is_digit(head[kForm.size()]))) {
    stop(position + static_cast<__u32>(misfit - start.begin()));
  }
}

// Ends the opinion where, in the request line at the start of `head`, http_parser accepts a malformed version.
void SecondOpinion::judge_version(std::string_view head, __u32 position) {
  const std::string_view line = head.substr(0, head.find('\n'));
  const std::size_t target = line.find_first_not_of(' ', line.find(' '));
  const std::size_t version = line.find_first_not_of(' ', line.find(' ', target));
  if (target == std::string_view::npos) {
    return;
  }
  // Without a version, our parser wants a path or a URI of HTTP: other protocols have lines of words too.
  const std::string_view written = line.substr(0, line.find_last_not_of('\r') + 1);
  const bool versioned = written.size() >= 9 && written.substr(written.size() - 9, 6) == " HTTP/";
  if (!versioned && line[target] != '/' && line[target] != '*' && !starts_with(line.substr(target), "http")) {
    stop(position + static_cast<__u32>(target));
  }
  // "CONNECT  HTTP/1.1" has no target, and http_parser reads the version as a host.
  if (version == std::string_view::npos) {
    if (line.substr(target, 5) == "HTTP/") {
      stop(position + static_cast<__u32>(target));
    }
    return;
  }
  // Without strict checks, http_parser accepts any four bytes after "H" in place of "TTP/", ends of lines too. It also
  // reads "SOURCE / ICE/1.0" (Icecast) as HTTP/1.0.
  const bool whole = line.size() < head.size();
  const std::string_view spelled = std::string_view("HTTP/").substr(0, whole ? 5 : line.size() - version);
  if (line.substr(version, spelled.size()) != spelled) {
    stop(position + static_cast<__u32>(version));
  }
}

bool SecondOpinion::take(__u32 position) {
  if (saw_head_) {
    saw_head_ = false;
    return take_head(position);
  }
  if (saw_chunk_) {
    saw_chunk_ = false;
    judge_unfinished(position);
    at_ = parser_.content_length == 0 ? At::kTrailer : At::kBody;
    begin_ = position;
  }
  if (saw_chunk_end_) {
    saw_chunk_end_ = false;
    // The last chunk completes at the end of the trailers, together with the message.
    if (at_ == At::kBody) {
      at_ = At::kChunkLine;
      begin_ = position;
    }
  }
  if (saw_end_) {
    saw_end_ = false;
    judge_unfinished(position);
    opinion_.messages[opinion_.count - 1].end = position;
    // http_parser reads nothing after a request to upgrade. How those bytes count is up to the engine.
    if (parser_.upgrade != 0) {
      stop(position);
    }
    at_ = At::kHead;
    begin_ = position;
  }
  return opinion_.until == input_->length;
}

const Opinion& SecondOpinion::read(const trace_input& input) {
  static const http_parser_settings kSettings = [] {
    http_parser_settings settings;
    http_parser_settings_init(&settings);
    settings.on_message_begin = on_message_begin;
    settings.on_url = on_url;
    settings.on_header_field = on_header_field;
    settings.on_header_value = on_header_value;
    settings.on_headers_complete = on_headers_complete;
    settings.on_body = on_body;
    settings.on_message_complete = on_message_complete;
    settings.on_chunk_header = on_chunk_header;
    settings.on_chunk_complete = on_chunk_complete;
    return settings;
  }();
  std::size_t position = 0;

  input_ = &input;
  opinion_.count = 0;
  opinion_.until = input.length;
  at_ = At::kHead;
  begin_ = 0;
  saw_head_ = saw_end_ = saw_chunk_ = saw_chunk_end_ = false;
  http_parser_init(&parser_, responses() ? HTTP_RESPONSE : HTTP_REQUEST);
  parser_.data = this;
  while (position < input.length) {
    const char* const from = static_cast<const char*>(input.bytes) + position;
    position += http_parser_execute(&parser_, &kSettings, from, input.length - position);
    const http_errno error = HTTP_PARSER_ERRNO(&parser_);
    if (error == HPE_PAUSED) {
      http_parser_pause(&parser_, 0);
      if (!take(static_cast<__u32>(position))) {
        return opinion_;
      }
    } else if (error != HPE_OK) {
      // http_parser rejects this byte
      stop(static_cast<__u32>(position));
      break;
    }
  }
  judge_unfinished(opinion_.until);
  return opinion_;
}

void put_path(std::string_view target, std::size_t judged, Message& message) {
  constexpr std::string_view kAuthority = "://";
  std::string_view path = target;
  // http_parser accepts only letters in a scheme.
  const auto* const colon = std::find_if(path.begin(), path.end(), [](char c) { return !is_letter(c); });
  const auto scheme = static_cast<std::size_t>(colon - path.begin());
  if (scheme != 0 && path.substr(scheme, kAuthority.size()) == kAuthority) {
    path.remove_prefix(scheme + kAuthority.size());
    path.remove_prefix(std::min(path.find_first_of("/?#"), path.size()));
    if (path.empty() || path.front() != '/') {
      path = "/";
    }
  }
  path = path.substr(0, path.find_first_of("?#"));
  message.path_known = target.size() <= judged;
  message.path_cut = path.size() > MONITOR_PATH_SIZE;
  path = path.substr(0, MONITOR_PATH_SIZE);
  message.path_length = static_cast<__u8>(path.size());
  std::copy(path.begin(), path.end(), message.path.begin());
}

}  // namespace monitor::fuzz
