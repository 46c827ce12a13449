# SPDX-License-Identifier: Apache-2.0
"""A model provider for the proxy: answers after a second, or with a stream of a second's length."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from server import Values

PIECES = 10
PAUSE = 0.1


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked.get("stream"):
            self._stream()
        else:
            time.sleep(PIECES * PAUSE if asked["messages"][0]["content"] == "slow" else 0)
            message = {"role": "assistant", "content": "a planned answer"}
            self._answer({"object": "chat.completion", "choices": [{"index": 0, "message": message}]})

    def _answer(self, answer: dict[str, object]) -> None:
        body = json.dumps({"id": "1", "created": 1, "model": "planned", **answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(PIECES):
            choice = {"index": 0, "delta": {"role": "assistant", "content": "piece "}, "finish_reason": None}
            self._event(
                json.dumps(
                    {
                        "id": "1",
                        "object": "chat.completion.chunk",
                        "created": 1,
                        "model": "planned",
                        "choices": [choice],
                    }
                )
            )
            time.sleep(PAUSE)
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, text: str) -> None:
        event = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))


def provide(values: Values) -> None:
    """Serves on a free port, values["upstream"], until this process ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    values["upstream"] = str(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
