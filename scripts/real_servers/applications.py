# SPDX-License-Identifier: Apache-2.0
"""The files of the servers' applications. They run in other virtual environments than the script's own."""

# For the servers that run any ASGI application.
ASGI = """
import asyncio


async def answer(send, status, *pieces, pause=0):
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(pause)
    await send({"type": "http.response.body", "body": b""})


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
    elif scope["path"] == "/slow":
        await asyncio.sleep(1)
        await answer(send, 200, b"ok")
    elif scope["path"] == "/stream":
        await answer(send, 200, *[b"piece"] * 10, pause=0.1)
    elif scope["path"] in ("/", "/items"):
        while (await receive()).get("more_body"):
            pass
        await answer(send, 200, b"ok")
    else:
        await answer(send, 404, b"none")
"""

FASTAPI_APPLICATION = """
import asyncio

from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.get("/")
@app.get("/items")
def items():
    return []


@app.post("/items")
def add(item: dict):
    return item


@app.get("/slow")
async def slow():
    await asyncio.sleep(1)


@app.get("/stream")
async def stream():
    async def pieces():
        for _ in range(10):
            yield "piece"
            await asyncio.sleep(0.1)

    return StreamingResponse(pieces())


@app.websocket("/ws")
async def echo(socket: WebSocket):
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)
"""

LITELLM_CONFIG = """
model_list:
  - model_name: planned
    litellm_params:
      model: openai/planned
      api_key: unused
      api_base: http://127.0.0.1:<upstream>/v1
"""

GRADIO = """
import sys
import time

import gradio


def greet(name):
    time.sleep(1)
    return "Hello " + name


gradio.Interface(greet, "text", "text", api_name="greet", concurrency_limit=10).launch(server_port=int(sys.argv[1]))
"""

NICEGUI = """
import sys

from nicegui import ui

ui.label("Hello")
ui.run(port=int(sys.argv[1]), host="127.0.0.1", show=False, reload=False)
"""

SOLARA = """
import solara


@solara.component
def Page():
    solara.Text("Hello")
"""

MARIMO = """
import marimo

app = marimo.App()


@app.cell
def _():
    1 + 1
    return


if __name__ == "__main__":
    app.run()
"""

FASTMCP = """
import asyncio

from fastmcp import FastMCP

mcp = FastMCP("Calculator")


@mcp.tool
def add(a: int, b: int) -> int:
    return a + b


@mcp.tool
async def wait() -> None:
    await asyncio.sleep(1)
"""

RAY = """
import asyncio

from fastapi import FastAPI
from ray import serve

api = FastAPI()


@serve.deployment
@serve.ingress(api)
class Application:
    @api.get("/")
    @api.get("/items")
    def items(self):
        return []

    @api.post("/items")
    def add(self, item: dict):
        return item

    @api.get("/slow")
    async def slow(self):
        await asyncio.sleep(1)


app = Application.bind()
"""

RAY_CONFIG = """
http_options: {host: 127.0.0.1, port: <port>}
applications:
  - {name: application, import_path: "main:app", route_prefix: /}
"""

CHAINLIT = """
import chainlit


@chainlit.on_message
async def answer(message):
    await chainlit.Message(content="Hello").send()
"""

BENTOML = """
import asyncio

import bentoml


@bentoml.service
class Hello:
    @bentoml.api
    def greet(self, name: str) -> str:
        return "Hello " + name

    @bentoml.api
    async def slow(self) -> str:
        await asyncio.sleep(1)
        return "ok"
"""

DAGSTER = """
import dagster


@dagster.asset
def thing():
    return 1


defs = dagster.Definitions(assets=[thing])
"""

MLSERVER = """
{"host": "127.0.0.1", "http_port": <port>, "grpc_port": <second>, "metrics_port": <third>, "debug": false}
"""

MLSERVER_MODEL = """
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput


class Echo(MLModel):
    async def predict(self, payload):
        output = ResponseOutput(name="y", shape=[1], datatype="INT64", data=[1])
        return InferenceResponse(model_name=self.name, outputs=[output])
"""

# Its log names requests that did not fail only when it debugs.
JUPYTER = """
c.Application.log_level = "DEBUG"
c.ServerApp.token = ""
c.ServerApp.disable_check_xsrf = True
"""
