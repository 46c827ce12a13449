// SPDX-License-Identifier: Apache-2.0
// Servers that are recognised by the files of their program.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "host/listener_hints.h"
#include "unit/fake_proc.h"
#include "unit/processes.h"

namespace monitor::testing {

TEST_CASE("host.find_servers: a program that imports its server by modules of its own") {
  const auto works_in = [](std::vector<Entry> files) { return directory("cwd", std::move(files)); };
  const Entry serves = file("serving.py", "import sys, uvicorn\n");
  const Entry shop = directory("shop", {file("__init__.py", ""), file("__main__.py", "from .cli import main\n"),
                                        file("cli.py", "def main():\n    from . import api\n"), serves,
                                        file("api.py", "from shop import serving as s\n")});
  const FakeProc fake({
      python(10, {"python3", "main.py"}, {works_in({file("main.py", "import os, serving # x\n"), serves})}),
      python(20, {"python3", "-m", "shop.cli"}, {works_in({shop})}),
      python(30, {"python3", "main.py"}, {works_in({file("main.py", "from shop.api import app\n"), shop})}),
      python(40, {"python3", "-c", "from shop import serving"}, {works_in({shop})}),
      python(50, {"python3", "-m", "shop"}, {works_in({shop})}),
      // Not there, and importing itself.
      python(60, {"python3", "main.py"}, {works_in({file("main.py", "import serving\nfrom .. import x\n")})}),
      python(70, {"python3", "main.py"}, {works_in({file("main.py", "import main\nfrom . import main\nimport\n")})}),
  });
  CHECK(evidence(fake) == Strings{"10 uvicorn script", "20 uvicorn script", "30 uvicorn script", "40 uvicorn script",
                                  "50 uvicorn script", "60 python listens", "70 python listens"});
  // Each file imports the next one: five steps are too far.
  std::vector<Entry> chain = {file("m5.py", "import uvicorn\n")};
  for (const char* const name : {"m0", "m1", "m2", "m3", "m4"}) {
    chain.push_back(file(std::string(name) + ".py", std::string("import m") + static_cast<char>(name[1] + 1) + "\n"));
  }
  const FakeProc far(
      {python(10, {"python3", "m0.py"}, {works_in(chain)}), python(20, {"python3", "m1.py"}, {works_in(chain)})});
  CHECK(evidence(far) == Strings{"20 uvicorn script", "10 python listens"});
}

namespace {

// The bytes of a ZIP file with stored members, after a line that names the interpreter.
std::string zip(const std::vector<std::pair<std::string, std::string>>& members, bool stored = true) {
  const auto number = [](std::size_t value, int size) {
    std::string bytes;
    for (int i = 0; i < size; ++i) {
      bytes += static_cast<char>(value >> (8 * i) & 255);
    }
    return bytes;
  };
  const std::string method = number(stored ? 0 : 8, 2);
  std::string local;
  std::string central;
  for (const auto& [name, text] : members) {
    const std::string sizes = number(0, 4) + number(text.size(), 4) + number(text.size(), 4) + number(name.size(), 2);
    central += std::string("PK\1\2", 4) + number(20, 2) + number(20, 2) + number(0, 2) + method + number(0, 4) + sizes +
               number(0, 12) + number(local.size(), 4) + name;
    local += std::string("PK\3\4", 4) + number(20, 2) + number(0, 2) + method + number(0, 4) + sizes + number(0, 2) +
             name + text;
  }
  return "#!/usr/bin/env python3\n" + local + central + std::string("PK\5\6", 4) + number(0, 4) +
         number(members.size(), 2) + number(members.size(), 2) + number(central.size(), 4) + number(local.size(), 4) +
         number(0, 2);
}

}  // namespace

TEST_CASE("host.find_servers: a program in a ZIP file or a directory") {
  const std::string program = zip({{"__main__.py", "import shop.cli\n"}, {"shop/cli.py", "import hypercorn"}});
  const std::string packed = zip({{"__main__.py", "x"}, {"site-packages/fastapi/__init__.py", "x"}}, false);
  const std::string other = zip({{"__main__.py", "import uvicornx\n"}, {"fastapi.py", "x"}});
  std::string cut = program.substr(0, program.size() - 30);
  std::string wrong = program;
  wrong[wrong.size() - 5] = '\x7f';  // the directory is said to be elsewhere
  const Entry cwd = directory("cwd", {file("a.pyz", program), file("b.pex", packed), file("c.pyz", other),
                                      file("d.pyz", cut), file("e.pyz", wrong),
                                      directory("app", {file("__main__.py", "import serving\n"),
                                                        file("serving.py", "from aiohttp import hdrs, web\n")})});
  const FakeProc fake({python(10, {"python3", "a.pyz"}, {cwd}), python(20, {"python3", "b.pex"}, {cwd}),
                       python(30, {"python3", "c.pyz"}, {cwd}), python(40, {"python3", "d.pyz"}, {cwd}),
                       python(50, {"python3", "e.pyz"}, {cwd}), python(60, {"python3", "app"}, {cwd})});
  CHECK(evidence(fake) == Strings{"10 hypercorn script", "20 fastapi script", "60 aiohttp.web script",
                                  "30 python listens", "40 python listens", "50 python listens"});
}

TEST_CASE("host.find_servers: a program that its directory, PYTHONPATH, its input or an argument leads to") {
  const Entry main = file("main.py", "import uvicorn\n");
  const Entry root = directory(
      "root", {directory("srv", {main, directory("lib", {file("shop.py", "import flask\napp = flask.Flask()\n")})})});
  const Entry empty = directory("cwd", {});
  const Entry cwd = directory("cwd", {main, directory("pkg", {file("__init__.py", "from . import web\n"),
                                                              file("web.py", "from fastapi import FastAPI\n")})});
  const FakeProc fake({
      python(10, {"python3", "main.py"}, {empty, root, file("environ", std::string("A=1\0PWD=/srv\0", 14))}),
      python(20, {"python3", "-m", "shop"}, {empty, root, file("environ", "PYTHONPATH=/x:/srv/lib")}),
      python(40, {"python3", "runner.py", "--reload", "pkg:app"}, {cwd}),
      python(50, {"python3", "runner.py", "localhost:http", "main"}, {cwd}),
      python(60, {"python3", "-m", "aiohttp.web", "-P", "1", "x:y"}),
      python(70, {"python3", "-m", "flask", "--app", "x", "run"}),
  });
  CHECK(evidence(fake) == Strings{"70 werkzeug command", "10 uvicorn script", "20 flask script", "40 fastapi script",
                                  "60 aiohttp.web script", "50 python listens"});
}

TEST_CASE("host.find_servers: a program that imports a framework, and listens for something else") {
  const Entry schemas = file("schemas.py", "from fastapi import HTTPException\nfrom fastapi.encoders import x\n");
  const Entry app = file("app.py",
                         "from fastapi import FastAPI\napp = FastAPI()\nif __name__ == '__main__':\n"
                         "    import uvicorn\n\n    uvicorn.run(app)\n");
  const auto program = [&](pid_t pid, const std::string& source) {
    return python(pid, {"python3", "main.py"}, {directory("cwd", {schemas, app, file("main.py", source)})});
  };
  const FakeProc fake({
      program(10, "import fastapi, socketserver\n"),
      program(20, "import schemas\nasyncio.start_server(f)\n"),
      program(30, "from app import app\napp.openapi()\ns.listen()\n"),
      program(40, "from app import app\nfrom company import serve\nserve(app)\n"),
      program(50, "from app import app\nimport uvicorn\ns.listen()\nuvicorn.run(app, fd=s.fileno())\n"),
      python(60, {"python3", "app.py"}, {directory("cwd", {app})}),
  });
  CHECK(evidence(fake) == Strings{"40 fastapi script", "50 uvicorn script", "60 uvicorn script", "10 python listens",
                                  "20 python listens", "30 python listens"});
}

TEST_CASE("host.listener_hints: for how long a server leaves idle connections open") {
  const Entry serves = file("serving.py", "import uvicorn\ndef run(**more):\n    uvicorn.run('a:b', **more)\n");
  const auto program = [&](pid_t pid, const std::string& source) {
    return python(pid, {"python3", "main.py"}, {directory("cwd", {serves, file("main.py", source)})});
  };
  const auto command = [](pid_t pid, const Strings& arguments, const std::string& environment,
                          std::vector<Entry> files = {}) {
    return python(pid, arguments, {file("environ", environment), directory("cwd", std::move(files))});
  };
  const Strings gunicorn = {"python3", "/v/bin/gunicorn", "app"};
  const FakeProc fake({
      program(10, "import serving\nserving.run()\n"),
      program(11, "import serving\nserving.run(timeout_keep_alive=75)\n"),
      program(12, "import serving\nserving.run(**{'timeout_keep_alive' : 20})\n"),
      program(13, "import serving\nserving.run(timeout_keep_alive=settings.timeout)\n"),
      program(14, "import gradio\n"),
      program(15, "import socket\n"),
      program(16, "from hypercorn.config import Config\nconfig.keep_alive_timeout = 7.5\n"),
      python(17, {"python3", "x.py"}, {maps("/v/httptools/parser/parser.cpython-311.so")}),
      command(20, {"uvicorn", "a:b"}, std::string("A=1\0UVICORN_TIMEOUT_KEEP_ALIVE=65\0", 35)),
      command(21, {"uvicorn", "a:b", "--timeout-keep-alive", "9"}, "UVICORN_TIMEOUT_KEEP_ALIVE=65"),
      command(30, gunicorn, "", {file("gunicorn.conf.py", "workers = 4\nkeepalive = 65  # more than nginx\n")}),
      command(31, gunicorn, "GUNICORN_CMD_ARGS=--workers 2 --keep-alive 8"),
      command(32, {"python3", "/v/bin/gunicorn", "-c", "c.py", "app"}, "", {file("c.py", "keepalive = int(x)\n")}),
      command(33, {"python3", "/v/bin/gunicorn", "--config=python:conf", "app"}, ""),
      command(34, gunicorn, ""),
      command(40, {"hypercorn", "--config", "h.toml", "a:b"}, "", {file("h.toml", "keep_alive_timeout = 12\n")}),
      command(50, {"granian", "a:b", "--http1-header-read-timeout", "10000"}, ""),
      // a shell that runs the server
      Process{.pid = 60, .arguments = {"sh", "-c", "true; uvicorn a:b"}, .executable = "/bin/sh"},
      Process{.pid = 61, .parent = 60, .arguments = {"python3", "/v/bin/uvicorn", "a:b"}},
      // its worker
      Process{.pid = 62, .parent = 61, .arguments = {"python3", "-c", kSpawned}},
  });
  const auto milliseconds = [&](pid_t pid) { return listener_hints(fake.proc(), pid).keep_alive_ms; };
  CHECK(milliseconds(10) == 6000);
  CHECK(milliseconds(11) == 76000);
  CHECK(milliseconds(12) == 21000);
  CHECK(milliseconds(13) == 0);
  CHECK(milliseconds(14) == 6000);
  CHECK(milliseconds(15) == 0);
  CHECK(milliseconds(16) == 8500);
  CHECK(milliseconds(17) == 6000);
  CHECK(milliseconds(20) == 66000);
  CHECK(milliseconds(21) == 10000);
  CHECK(milliseconds(30) == 66000);
  CHECK(milliseconds(31) == 9000);
  CHECK(milliseconds(32) == 0);
  CHECK(milliseconds(33) == 0);
  CHECK(milliseconds(34) == 3000);
  CHECK(milliseconds(40) == 13000);
  CHECK(milliseconds(50) == 11000);
  CHECK(milliseconds(60) == 6000);
  CHECK(milliseconds(62) == 6000);
  CHECK(listener_hints(fake.proc(), 10).http);
  CHECK_FALSE(listener_hints(fake.proc(), 15).http);
  CHECK(listener_hints(fake.proc(), 17).http);
  CHECK(listener_hints(fake.proc(), 60).http);
}

TEST_CASE("host.find_servers: an interpreter under another name") {
  const Entry cwd = directory("cwd", {file("main.py", "import uvicorn\n")});
  Process linked = python(10, {"shopd", "main.py"}, {cwd});
  Process named = python(20, {"shopd", "-X", "dev", "-m", "uvicorn", "a:b"});
  Process copied = python(30, {"/opt/shopd", "main.py"}, {cwd, maps("/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0")});
  Process frozen =
      python(40, {"/opt/app", "serve"}, {maps("/tmp/_MEI1/httptools/parser.so\n0-1 r 0 0 0 /x/libpython3.9.so")});
  Process other = python(50, {"/opt/other", "main.py"}, {cwd, maps("/usr/lib/libc.so")});
  Process titled = python(60, {"shop: main.py"}, {cwd});
  copied.executable = "/opt/shopd";
  frozen.executable = "/opt/app";
  other.executable = "/opt/other";
  const FakeProc fake({linked, named, copied, frozen, other, titled});
  CHECK(evidence(fake) == Strings{"20 uvicorn command", "10 uvicorn script", "30 uvicorn script",
                                  "40 httptools modules", "60 python listens"});
}

}  // namespace monitor::testing
