// SPDX-License-Identifier: Apache-2.0
// Which processes are servers, and by which evidence.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

#include "host/command_line.h"
#include "host/find_server.h"
#include "host/imports.h"
#include "unit/fake_proc.h"
#include "unit/processes.h"

namespace monitor::testing {

TEST_CASE("host.server_program: recognises servers, not commands that only mention one") {
  struct Row {
    Strings arguments;
    const char* program;
  };
  const std::vector<Row> rows = {
      {{"uvicorn", "app:app"}, "uvicorn"},
      {{"/opt/venv/bin/hypercorn", "app"}, "hypercorn"},
      {{"/usr/bin/python3", "/usr/bin/uvicorn", "app:app"}, "uvicorn"},
      {{"/opt/v/bin/python3.11", "-u", "/opt/v/bin/gunicorn", "-w", "4"}, "gunicorn"},
      {{"pypy3", "-m", "hypercorn", "app"}, "hypercorn"},
      {{"python", "-m", "uvicorn"}, "uvicorn"},
      {{"python3", "-muvicorn", "app:app"}, "uvicorn"},
      {{"python3", "-Im", "uvicorn", "app:app"}, "uvicorn"},
      {{"python3", "-m", "gunicorn.app.wsgiapp"}, "gunicorn"},
      {{"python3", "-W", "ignore", "-X", "dev", "-Wignore", "-OO", "-m", "uvicorn"}, "uvicorn"},
      {{"python3", "--check-hash-based-pycs", "never", "--", "/usr/bin/uvicorn"}, "uvicorn"},
      {{"python3", "/usr/lib/python3/dist-packages/uvicorn/__main__.py", "a:a"}, "uvicorn"},
      {{"gunicorn: master [app]"}, "gunicorn"},
      {{"gunicorn: worker [/srv/app/wsgi:app]"}, "gunicorn"},
      {{}, ""},
      {{""}, ""},
      {{"/"}, ""},
      {{"sudo", "uvicorn", "app:app"}, ""},
      {{"sh", "-c", "uvicorn app:app"}, ""},
      {{"vim", "/usr/bin/uvicorn"}, ""},
      {{"python3", "-m", "debugpy", "--listen", "5678", "-m", "uvicorn", "a:a"}, "uvicorn"},
      {{"python3", "/ext/debugpy", "--connect", "127.0.0.1:1", "/venv/bin/uvicorn", "a:a"}, "uvicorn"},
      {{"python3", "-m", "cProfile", "-o", "x", "-m", "hypercorn", "a:a"}, "hypercorn"},
      {{"python3", "/venv/bin/coverage", "run", "-m", "uvicorn"}, "uvicorn"},
      {{"python3", "/venv/bin/fastapi", "run", "main.py"}, "uvicorn"},
      {{"python3", "-m", "fastapi", "dev"}, "uvicorn"},
      {{"/venv/bin/granian", "--interface", "asgi", "a:a"}, "granian"},
      {{"python3", "/venv/bin/daphne", "a:a"}, "daphne"},
      {{"python3", "manage.py", "runserver", "8000"}, "django"},
      {{"python3", "-m", "flask", "--debug", "run"}, "werkzeug"},
      {{"python3", "-m", "flask", "--app", "shop", "run"}, "werkzeug"},
      {{"/v/bin/python", "/v/bin/uwsgi", "--http", ":8000"}, "uwsgi"},
      {{"python3", "/v/bin/memray", "run", "--native", "-m", "uvicorn", "a:a"}, "uvicorn"},
      {{"python3", "/v/bin/coverage-3.11", "run", "--source", "x", "-m", "gunicorn", "a:a"}, "gunicorn"},
      {{"python3", "/x/pydevd.py", "--module", "--client", "127.0.0.1", "--port", "5", "--file", "uvicorn", "a:a"},
       "uvicorn"},
      {{"python3", "/v/bin/viztracer", "--log_async", "--", "uvicorn", "a:a"}, "uvicorn"},
      {{"python3", "/v/bin/twist", "web", "--wsgi", "a.a"}, "twisted"},
      {{"python3", "/v/bin/twist", "mail"}, ""},
      {{"python3", "profile.py", "-m", "uvicorn"}, ""},
      {{"ray::ProxyActor"}, "ray serve"},
      {{"granian asgi 127.0.0.1:8000 main:app worker-1"}, "granian"},
      {{"granian asgi"}, ""},
      {{"granian is a server"}, ""},
      {{"ray::ServeReplica:app:Model"}, ""},
      {{"ray::IDLE"}, ""},
      {{"python3", "/venv/bin/fastapi", "login"}, ""},
      {{"python3", "/venv/bin/fastapi"}, ""},
      {{"python3", "-m", "flask", "shell"}, ""},
      {{"python3", "manage.py", "migrate"}, ""},
      {{"python3", "-m", "debugpy", "--listen", "5678", "main.py", "-m", "uvicorn"}, ""},
      {{"python3", "-m", "debugpy", "--listen", "5678"}, ""},
      {{"python3", "-m", "http.server"}, ""},
      {{"uv", "run", "uvicorn", "app:app"}, ""},
      {{"uvicorn app:app"}, ""},
      {{"uvicornx"}, ""},
      {{"python3"}, ""},
      {{"python3", "-"}, ""},
      {{"python3", "-m"}, ""},
      {{"python3", "-W"}, ""},
      {{"python3", "-c", "uvicorn"}, ""},
      {{"python3", "-cuvicorn", "uvicorn"}, ""},
      {{"python3", "-W", "uvicorn", "server.py"}, ""},
      {{"python3", "-X", "uvicorn"}, ""},
      {{"python3", "-m", "pytest", "uvicorn"}, ""},
      {{"python3", "-m", "uvicorn_worker"}, ""},
      {{"python3", "server.py", "uvicorn"}, ""},
      {{"python3", "server.py", "-m", "uvicorn"}, ""},
      {{"python3", "uvicorn.py"}, ""},
      {{"python3", "--", "-m", "uvicorn"}, ""},
      {{"python3", "__main__.py"}, ""},
      {{"nginx: master process uvicorn: x"}, ""},
  };
  for (const Row& row : rows) {
    const std::string command = row.arguments.empty() ? "(none)" : row.arguments.front() + " " + row.arguments.back();
    CAPTURE(command);
    CHECK(server_program(row.arguments) == row.program);
  }
}

TEST_CASE("host.read_command_line: program, application and what is shown") {
  struct Row {
    Strings arguments;
    const char* program;
    const char* application;
    const char* title;
  };
  const std::vector<Row> rows = {
      {{"/v/bin/python3", "/v/bin/uvicorn", "--host", "localhost:80", "pkg.app:create()"},
       "uvicorn",
       "pkg.app:create()",
       "uvicorn pkg.app:create()"},
      {{"python3", "-u", "-m", "uvicorn", "a:b", "--port", "1"}, "uvicorn", "a:b", "uvicorn a:b"},
      {{"gunicorn", "-c", "python:conf", "-b", "localhost:80", "-b", "unix:/run/x", "a:b"},
       "gunicorn",
       "a:b",
       "gunicorn a:b"},
      {{"gunicorn: master [shop]"}, "gunicorn", "shop", "gunicorn shop"},
      {{"gunicorn: master"}, "gunicorn", "", "gunicorn: master"},
      {{"granian wsgi unix:/run/x main:app"}, "granian", "main:app", "granian main:app"},
      {{"/v/bin/python", "/v/bin/fastapi", "run", "src/main.py"}, "fastapi", "src/main.py", "fastapi src/main.py"},
      {{"python3", "-m", "debugpy", "-m", "uvicorn", "a:b"}, "debugpy", "a:b", "debugpy a:b"},
      {{"/v/bin/python3", "/srv/main.py", "8000"}, "main.py", "", "main.py 8000"},
      {{"python3", "-m", "shop.server", "x:y"}, "shop.server", "", "shop.server x:y"},
      {{"python3", "-c", "import secrets", "1"}, "python -c", "", "python -c 1"},
      {{"python3"}, "python3", "", "python3"},
      {{"nginx: master process /usr/sbin/nginx"}, "nginx", "", "nginx"},
      {{}, "", "", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.title);
    const CommandLine line = read_command_line(row.arguments);
    CHECK(line.program == row.program);
    CHECK(line.application == row.application);
    CHECK(line.title() == row.title);
  }
}

TEST_CASE("host.imported_server: statements that import one, nothing else") {
  for (const char* source : {"import uvicorn", "import os, uvicorn as u", "x = 1; import uvicorn\n",
                             "import sys\n  from uvicorn.main import run", "\timport uvicorn.main  # y",
                             "x = '''\nimport flask\n'''\nimport uvicorn", "x = \"\"\"a\"b\\\"\"\"\"; import uvicorn",
                             "x = 'a\nimport uvicorn", "x = r'\\'' # '''\nimport uvicorn", "'' '#'\nimport uvicorn"}) {
    CAPTURE(source);
    CHECK(imported_server(source) == "uvicorn");
  }
  CHECK(imported_server("from aiohttp import web\n") == "aiohttp.web");
  CHECK(imported_server("from aiohttp import hdrs, web as w\n") == "aiohttp.web");
  CHECK(imported_server("from aiohttp import (\n    hdrs,\n    web,\n)\n") == "aiohttp.web");
  CHECK(imported_server("from flask import Flask") == "flask");
  // A part that does not serve, or a framework without an application.
  for (const char* source : {"from uvicorn.logging import DefaultFormatter", "from uvicorn import config",
                             "import uvicorn\nuvicorn.logging.TRACE_LOG_LEVEL", "import uvicorn.config as c",
                             "import gunicorn.glogging, hypercorn.logging", "import fastapi\nimport socket",
                             "from fastapi import HTTPException, Depends", "from starlette.requests import Request",
                             "from flask import json", "from werkzeug.security import generate_password_hash",
                             "from fastapi.encoders import jsonable_encoder  # FastAPI()"}) {
    CAPTURE(source);
    CHECK(imported_server(source).empty());
  }
  for (const char* source : {"import uvicorn\nuvicorn.run(1, log_config=uvicorn.config.LOGGING_CONFIG)",
                             "from uvicorn import config, run", "import uvicorn.config\nuvicorn.Server(c).run()"}) {
    CAPTURE(source);
    CHECK(imported_server(source) == "uvicorn");
  }
  CHECK(imported_server("import fastapi as f\napp = f.FastAPI()\nimport uvicorn") == "uvicorn");
  CHECK(imported_server("import fastapi as f\napp = f.FastAPI()\n") == "fastapi");
  CHECK(imported_server("from werkzeug.serving import run_simple") == "werkzeug");
  for (const char* source : {"",
                             "uvicorn",
                             "# import uvicorn",
                             "import uvicornx",
                             "import http.server",
                             "from aiohttp import ClientSession",
                             "import aiohttp",
                             "print('import uvicorn')",
                             "from . import uvicorn",
                             "import os  # , uvicorn",
                             "import redis\n",
                             "'''\nimport uvicorn\n'''",
                             "def f():\n  \"\"\"Use it:\n\n  from uvicorn import run\n  \"\"\"\n",
                             "'\\\nimport uvicorn",
                             "\"\"\"\nimport uvicorn",
                             "'",
                             "\\",
                             "from",
                             "import",
                             "import ,",
                             "from  import x"}) {
    CAPTURE(source);
    CHECK(imported_server(source).empty());
  }
}

namespace {

Error failed_search(const FakeProc& fake) {
  auto result = search(fake);
  REQUIRE_FALSE(result);
  return result.error();
}

}  // namespace

TEST_CASE("host.find_servers: each evidence, the strongest first") {
  const Entry app = directory("cwd", {file("main.py", "import sys\nimport uvicorn\n")});
  const Entry package = directory("cwd", {directory("shop", {file("__main__.py", "from hypercorn.run import run\n")})});
  const FakeProc fake({python(10, {"python3", "server.py"}),
                       python(20, {"python3", "app.py"}, {maps("/v/lib/httptools/parser/parser.cpython-311.so")}),
                       python(30, {"python3", "main.py"}, {app}), python(40, {"python3", "-m", "shop"}, {package}),
                       python(50, {"python3", "-c", "import uvicorn; uvicorn.run(1)"}),
                       python(60, {"python3", "-m", "uvicorn", "a:b"}), python(70, {"whatever"}),
                       python(80, {"python3", "/x/debugpy/adapter", "--for-server", "1"}),
                       python(90, {"ray::ServeReplica:x"}, {maps("/v/uvloop/loop.so")}),
                       python(95, {"python3", "-m", "uvicorn", "a:b"}, {}, false)});
  CHECK(evidence(fake, {70}) == Strings{"70 python attached", "60 uvicorn command", "30 uvicorn script",
                                        "40 hypercorn script", "50 uvicorn script", "20 httptools modules",
                                        "10 python listens", "90 python listens"});
  CHECK(find_servers(fake.proc()).servers.size() == 5);  // no guesses
}

TEST_CASE("host.find_servers: programs that are known to speak another protocol are no guess") {
  for (const Strings& arguments : {Strings{"python3", "/x/debugpy/adapter", "--for-server", "1"},
                                   {"python3", "/x/debugpy/adapter/__main__.py"},
                                   {"python3", "-m", "debugpy.adapter"},
                                   {"python3", "-m", "ipykernel_launcher", "-f", "k.json"},
                                   {"python3", "-m", "ipykernel.kernelapp"},
                                   {"/usr/bin/python3", "/usr/bin/fail2ban-server", "-xf", "start"},
                                   {"/usr/bin/python3", "/usr/bin/salt-master"},
                                   {"python3", "-m", "smtpd", "-n"},
                                   {"python3", "/v/bin/pylsp", "--tcp"},
                                   {"python3", "/v/bin/rpyc_classic.py"},
                                   {"python3", "-m", "Pyro5.nameserver"}}) {
    CAPTURE(arguments);
    const FakeProc fake(std::vector<Process>{python(10, arguments)});
    CHECK(evidence(fake, {}) == Strings{});
    const auto shown =
        resolve_server(fake.proc(), ServerRequest{.pid = {}, .pid_file = {}, .default_pid_file = "/nonexistent/p"});
    CHECK_FALSE(shown);
    CHECK(resolve_server(fake.proc(), ServerRequest{.pid = 10, .pid_file = {}}));  // the operator knows better
  }
  // A directory's name proves nothing.
  const FakeProc guess(std::vector<Process>{python(10, {"python3", "/srv/smtpd/app.py"})});
  const auto alone =
      resolve_server(guess.proc(), ServerRequest{.pid = {}, .pid_file = {}, .default_pid_file = "/nonexistent/p"});
  REQUIRE(alone);
  CHECK(alone->evidence == Evidence::kListens);
}

namespace {

// An environment at `path`, such as "v", with two console scripts and what is installed there.
Entry environment(const std::string& path, std::vector<Entry> installed) {
  return directory(
      "root",
      {directory(path,
                 {directory("bin", {file("tracker",
                                         "#!/v/bin/python\nimport sys\nfrom trackerlib.cli import "
                                         "main\n"),
                                    file("proxy", "#!/v/bin/python\nfrom other.cli import main\n")}),
                  directory("lib", {directory("python3.11", {directory("site-packages", std::move(installed))})})})});
}

Entry distribution(const std::string& name, const std::string& requires_dist) {
  return directory(name + ".dist-info", {file("METADATA", "Name: x\n" + requires_dist + "\n\nText\n"),
                                         file("entry_points.txt", "[console_scripts]\nproxy = other.cli:main\n")});
}

constexpr const char* kUvicorn = "Requires-Dist: uvicorn";

Entry uvicorn_installed() {
  return directory("uvicorn-0.54.0.dist-info", {});
}

}  // namespace

TEST_CASE("host.find_servers: the console script of a package that requires a server") {
  struct Row {
    const char* requires_dist;
    bool installed;
    const char* kind;
  };
  const std::vector<Row> rows = {
      {"Requires-Dist: Flask (<3)\nRequires-Dist: redis", false, "10 flask script"},
      {"Requires-Dist: uvicorn[standard]>=0.2", false, "10 uvicorn script"},
      {"Requires-Dist: redis\n\nRequires-Dist: uvicorn", false, "10 python listens"},
      // An extra of which nobody knows whether it was asked for.
      {"Requires-Dist: uvicorn>=0.2; extra == 'proxy'", true, "10 uvicorn script"},
      {"Requires-Dist: uvicorn>=0.2; extra == 'proxy'", false, "10 python listens"},
  };
  for (const Row& row : rows) {
    for (const auto& [script, name] : {std::pair("/v/bin/tracker", "TrackerLib-2.0"), {"/v/bin/proxy", "a_proxy-1"}}) {
      CAPTURE(script);
      CAPTURE(row.requires_dist);
      std::vector<Entry> installed = {distribution(name, row.requires_dist)};
      if (row.installed) {
        installed.push_back(uvicorn_installed());
      }
      const FakeProc fake({python(10, {"/v/bin/python", script}, {environment("v", std::move(installed))})});
      CHECK(evidence(fake) == Strings{row.kind});
    }
  }
}

TEST_CASE("host.find_servers: the console script of a module that imports a server") {
  const FakeProc fake(
      {python(10, {"/v/bin/python", "/v/bin/tracker"},
              {environment("v", {directory("trackerlib", {file("cli.py", "import sys\nimport uvicorn\n")})})})});
  CHECK(evidence(fake) == Strings{"10 uvicorn script"});
  const FakeProc package({python(
      10, {"/v/bin/python", "/v/bin/proxy"},
      {environment(
          "v", {directory("other", {directory("cli", {file("__init__.py", "from fastapi import FastAPI\n")})})})})});
  CHECK(evidence(package) == Strings{"10 fastapi script"});
}

TEST_CASE("host.find_servers: an installed module that python -m runs") {
  const Entry installed =
      environment("v", {directory("served", {file("__main__.py", "from .cli import main\n"),
                                             file("api.py", "from fastapi import FastAPI\n")}),
                        distribution("served-1.0", "Requires-Dist: starlette"),
                        directory("pager", {file("__main__.py", "import socket\n")}), distribution("pager-1.0", "")});
  const Entry mapped = maps("/v/lib/python3.11/site-packages/yaml/_yaml.cpython-311.so");
  const FakeProc fake({python(10, {"/v/bin/python", "-m", "served"}, {installed}),
                       python(20, {"/v/bin/python", "-m", "served.api"}, {installed}),
                       python(30, {"python", "-m", "served.api"}, {installed, mapped}),
                       python(40, {"python", "-m", "served.api"}, {installed}),
                       python(50, {"/v/bin/python", "-m", "pager"}, {installed})});
  CHECK(evidence(fake) == Strings{"10 starlette script", "20 fastapi script", "30 fastapi script", "40 python listens",
                                  "50 python listens"});
}

TEST_CASE("host.find_servers: a package that is named otherwise than its distribution, and Ray's commands") {
  const Entry other = directory("other", {file("__main__.py", "from other.cli import main\n")});
  const FakeProc fake(
      {python(10, {"/v/bin/python", "-m", "other"}, {environment("v", {other, distribution("a_proxy-1", kUvicorn)})})});
  CHECK(evidence(fake) == Strings{"10 uvicorn script"});
  const Entry ray = environment("v", {distribution("ray-2.60.0", kUvicorn)});
  const FakeProc started({python(10, {"/v/bin/python", "-m", "ray.scripts.scripts", "start"}, {ray})});
  CHECK(evidence(started) == Strings{"10 python listens"});
}

TEST_CASE("host.find_servers: a console script that is called through a symbolic link") {
  Entry root = environment("v", {distribution("TrackerLib-2.0", "Requires-Dist: uvicorn")});
  root.entries.push_back(directory("bin", {file("tracker", "#!/v/bin/python\nfrom trackerlib.cli import main\n")}));
  const Entry mapped = maps("/v/lib/python3.11/site-packages/yaml/_yaml.cpython-311.so");
  const FakeProc fake({python(10, {"/v/bin/python", "/bin/tracker"}, {root, mapped}),
                       python(20, {"/v/bin/python", "/bin/tracker"}, {root})});
  CHECK(evidence(fake) == Strings{"10 uvicorn script", "20 python listens"});
}

TEST_CASE("host.find_servers: trees of Python processes") {
  Process worker =
      python(11, {"python3", "-c", kSpawned, "--multiprocessing-fork"}, {maps("/v/uvloop/loop.so (deleted)")});
  worker.parent = 10;
  Process fork = python(21, {"python3", "pool.py"});
  fork.parent = 20;
  Process child = python(31, {"python3", "-m", "uvicorn", "a:b"});
  child.parent = 30;
  Process helper = python(32, {"python3", "helper.py"});
  helper.parent = 31;
  Process manager = python(40, {"python3", "manager.py"}, {}, false);
  manager.sockets = {40, 41};
  manager.unix_sockets = unix_line("00010000", "0001", 40, "/tmp/pymp-abc/listener-x") +
                         unix_line("00010000", "0001", 41, "@listener-4-0");
  const FakeProc fake({python(10, {"python3", "supervisor.py"}, {}, false), worker,
                       python(20, {"python3", "pool.py"}, {}, false), fork, python(30, {"python3", "launcher.py"}),
                       child, helper, manager, python(50, {"python3", "reloader.py"}, {}, false)});
  CHECK(evidence(fake) == Strings{"31 uvicorn command", "10 uvloop modules", "20 python listens", "30 python listens"});
}

TEST_CASE("host.find_servers: a supervisor that listens does not hide what it started") {
  Process uvicorn = python(11, {"python3", "-m", "uvicorn", "a:b"});
  Process script = python(12, {"python3", "main.py"}, {directory("cwd", {file("main.py", "import uvicorn\n")})});
  Process mapped = python(13, {"python3", "other.py"}, {maps("/v/uvloop/loop.so")});
  Process helper = python(14, {"python3", "helper.py"});
  for (Process* child : {&uvicorn, &script, &mapped, &helper}) {
    child->parent = 10;
  }
  const FakeProc fake({python(10, {"python3", "/usr/bin/supervisord"}), uvicorn, script, mapped, helper});
  CHECK(evidence(fake) == Strings{"11 uvicorn command", "12 uvicorn script", "13 uvloop modules", "10 python listens"});
}

TEST_CASE("host.find_servers: a notebook does not hide a program that listens elsewhere") {
  const Entry notebook = directory("cwd", {file("notebook.py", "import jupyter_server\n")});
  const Entry main = directory("cwd", {file("main.py", "import uvicorn\n")});
  Process program = python(11, {"python3", "main.py"}, {main}, false);
  program.sockets = {40};
  program.tcp = tcp_line("0100007F:1F40", 40);
  Process worker = python(12, {"python3", "main.py"}, {main});
  program.parent = worker.parent = 10;
  const FakeProc fake({python(10, {"python3", "notebook.py"}, {notebook}), program, worker});
  CHECK(evidence(fake) == Strings{"10 jupyter_server script", "11 uvicorn script"});
}

TEST_CASE("host.find_servers: of Ray, only the proxy is a server") {
  const Entry driver = directory("cwd", {file("main.py", "from fastapi import FastAPI\nfrom ray import serve\n")});
  Process proxy = python(11, {"ray::ProxyActor"}, {maps("/v/ray/_raylet.so")});
  proxy.parent = 10;
  Process remote = python(20, {"python3", "/v/bin/serve"});
  remote.more.push_back(file("maps",
                             "7f01-7f02 r-xp 0 fe:01 1 /v/uvloop/loop.so\n7f02-7f03 r-xp 0 fe:01 1 "
                             "/v/ray/_raylet.so\n"));
  const FakeProc fake({python(10, {"python3", "main.py"}, {driver, maps("/v/uvloop/loop.so")}), proxy, remote});
  CHECK(evidence(fake) == Strings{"11 ray serve command", "10 python listens", "20 python listens"});
}

TEST_CASE("host.find_servers: a server that another one started has its sockets for itself") {
  const Entry notebook = directory("cwd", {file("notebook.py", "import jupyter_server\n")});
  Process uvicorn = python(11, {"python3", "-m", "uvicorn", "a:b"}, {}, false);
  uvicorn.parent = 10;
  uvicorn.sockets = {40};
  uvicorn.tcp = tcp_line("0100007F:1F40", 40);
  const FakeProc fake({python(10, {"python3", "notebook.py"}, {notebook}), uvicorn});
  const std::vector<Server> servers = find_servers(fake.proc()).servers;
  REQUIRE(servers.size() == 2);
  CHECK(servers[0].listen == Strings{"127.0.0.1:8000"});
  CHECK(servers[1].listen == Strings{"0.0.0.0:9999"});
  CHECK(servers[1].workers == 1);
}

TEST_CASE("host.resolve_server: stronger evidence is preferred, and the rest is named") {
  const Process guess = python(10, {"python3", "redis_client.py"});
  const Process script = python(30, {"python3", "main.py"}, {directory("cwd", {file("main.py", "import uvicorn\n")})});
  const FakeProc three({guess, script, python(100, {"python3", "/usr/bin/uvicorn", "app:app"})});
  const auto found = search(three);
  REQUIRE(found);
  CHECK(found->pid == 100);
  CHECK(found->evidence == Evidence::kCommand);
  REQUIRE(found->passed_over.size() == 2);
  CHECK(found->passed_over[0].pid == 30);
  CHECK(found->passed_over[0].title == "main.py");
  CHECK(is_guess(found->passed_over[1].evidence));

  const FakeProc only_guess({guess});
  const auto guessed = search(only_guess);
  REQUIRE(guessed);
  CHECK(is_guess(guessed->evidence));

  const Process mapped = python(40, {"python3", "other.py"}, {maps("/v/uvloop/loop.so")});
  const FakeProc equal({guess, script, mapped});
  const Error choose = failed_search(equal);
  CHECK(choose.what == "2 servers run on this machine");
  CHECK(contains(choose.hint, "\n  sudo monitor --pid 30    # 0.0.0.0:9999  main.py\n"));
  CHECK(contains(choose.hint, "\n  sudo monitor --pid 40    # 0.0.0.0:9999  other.py\n"));
  CHECK(contains(choose.hint, "\n  sudo monitor --pid 10    # 0.0.0.0:9999  redis_client.py  (a guess: "));

  const FakeProc guesses({guess, python(11, {"python3", "-m", "http.server"})});
  CHECK(contains(failed_search(guesses).what, "2 processes on this machine may be servers"));
}

TEST_CASE("host.find_servers: programs that are no regular files are not read") {
  const FakeProc fake({python(10, {"python3", "/fifo"}, {directory("root", {})}),
                       python(11, {"python3", "/dir"}, {directory("root", {directory("dir", {})})}),
                       python(12, {"python3", "/device"}, {directory("root", {link("device", "/dev/zero")})})});
  REQUIRE(::mkfifo((fake / "10/root/fifo").c_str(), 0644) == 0);
  CHECK(evidence(fake) == Strings{"10 python listens", "11 python listens", "12 python listens"});
}

}  // namespace monitor::testing
