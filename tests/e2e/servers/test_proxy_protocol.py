# SPDX-License-Identifier: Apache-2.0
"""Gunicorn behind a load balancer that speaks the PROXY protocol: the header is no request, and hides none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.asgi_servers import CURRENT, Gunicorn
from harness.client import Client, request
from harness.monitor import Snapshot
from harness.observation import Observation
from harness.proxy_header import CLIENT, HEADERS

Observe = Callable[..., Observation]

APPLICATIONS = {"gthread": "wsgi_app:app", "asgi": "app:app"}


def names(snapshot: Snapshot) -> set[str]:
    return {f"{endpoint['method']} {endpoint['path']}".strip() for endpoint in snapshot["endpoints"]}


@pytest.mark.parametrize("worker_class", APPLICATIONS)
@pytest.mark.parametrize("header", ["v1", "v1 TCP6", "v2", "v2 IPv6", "v2 LOCAL", "v2 with TLVs"])
def test_the_requests_after_the_header_count(worker_class: str, header: str, tmp_path: Path, observe: Observe) -> None:
    options = ("--threads", "2", "--proxy-protocol", header.partition(" ")[0], "--proxy-allow-from", "*")
    application = APPLICATIONS[worker_class]
    with Gunicorn(tmp_path, CURRENT, *options, worker_class=worker_class, application=application) as server:
        observation = observe(server)
        for requests in (1, 5):
            for apart in (False, True):
                with Client(server.port) as client:
                    if apart:
                        client.send(HEADERS[header])
                    first = b"" if apart else HEADERS[header]
                    for index in range(requests):
                        asked = request("/ok", "POST", body=b"body") if index % 2 else request("/ok")
                        answer = client.ask((b"" if index else first) + asked)
                        assert answer.status == 200
                        if worker_class == "gthread" and header in ("v1", "v2") and not index:
                            assert answer.body == CLIENT.encode()  # the server has read the header
        snapshot = observation.settle()
        assert observation.tally().total() == 12
        observation.assert_equal(snapshot)
    assert names(snapshot) == {"GET /ok", "POST /ok"}
