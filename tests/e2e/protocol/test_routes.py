# SPDX-License-Identifier: Apache-2.0
"""`--routes`: templates name endpoints whose paths no rule folds. The counts are exact, and the table does not fill."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.attached_engine import Engine
from harness.client import Client, request
from harness.monitor import Monitor, run_monitor
from harness.observation import endpoint_of
from harness.server import Server

Start = Callable[..., Server]
Attach = Callable[..., Monitor]

TEMPLATES = """
# the application's routes
/raw/users/{name}
GET /raw/users/me
/raw/users/{name}/posts/{slug}
/raw/files/{path:path}
/raw/models/{model}:predict
POST /raw/users/{name}
"""
# A path and the endpoint that it counts on. No parameter has anything that folding would see.
NAMED = {
    "/raw/users/ada": "/raw/users/{name}",
    "/raw/users/me": "/raw/users/me",
    "/raw/users/m%65": "/raw/users/me",
    "/raw/users/me?q=/raw/users/x/posts/y": "/raw/users/me",
    "/raw/users/men": "/raw/users/{name}",
    "/raw/users/42": "/raw/users/{name}",
    "/raw/users/ada/": "/raw/users/{name}/",
    "/raw/users/ada/posts/hello-world": "/raw/users/{name}/posts/{slug}",
    "/raw/users/ada%2Fposts%2Fhello": "/raw/users/{name}/posts/{slug}",
    "/raw/files/a/b/c": "/raw/files/{path:path}",
    "/raw/files/" + "long/" * 60: "/raw/files/{path:path}",
    "/raw/models/gpt-four:predict": "/raw/models/{model}:predict",
    "/raw/models/gpt-four": "/raw/models/gpt-four",
    "/raw/others/42": "/raw/others/{id}",
    "http://host/raw/users/bob": "/raw/users/{name}",
}


def counts_of(snapshot: dict[str, object], method: str = "GET") -> dict[str, int]:
    endpoints = snapshot["endpoints"]
    assert isinstance(endpoints, list)
    return {entry["path"]: entry["completed"] for entry in endpoints if entry["method"] == method}


def expected(times: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in NAMED.values():
        counts[name] = counts.get(name, 0) + times
    return counts


@pytest.fixture
def templates(tmp_path: Path) -> str:
    path = tmp_path / "routes"
    path.write_text(TEMPLATES)
    return str(path)


def test_endpoints_have_the_names_of_their_templates(start_server: Start, attach: Attach, templates: str) -> None:
    server = start_server()
    monitor = attach(server.pid, "--routes", templates)
    with Client(server.port) as client:
        client.send(b"".join(request(path) for path in NAMED))  # one pipeline
        assert [client.response().status for _ in NAMED] == [200] * len(NAMED)
        for path in NAMED:
            client.send_bytewise(request(path))
            assert client.response().status == 200
        assert client.ask(request("/raw/users/me", "POST")).status == 200
        assert client.ask(request("/raw/users/me", "PUT")).status == 200
    last = monitor.wait_for(lambda s: s["total_requests"] == 2 * len(NAMED) + 2, "all requests")
    assert counts_of(last) == expected(2)
    assert counts_of(last, "POST") == {"/raw/users/{name}": 1}
    assert counts_of(last, "PUT") == {"/raw/users/{name}": 1}
    assert last["undercount"] == 0


def test_thousands_of_names_are_one_endpoint(start_server: Start, engine: Engine, templates: str) -> None:
    server = start_server()
    engine.attach(server.pid, options=("--routes", templates))
    names = ["".join(chr(ord("a") + int(digit)) for digit in str(number)) for number in range(3000)]
    with Client(server.port) as client:
        for begin in range(0, len(names), 50):
            batch = names[begin : begin + 50]
            client.send(b"".join(request(f"/raw/users/{name}/posts/{name}") for name in batch))
            for _ in batch:
                assert client.response().status == 200
    last = engine.wait_for(server.pid, lambda s: s["total_requests"] == 3000, "all requests")
    assert counts_of(last) == {"/raw/users/{name}/posts/{slug}": 3000}
    assert endpoint_of(last, "/raw/users/{name}/posts/{slug}")["peak"] >= 1
    assert last["warnings"] == []
    # A later command may name the same templates, and no others.
    assert engine.sessions()["engine"]["routes"] is True
    assert engine.run("--pid", server.pid, "--json", "--routes", templates).returncode == 0
    other = Path(templates).with_name("other")
    other.write_text("/a\n")
    refused = engine.run("--pid", server.pid, "--json", "--routes", other)
    assert refused.returncode == 2
    assert "--routes: the attached engine uses other templates" in refused.stderr


def test_an_openapi_document(start_server: Start, attach: Attach, tmp_path: Path) -> None:
    document = {
        "openapi": "3.1.0",
        "servers": [{"url": "https://example.org/raw"}],
        "paths": {"/users/{user_id}": {"get": {}}, "/users/me": {"get": {}}, "/files/{file_path}": {"get": {}}},
    }
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document))
    server = start_server()
    monitor = attach(server.pid, "--routes", str(path), "--raw-paths")
    with Client(server.port) as client:
        for target in ("/raw/users/ada", "/raw/users/bob", "/raw/users/me", "/raw/files/a/b", "/raw/unknown/7"):
            assert client.ask(request(target)).status == 200
    last = monitor.wait_for(lambda s: s["total_requests"] == 5, "all requests")
    assert counts_of(last) == {
        "/raw/users/{user_id}": 2,
        "/raw/users/me": 1,
        "/raw/files/{file_path}": 1,
        "/raw/unknown/7": 1,
    }


def test_a_file_that_is_wrong_is_exit_2(start_server: Start, tmp_path: Path) -> None:
    server = start_server()
    path = tmp_path / "routes"
    path.write_text("/a\n/b/{c\n")
    for command in ([], ["attach"], ["serve"]):
        ended = run_monitor(*command, "--pid", str(server.pid), "--routes", str(path))
        assert ended.returncode == 2
        assert f'--routes {path}: line 2: a "{{" without a "}}"' in ended.stderr
    missing = run_monitor("--pid", str(server.pid), "--routes", str(tmp_path / "none"))
    assert missing.returncode == 1
    assert "No such file or directory" in missing.stderr
