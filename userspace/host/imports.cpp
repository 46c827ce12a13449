// SPDX-License-Identifier: Apache-2.0
#include "host/imports.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <optional>

#include "host/python_code.h"

namespace monitor {
namespace {

constexpr std::size_t kMaxImports = 256;  // of one file

// A module that an HTTP server in Python imports. What `words` has, separated by spaces, must be in the program's code,
// at least one of them: frameworks and servers have parts that clients, schemas and loggers use. Without words, the
// import is enough.
struct ServerModule {
  std::string_view name;
  bool serves;  // it is a server, or starts one by itself; otherwise it makes an application that another one serves
  std::string_view words = {};
};
constexpr std::array kServerModules = {
    ServerModule{"uvicorn", true},
    ServerModule{"hypercorn", true},
    ServerModule{"granian", true},
    ServerModule{"gunicorn", true},
    ServerModule{"daphne", true},
    ServerModule{"waitress", true},
    ServerModule{"cheroot", true},
    ServerModule{"cherrypy", true},
    ServerModule{"sanic", true, "Sanic Blueprint"},
    ServerModule{"robyn", true, "Robyn SubRouter"},
    ServerModule{"bjoern", true},
    ServerModule{"fastapi", false, "FastAPI APIRouter"},
    ServerModule{"starlette", false, "Starlette Route Router Mount"},
    ServerModule{"litestar", false, "Litestar Router Controller"},
    ServerModule{"quart", false, "Quart Blueprint"},
    ServerModule{"flask", false, "Flask Blueprint"},
    ServerModule{"werkzeug", true, "run_simple make_server serving BaseWSGIServer"},
    ServerModule{"bottle", true, "run route Bottle"},
    ServerModule{"gradio", true},
    ServerModule{"streamlit", true},
    ServerModule{"nicegui", true},
    ServerModule{"litserve", true, "LitServer"},
    ServerModule{"dash", true, "Dash"},
    ServerModule{"chainlit", true},
    ServerModule{"aiohttp.web", true},
    ServerModule{"tornado.web", true},
    ServerModule{"tornado.httpserver", true},
    ServerModule{"gevent.pywsgi", true},
    ServerModule{"eventlet.wsgi", true},
    ServerModule{"wsgiref.simple_server", true},
    ServerModule{"mcp.server", true},
    ServerModule{"twisted.web.server", true},
    ServerModule{"jupyter_server", true},
    ServerModule{"fastmcp", true, "FastMCP"},
};

constexpr std::array kServerNames = [] {
  std::array<std::string_view, kServerModules.size()> names{};
  std::transform(kServerModules.begin(), kServerModules.end(), names.begin(),
                 [](const ServerModule& module) { return module.name; });
  return names;
}();

// Parts of servers that programs use which do not serve: the formatters of a log, the parser of settings.
constexpr std::array<std::string_view, 12> kPartsOfServers = {
    "uvicorn.logging",     "uvicorn.config",       "uvicorn.importer",  "uvicorn.middleware",
    "uvicorn.__version__", "gunicorn.glogging",    "gunicorn.util",     "gunicorn.errors",
    "gunicorn.config",     "gunicorn.__version__", "hypercorn.logging", "hypercorn.typing"};

// What a program calls that accepts connections by itself.
constexpr std::array<std::string_view, 8> kListens = {"listen",        "start_server",       "start_unix_server",
                                                      "create_server", "create_unix_server", "socketserver",
                                                      "TCPServer",     "ThreadingTCPServer"};

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

std::string_view trim_front(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) {
    text.remove_prefix(1);
  }
  return text;
}

// Removes the characters of a dotted name from the front of `text` and returns them.
std::string_view take_name(std::string_view& text) {
  const auto* const end = std::find_if(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '.';
  });
  const auto size = static_cast<std::size_t>(end - text.begin());
  const std::string_view name = text.substr(0, size);
  text.remove_prefix(size);
  return name;
}

// The names after "import", in parentheses or not, without what they are renamed to.
std::vector<std::string_view> imported_names(std::string_view names) {
  std::vector<std::string_view> found;
  for (bool more = true; more;) {
    while (!names.empty() && (is_blank(names.front()) || names.front() == '(' || names.front() == '\n')) {
      names.remove_prefix(1);
    }
    found.push_back(take_name(names));
    const std::size_t comma = names.find(',');
    more = comma != std::string_view::npos;
    names.remove_prefix(more ? comma + 1 : 0);
  }
  return found;
}

bool is_name_part(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// Where the name is in the code, as a whole word, from `from` on; npos if it is not there.
std::size_t find_word(std::string_view code, std::string_view word, std::size_t from = 0) {
  for (std::size_t at = code.find(word, from); at != std::string_view::npos; at = code.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || !is_name_part(code[at - 1])) && (end == code.size() || !is_name_part(code[end]))) {
      return at;
    }
  }
  return std::string_view::npos;
}

bool has_word(std::string_view code, std::string_view word) {
  return find_word(code, word) != std::string_view::npos;
}

bool has_any_word(std::string_view code, std::string_view words) {
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(' '), words.size());
    if (has_word(code, words.substr(0, end))) {
      return true;
    }
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

// Whether the module is, or is in, a part of a server that does not serve.
bool is_part(std::string_view module) {
  return std::any_of(kPartsOfServers.begin(), kPartsOfServers.end(), [module](std::string_view part) {
    return module == part || (module.starts_with(part) && module[part.size()] == '.');
  });
}

// Whether the code uses the imported module for nothing but such parts: "uvicorn.logging.DefaultFormatter()".
bool uses_only_parts(std::string_view code, std::string_view module) {
  bool found = false;
  for (std::size_t at = find_word(code, module); at != std::string_view::npos; at = find_word(code, module, at + 1)) {
    std::string_view rest = code.substr(at);
    const std::string_view used = take_name(rest);
    if (used.size() > module.size()) {
      if (!is_part(used)) {
        return false;
      }
      found = true;
    }
  }
  return found;
}

// Notes what the import of `module` in `code` shows; `as_whole` if it makes the whole server's name known to the code.
void note_import(std::string_view code, std::string_view module, bool as_whole, Imports& imports) {
  const std::string_view name = server_module(module);
  if (name.empty() || (as_whole ? uses_only_parts(code, name) : is_part(module))) {
    return;
  }
  const auto* const row = std::find_if(kServerModules.begin(), kServerModules.end(),
                                       [name](const ServerModule& server) { return server.name == name; });
  if (!row->words.empty() && !has_any_word(code, row->words)) {
    return;
  }
  std::string& noted = row->serves ? imports.server : imports.framework;
  if (noted.empty()) {
    noted = name;
  }
}

// Notes what one statement imports: the module, and what is imported from it.
void read_statement(std::string_view code, std::string_view statement, Imports& imports) {
  constexpr std::string_view kImport = "import ";
  constexpr std::string_view kFrom = "from ";
  std::vector<std::string> modules;
  statement = trim_front(statement);
  const bool is_from = statement.starts_with(kFrom);
  if (is_from) {
    statement = trim_front(statement.substr(kFrom.size()));
    const std::string package(take_name(statement));
    statement = trim_front(statement);
    if (statement.starts_with("import")) {
      for (const std::string_view name : imported_names(statement.substr(std::string_view("import").size()))) {
        modules.push_back(package + (package.ends_with(".") ? "" : ".") + std::string(name));
      }
    }
    if (std::none_of(modules.begin(), modules.end(), is_part)) {
      modules.push_back(package);
    }
  }
  for (bool more = !is_from && statement.starts_with(kImport); more;) {
    statement = trim_front(statement.substr(statement.find_first_of(" ,") + 1));
    modules.emplace_back(take_name(statement));
    const std::size_t comma = statement.find(',');
    more = comma != std::string_view::npos;
    statement.remove_prefix(more ? comma : 0);
  }
  for (std::string& module : modules) {
    note_import(code, module, !is_from, imports);
    if (imports.modules.size() < kMaxImports) {
      imports.modules.push_back(std::move(module));
    }
  }
}

std::size_t indentation(std::string_view line) {
  return std::min(line.find_first_not_of(" \t"), line.size());
}

// The code without the block of `if __name__ == "__main__":`, which an imported module does not run.
std::string without_main_block(std::string_view code) {
  std::string kept;
  std::optional<std::size_t> block;  // its indentation, within it
  while (!code.empty()) {
    const std::string_view line = code.substr(0, std::min(code.find('\n'), code.size() - 1) + 1);
    const std::string_view text = trim_front(line);
    const bool is_blank_line = text.empty() || text == "\n";
    if (block && !is_blank_line && indentation(line) <= *block) {
      block.reset();
    }
    if (!block && text.starts_with("if __name__")) {
      block = indentation(line);
    }
    kept += block ? "\n" : line;
    code.remove_prefix(line.size());
  }
  return kept;
}

}  // namespace

std::span<const std::string_view> server_modules() {
  return kServerNames;
}

std::string_view server_module(std::string_view module) {
  const auto* const found = std::find_if(kServerNames.begin(), kServerNames.end(), [&](std::string_view server) {
    return module == server || (module.starts_with(server) && module.substr(server.size()).starts_with("."));
  });
  return found == kServerNames.end() ? "" : *found;
}

Imports read_imports(std::string_view source, bool is_main) {
  Imports imports;
  std::string stripped = code_of(source);
  if (!is_main) {
    stripped = without_main_block(stripped);
  }
  const std::string_view all = stripped;
  for (std::string_view code = all; !code.empty();) {
    std::size_t end = std::min(code.find_first_of("\n;"), code.size());
    if (trim_front(code).starts_with("from ") && code.substr(0, end).find('(') != std::string_view::npos) {
      end = std::min(code.find(')'), code.size());  // over several lines
    }
    read_statement(all, code.substr(0, end), imports);
    code.remove_prefix(std::min(end + 1, code.size()));
  }
  imports.listens =
      std::any_of(kListens.begin(), kListens.end(), [all](std::string_view word) { return has_word(all, word); });
  return imports;
}

std::string imported_server(std::string_view source) {
  const Imports imports = read_imports(source);
  return imports.server.empty() ? imports.framework : imports.server;
}

}  // namespace monitor
