# SPDX-License-Identifier: Apache-2.0
"""A small stand-in for an LLM proxy, to demonstrate `monitor`. It responds at once or with a stream of tokens, and can
fail or block on purpose. Run it as `python app.py [--port 9999]`, or give it to uvicorn as `app:app`."""

import argparse
import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

TOKENS = "Counting happens in the kernel , where the bytes pass : no sampling , no middleware , no restart .".split()
SECONDS_TO_FIRST_TOKEN = 0.15
SECONDS_BETWEEN_TOKENS = 0.05

app = FastAPI(title="LLM proxy stand-in")

# /fail raises on purpose; its traceback would only fill the log.
logging.getLogger("uvicorn.error").addFilter(lambda record: "Exception in ASGI" not in record.getMessage())


class Message(BaseModel):
    role: str
    content: str


class ChatRequest(BaseModel):
    model: str = "stand-in"
    messages: list[Message] = []
    max_tokens: int = 20
    stream: bool = False


class CompletionRequest(BaseModel):
    model: str = "stand-in"
    prompt: str = ""
    max_tokens: int = 20


async def generate(max_tokens: int) -> AsyncIterator[str]:
    """Tokens at the pace of a model."""
    await asyncio.sleep(SECONDS_TO_FIRST_TOKEN)
    for index in range(max(1, min(max_tokens, 1000))):
        yield TOKENS[index % len(TOKENS)] + " "
        await asyncio.sleep(SECONDS_BETWEEN_TOKENS * random.uniform(0.5, 1.5))


async def server_sent_events(request: ChatRequest) -> AsyncIterator[str]:
    async for token in generate(request.max_tokens):
        chunk = {"object": "chat.completion.chunk", "model": request.model, "choices": [{"delta": {"content": token}}]}
        yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"


@app.post("/v1/chat/completions", response_model=None)
async def chat_completions(request: ChatRequest) -> StreamingResponse | dict[str, object]:
    if request.stream:
        return StreamingResponse(server_sent_events(request), media_type="text/event-stream")
    text = "".join([token async for token in generate(request.max_tokens)])
    message = {"role": "assistant", "content": text}
    return {"object": "chat.completion", "model": request.model, "choices": [{"message": message}]}


@app.post("/v1/completions")
async def completions(request: CompletionRequest) -> dict[str, object]:
    text = "".join([token async for token in generate(request.max_tokens)])
    return {"object": "text_completion", "model": request.model, "choices": [{"text": text}]}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/users/{user_id}")
async def user(user_id: int) -> dict[str, object]:
    return {"id": user_id, "name": f"user {user_id}"}


@app.get("/fail")
async def fail() -> None:
    raise RuntimeError("raised on purpose")


@app.get("/block")
async def block(seconds: float = 0.2) -> dict[str, float]:
    """Blocks the event loop, which a coroutine must not do: every other request of this worker waits meanwhile."""
    time.sleep(max(0.0, min(seconds, 5.0)))
    return {"blocked_seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description="A small stand-in for an LLM proxy.")
    parser.add_argument("--port", type=int, default=9999)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port)


if __name__ == "__main__":
    main()
