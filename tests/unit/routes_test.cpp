// SPDX-License-Identifier: Apache-2.0
// Templates of paths: how they are read, which one a path gets, and what is wrong with a file.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "routes/read_routes.h"
#include "routes/table.h"

namespace monitor {
namespace {

RouteTable table_of(const std::string& text) {
  Result<std::vector<RouteTemplate>> templates = parse_routes(text);
  REQUIRE_MESSAGE(templates, templates.error().what);
  Result<RouteTable> table = compile_routes(*std::move(templates));
  REQUIRE_MESSAGE(table, table.error().what);
  return *std::move(table);
}

Error refused(const std::string& text) {
  Result<std::vector<RouteTemplate>> templates = parse_routes(text);
  if (!templates) {
    return templates.error();
  }
  const Result<RouteTable> table = compile_routes(*std::move(templates));
  REQUIRE_FALSE(table);
  return table.error();
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("routes: a parameter is one segment, and a literal wins over it") {
  const RouteTable table = table_of(
      "# comment\n\n/users/{id}\n/users/me   # the caller\n/users/{id}/posts/{slug}\n/users/me/posts/latest\r\n/\n"
      "/{page}/about\n");
  CHECK(match_route(table, "GET", "/users/ada") == "/users/{id}");
  CHECK(match_route(table, "GET", "/users/me") == "/users/me");
  CHECK(match_route(table, "GET", "/users/men") == "/users/{id}");
  CHECK(match_route(table, "GET", "/users/m") == "/users/{id}");
  CHECK(match_route(table, "GET", "/users/me/posts/hello") == "/users/{id}/posts/{slug}");
  CHECK(match_route(table, "GET", "/users/me/posts/latest") == "/users/me/posts/latest");
  CHECK(match_route(table, "GET", "/users/ada/posts/latest") == "/users/{id}/posts/{slug}");
  CHECK(match_route(table, "GET", "/users/about") == "/users/{id}");
  CHECK(match_route(table, "GET", "/other/about") == "/{page}/about");
  CHECK(match_route(table, "GET", "/") == "/");
  CHECK(match_route(table, "GET", "/users").empty());
  CHECK(match_route(table, "GET", "/users/").empty());
  CHECK(match_route(table, "GET", "/users/a/b").empty());
  CHECK(match_route(table, "GET", "").empty());
}

TEST_CASE("routes: kinds of parameters, and parameters that are part of a segment") {
  const RouteTable table = table_of(
      "/files/{path:path}\n/files/list\n/n/{n:int}\n/n/{name}\n/u/{u:uuid}/x\n/models/{name}:predict\n/models/{name}\n"
      "/@{user}\n/a/{proxy+}\n/img/{name}.{kind}\n/caf%C3%A9/{id}\n/p/{path:path}/edit\n");
  CHECK(match_route(table, "GET", "/files/a/b/c.txt") == "/files/{path:path}");
  CHECK(match_route(table, "GET", "/files/") == "/files/{path:path}");
  CHECK(match_route(table, "GET", "/files/list") == "/files/list");
  CHECK(match_route(table, "GET", "/files/lists") == "/files/{path:path}");
  CHECK(match_route(table, "GET", "/n/42") == "/n/{n:int}");
  CHECK(match_route(table, "GET", "/n/42a") == "/n/{name}");
  CHECK(match_route(table, "GET", "/u/123e4567-e89b-12d3-a456-426614174000/x") == "/u/{u:uuid}/x");
  CHECK(match_route(table, "GET", "/u/ada/x").empty());
  CHECK(match_route(table, "POST", "/models/gpt-4o:predict") == "/models/{name}:predict");
  CHECK(match_route(table, "POST", "/models/gpt-4o:train") == "/models/{name}");
  CHECK(match_route(table, "GET", "/@ada") == "/@{user}");
  CHECK(match_route(table, "GET", "/ada").empty());
  CHECK(match_route(table, "GET", "/a/b/c") == "/a/{proxy+}");
  CHECK(match_route(table, "GET", "/img/cat.small.png") == "/img/{name}.{kind}");
  CHECK(match_route(table, "GET", "/caf\xc3\xa9/1") == "/caf%C3%A9/{id}");
  CHECK(match_route(table, "GET", "/p/a/b/edit") == "/p/{path:path}/edit");
}

TEST_CASE("routes: a template for the method wins, and one for another method still names the path") {
  const RouteTable table = table_of("GET /users/me\nPOST /users/{id}\n/any/{id}\n");
  CHECK(match_route(table, "GET", "/users/me") == "/users/me");
  CHECK(match_route(table, "POST", "/users/me") == "/users/{id}");
  CHECK(match_route(table, "DELETE", "/users/me") == "/users/me");
  CHECK(match_route(table, "OPTIONS", "/users/ada") == "/users/{id}");
  CHECK(match_route(table, "MKCALENDAR", "/any/1") == "/any/{id}");
}

TEST_CASE("routes: a slash at the end makes another endpoint, as a redirect does") {
  const RouteTable table = table_of("/items/{id}\n/shops/{name}/\n/shops/{name}/{page}\n/x\n/x/\n");
  CHECK(match_route(table, "GET", "/items/a/") == "/items/{id}/");
  CHECK(match_route(table, "GET", "/shops/a/") == "/shops/{name}/");
  CHECK(match_route(table, "GET", "/shops/a") == "/shops/{name}");
  CHECK(match_route(table, "GET", "/x") == "/x");
  CHECK(match_route(table, "GET", "/x/") == "/x/");
}

TEST_CASE("routes: OpenAPI and Swagger documents") {
  const std::string paths =
      R"("paths": {"/users/{user_id}": {"get": {}, "parameters": []}, "/users/me": {"get": {}, "post": {}},
         "/files/{file_path}": {"get": {}}, "/plain": {}})";
  const RouteTable fastapi =
      table_of("\xef\xbb\xbf {\"openapi\": \"3.1.0\", \"servers\": [{\"url\": \"/api/v1/\"}], " + paths + "}");
  CHECK(match_route(fastapi, "GET", "/users/ada") == "/users/{user_id}");
  CHECK(match_route(fastapi, "GET", "/users/me") == "/users/me");
  CHECK(match_route(fastapi, "GET", "/api/v1/users/ada") == "/api/v1/users/{user_id}");
  CHECK(match_route(fastapi, "GET", "/files/a/b") == "/files/{file_path}");
  CHECK(match_route(fastapi, "PUT", "/plain") == "/plain");
  const RouteTable server = table_of(
      R"({"openapi": "3.0.0", "servers": [{"url": "https://example.org/{stage}/x", "variables": {"stage": {"default": "v2"}}}], )" +
      paths + "}");
  CHECK(match_route(server, "GET", "/v2/x/users/ada") == "/v2/x/users/{user_id}");
  const RouteTable swagger = table_of(R"({"swagger": "2.0", "basePath": "/base", )" + paths + "}");
  CHECK(match_route(swagger, "GET", "/base/users/ada") == "/base/users/{user_id}");
  CHECK(match_route(swagger, "GET", "/users/ada") == "/users/{user_id}");
}

TEST_CASE("routes: what is wrong with a file, and where") {
  CHECK(contains(refused("/a\n\nusers/{id}\n").what, "line 3: a path begins with \"/\""));
  CHECK(contains(refused("/a/{id\n").what, "line 1: a \"{\" without a \"}\""));
  CHECK(contains(refused("/a/id}\n").what, "line 1: a \"}\" without a \"{\""));
  CHECK(contains(refused("/a/{}\n").what, "line 1: a parameter has no name"));
  CHECK(contains(refused("/a/{b:regex}\n").what, "line 1: unknown kind of parameter: regex"));
  CHECK(contains(refused("GET /a /b\n").what, "line 1: more than a method and a path"));
  CHECK(contains(refused("GET\n").what, "line 1: a path begins with \"/\""));
  CHECK(contains(refused("# nothing\n").what, "there is no template"));
  CHECK(contains(refused("{\"a\": ]}").what, "line 1, column 7"));
  CHECK(contains(refused("{\"openapi\": \"3.0.0\"}").what, "no object \"paths\""));
  CHECK(contains(refused("{\"paths\": {\"users\": {}}}").what, "the path users: a path begins with \"/\""));
  CHECK(contains(refused("openapi: 3.0.0\npaths:\n").what, "YAML"));
  std::string many;
  for (int i = 0; i < 5000; ++i) {
    many += "/a/" + std::to_string(i) + "\n";
  }
  CHECK(contains(refused(many).what, "too many templates: 5000"));
  std::string long_ones;
  for (int i = 0; i < 500; ++i) {
    long_ones += "/" + std::to_string(i) + "/" + std::string(100, 'x') + "\n";
  }
  CHECK(contains(refused(long_ones).what, "their table has no room"));
  std::string methods;
  for (char c = 'A'; c < 'Q'; ++c) {
    methods += std::string(1, c) + " /a\n";
  }
  CHECK(contains(refused(methods).what, "more than 15 methods"));
  const Result<RouteTable> missing = read_routes("/nonexistent/routes");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().what == "--routes /nonexistent/routes: No such file or directory");
  const Result<RouteTable> directory = read_routes("/");
  REQUIRE_FALSE(directory);
  CHECK(directory.error().what == "--routes /: Is a directory");
}

TEST_CASE("routes: thousands of templates compile, and the same file has the same hash") {
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += "/api/v" + std::to_string(i % 10) + "/r" + std::to_string(i) + "/{id}/{other}/end\n";
  }
  const RouteTable table = table_of(text);
  CHECK(match_route(table, "GET", "/api/v7/r997/x/y/end") == "/api/v7/r997/{id}/{other}/end");
  CHECK(table.hash == table_of(text).hash);
  CHECK(table.hash != table_of(text + "/more\n").hash);
}

}  // namespace
}  // namespace monitor
