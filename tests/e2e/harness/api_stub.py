# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the HTTP APIs of services that cannot run here.

They accept what the service's reference allows and reject everything else."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from jsonschema import Draft202012Validator

# The body of "Submit metrics", API v2: https://docs.datadoghq.com/api/latest/metrics/#submit-metrics
DATADOG_SERIES = {
    "type": "object",
    "required": ["series"],
    "additionalProperties": False,
    "properties": {"series": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/series"}}},
    "$defs": {
        "series": {
            "type": "object",
            "required": ["metric", "points"],
            "additionalProperties": False,
            "properties": {
                # Datadog replaces every other character of a name by an underscore.
                "metric": {"type": "string", "pattern": "^[a-zA-Z][a-zA-Z0-9_.]{0,199}$"},
                "type": {"enum": [0, 1, 2, 3]},  # unspecified, count, rate, gauge
                "interval": {"type": "integer"},
                "points": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/point"}},
                "resources": {"type": "array"},
                "source_type_name": {"type": "string"},
                "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-zA-Z][^,]{0,199}$"}},
                "unit": {"type": "string"},
                "metadata": {"type": "object"},
            },
        },
        "point": {
            "type": "object",
            "required": ["timestamp", "value"],
            "additionalProperties": False,
            "properties": {"timestamp": {"type": "integer"}, "value": {"type": "number"}},
        },
    },
}

# That of "Create / Update dashboard": https://grafana.com/docs/grafana/latest/developers/http_api/dashboard/
GRAFANA_DASHBOARD = {
    "type": "object",
    "required": ["dashboard"],
    "additionalProperties": False,
    "properties": {
        "dashboard": {
            "type": "object",
            "required": ["title", "panels"],
            "properties": {
                "id": {"type": "null"},  # a number identifies an existing dashboard of this Grafana
                "uid": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"},
                "title": {"type": "string", "minLength": 1},
            },
        },
        "folderUid": {"type": "string"},
        "message": {"type": "string"},
        "overwrite": {"type": "boolean"},
    },
}


class Api:
    """`taken` holds the bodies of valid requests, `wrong` describes the errors in the others."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.taken: list[dict[str, Any]] = []
        self.wrong: list[str] = []


def stale(body: Any) -> bool:
    """Whether Datadog would drop a point: it accepts the last hour and up to ten minutes ahead."""
    moments = [point["timestamp"] for series in body.get("series", []) for point in series["points"]]
    return any(not -3600 < moment - time.time() < 600 for moment in moments)


@contextmanager
def api(path: str, schema: Mapping[str, Any], headers: Mapping[str, str], status: int, answer: str) -> Iterator[Api]:
    """Accepts POSTs of JSON to `path` with these headers, and responds with `status` and `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            wrong = [f"{name}: {self.headers[name]}" for name, value in wanted.items() if self.headers[name] != value]
            wrong += [f"POST {self.path}"] if self.path != path else []
            try:
                body = json.loads(sent)
                wrong += [error.message for error in Draft202012Validator(schema).iter_errors(body)]
                wrong += ["a point that is too old or too far ahead"] if not wrong and stale(body) else []
            except ValueError as error:
                wrong.append(str(error))
            if wrong:
                served.wrong += wrong
            else:
                served.taken.append(body)
            self.send_response(400 if wrong else status)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            pass

    wanted = {"Content-Type": "application/json"} | dict(headers)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = Api(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


def datadog(key: str) -> AbstractContextManager[Api]:
    return api("/api/v2/series", DATADOG_SERIES, {"DD-API-KEY": key}, 202, '{"errors":[]}')


def grafana_api(token: str) -> AbstractContextManager[Api]:
    answer = '{"slug":"uvicorn","status":"success","uid":"uvicorn-monitor","version":1}'
    return api("/api/dashboards/db", GRAFANA_DASHBOARD, {"Authorization": f"Bearer {token}"}, 200, answer)
