// SPDX-License-Identifier: Apache-2.0
#include "host/imports.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>

#include "host/python_code.h"

namespace monitor {
namespace {

constexpr std::size_t kMaxImports = 256;  // of one file

constexpr std::array<std::string_view, 34> kServerModules = {"uvicorn",
                                                             "hypercorn",
                                                             "granian",
                                                             "gunicorn",
                                                             "daphne",
                                                             "waitress",
                                                             "cheroot",
                                                             "cherrypy",
                                                             "sanic",
                                                             "robyn",
                                                             "bjoern",
                                                             "fastapi",
                                                             "starlette",
                                                             "litestar",
                                                             "quart",
                                                             "flask",
                                                             "werkzeug",
                                                             "bottle",
                                                             "gradio",
                                                             "streamlit",
                                                             "nicegui",
                                                             "litserve",
                                                             "dash",
                                                             "chainlit",
                                                             "aiohttp.web",
                                                             "tornado.web",
                                                             "tornado.httpserver",
                                                             "gevent.pywsgi",
                                                             "eventlet.wsgi",
                                                             "wsgiref.simple_server",
                                                             "mcp.server",
                                                             "twisted.web.server",
                                                             "jupyter_server",
                                                             "fastmcp"};

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

// "import a, b as c"
std::string_view server_of_import(std::string_view names) {
  for (;;) {
    names = trim_front(names);
    const std::string_view server = server_module(take_name(names));
    if (!server.empty()) {
      return server;
    }
    const std::size_t comma = names.find(',');
    if (comma == std::string_view::npos) {
      return "";
    }
    names.remove_prefix(comma + 1);
  }
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

// "from a import b, c": a, or a.b or a.c ("from aiohttp import web")
std::string_view server_of_from(std::string_view rest) {
  rest = trim_front(rest);
  const std::string_view module = take_name(rest);
  std::string_view server = server_module(module);
  rest = trim_front(rest);
  if (!server.empty() || !rest.starts_with("import")) {
    return server;
  }
  for (const std::string_view name : imported_names(rest.substr(std::string_view("import").size()))) {
    server = server.empty() ? server_module(std::string(module) + "." + std::string(name)) : server;
  }
  return server;
}

// The words of one statement decide.
std::string_view server_of_statement(std::string_view statement) {
  constexpr std::string_view kImport = "import ";
  constexpr std::string_view kFrom = "from ";
  statement = trim_front(statement);
  if (statement.starts_with(kImport)) {
    return server_of_import(statement.substr(kImport.size()));
  }
  return statement.starts_with(kFrom) ? server_of_from(statement.substr(kFrom.size())) : std::string_view();
}

// Adds the modules that the statement imports, as they are written: "a.b", ".c" within a package.
void add_imports(std::string_view statement, std::vector<std::string>& modules) {
  constexpr std::string_view kImport = "import ";
  constexpr std::string_view kFrom = "from ";
  statement = trim_front(statement);
  if (statement.starts_with(kFrom)) {
    statement = trim_front(statement.substr(kFrom.size()));
    const std::string package(take_name(statement));
    statement = trim_front(statement);
    if (statement.starts_with("import")) {
      for (const std::string_view name : imported_names(statement.substr(std::string_view("import").size()))) {
        modules.push_back(package + (package.ends_with(".") ? "" : ".") + std::string(name));
      }
      modules.push_back(package);
    }
    return;
  }
  for (bool more = statement.starts_with(kImport); more;) {
    statement = trim_front(statement.substr(statement.find_first_of(" ,") + 1));
    modules.emplace_back(take_name(statement));
    const std::size_t comma = statement.find(',');
    more = comma != std::string_view::npos;
    statement.remove_prefix(more ? comma : 0);
  }
}

}  // namespace

std::span<const std::string_view> server_modules() {
  return kServerModules;
}

std::string_view server_module(std::string_view module) {
  const auto* const found = std::find_if(kServerModules.begin(), kServerModules.end(), [&](std::string_view server) {
    return module == server || (module.starts_with(server) && module.substr(server.size()).starts_with("."));
  });
  return found == kServerModules.end() ? "" : *found;
}

std::string imported_server(std::string_view source) {
  return read_imports(source).server;
}

Imports read_imports(std::string_view source) {
  Imports imports;
  const std::string stripped = code_of(source);
  std::string_view code = stripped;
  while (imports.server.empty() && !code.empty()) {
    std::size_t end = std::min(code.find_first_of("\n;"), code.size());
    if (trim_front(code).starts_with("from ") && code.substr(0, end).find('(') != std::string_view::npos) {
      end = std::min(code.find(')'), code.size());  // over several lines
    }
    const std::string_view statement = code.substr(0, end);
    imports.server = server_of_statement(statement);
    if (imports.modules.size() < kMaxImports) {
      add_imports(statement, imports.modules);
    }
    code.remove_prefix(std::min(end + 1, code.size()));
  }
  return imports;
}

}  // namespace monitor
