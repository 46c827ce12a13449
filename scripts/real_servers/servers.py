# SPDX-License-Identifier: Apache-2.0
"""The servers, one row each."""

from typing import Any

from applications import (
    ASGI,
    BENTOML,
    CHAINLIT,
    DAGSTER,
    FASTAPI_APPLICATION,
    FASTMCP,
    GRADIO,
    JUPYTER,
    LITELLM_CONFIG,
    MARIMO,
    MLSERVER,
    MLSERVER_MODEL,
    NICEGUI,
    RAY,
    RAY_CONFIG,
    SOLARA,
)
from harness.client import Client
from server import Request, Server, Values, post
from upstream import provide


def own(name: str, requirements: tuple[str, ...], command: str, text: str = ASGI, **more: Any) -> Server:
    """A server that runs an application of ours, in main.py."""
    usual: dict[str, Any] = {
        "files": {"main.py": text},
        "requests": (Request("/"), Request("/items"), post("/items", {"name": "x"})),
        "slow": Request("/slow"),
        "stream": Request("/stream"),
        "websocket": "/ws",
        "greeting": "hello",
    }
    return Server(name, requirements, command, **usual | more)


KEY = "sk-" + "0123456789abcdef" * 4
AUTHORIZATION = f"Authorization: Bearer {KEY}"


def mcp(method: str, **parameters: object) -> Request:
    call = {"jsonrpc": "2.0", "id": "<serial>", "method": method, "params": parameters}
    return post("/mcp", call, "Mcp-Session-Id: {session}")


def mcp_session(values: Values) -> None:
    """Opens a session and reads its id."""
    hello = post(
        "/mcp",
        {
            "jsonrpc": "2.0",
            "id": "<serial>",
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "x", "version": "1"},
            },
        },
    )
    with Client(int(values["port"])) as client:
        answer = client.ask(hello.data(values), "POST")
    values["session"] = answer.headers.get(b"mcp-session-id", b"").decode()


def jupyter_kernel(values: Values) -> None:
    values["kernel"] = post("/api/kernels", {}).ask(values)["id"]


def chat(content: str, stream: bool = False) -> Request:
    message = {"role": "user", "content": content}
    return post("/v1/chat/completions", {"model": "planned", "stream": stream, "messages": [message]}, AUTHORIZATION)


FASTAPI = ("fastapi[standard]==0.165.0",)
UVICORN = ("uvicorn[standard]==0.54.0", "uv==0.13.9", "debugpy==1.8.22")

SERVERS = [
    own("fastapi-run", FASTAPI, "fastapi run main.py --host 127.0.0.1 --port {port}", FASTAPI_APPLICATION),
    own("fastapi-dev", FASTAPI, "fastapi dev main.py --port {port}", FASTAPI_APPLICATION),
    own("uv-run", UVICORN, "uv run --active --no-project --offline uvicorn main:app --port {port}"),
    own("debugpy", UVICORN, "python -m debugpy --listen 127.0.0.1:{second} -m uvicorn main:app --port {port}"),
    own(
        "granian",
        ("granian==2.8.9",),
        "granian --interface asgi --port {port} main:app",
        "from sitecustomize import counted\n" + ASGI + "app = counted(app)\n",
        log=None,
    ),
    own(
        "daphne",
        ("daphne==4.2.3",),
        "daphne --port {port} --access-log access.log main:app",
        log="access.log",
    ),
    own("hypercorn", ("hypercorn==0.18.0",), "hypercorn --bind 127.0.0.1:{port} --access-logfile - main:app"),
    own(
        "gunicorn",
        ("gunicorn==27.0.1", "uvicorn-worker==0.4.0", "uvicorn[standard]==0.54.0"),
        "gunicorn --worker-class uvicorn_worker.UvicornWorker --workers 2 --bind 127.0.0.1:{port} "
        "--access-logfile - main:app",
    ),
    Server(
        "litellm",
        ("litellm[proxy]==1.108.7",),
        "litellm --config config.yaml --host 127.0.0.1 --port {port} --telemetry False",
        files={"config.yaml": LITELLM_CONFIG},
        start_before=provide,
        environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY},
        ready="/health/liveliness",
        requests=(
            Request("/health/liveliness"),
            Request("/v1/models", fields=(AUTHORIZATION,)),
            chat("hi"),
            post("/v1/embeddings", {"model": "unknown", "input": "hi"}, AUTHORIZATION),
        ),
        slow=chat("slow"),
        stream=chat("hi", stream=True),
    ),
    Server(
        "mlflow",
        ("mlflow==3.17.2",),
        "mlflow server --backend-store-uri sqlite:///mlflow.db --port {port}",
        # uvicorn ends a worker that does not answer it for 5 s, which happens while a busy machine imports
        environment={"UVICORN_TIMEOUT_WORKER_HEALTHCHECK": "60"},
        ready="/health",
        requests=(
            Request("/health"),
            Request("/version"),
            Request("/"),
            post("/api/2.0/mlflow/experiments/search", {"max_results": 5}),
            post("/api/2.0/mlflow/runs/search", {"experiment_ids": ["0"], "max_results": 5}),
        ),
    ),
    Server(
        "chromadb",
        ("chromadb==1.5.9",),
        "chroma run --path data --host 127.0.0.1 --port {port}",
        environment={"RUST_LOG": "tower_http=debug,chroma_tracing=trace"},
        ready="/api/v2/heartbeat",
        requests=(
            Request("/api/v2/heartbeat"),
            Request("/api/v2/version"),
            Request("/api/v2/tenants/default_tenant/databases/default_database/collections"),
            post(
                "/api/v2/tenants/default_tenant/databases/default_database/collections",
                {"name": "things", "get_or_create": True},
            ),
        ),
    ),
    Server(
        "gradio",
        ("gradio==6.31.0",),
        "python app.py {port}",
        log=None,
        ready="/config",
        files={"app.py": GRADIO},
        environment={"GRADIO_ANALYTICS_ENABLED": "False"},
        requests=(
            Request("/"),
            Request("/config"),
            Request("/gradio_api/info"),
            post("/gradio_api/call/greet", {"data": ["x"]}),
        ),
        before_stream=post("/gradio_api/queue/join", {"data": ["x"], "fn_index": 0, "session_hash": "<turn>"}),
        stream=Request("/gradio_api/queue/data?session_hash={turn}"),
    ),
    Server(
        "streamlit",
        ("streamlit==1.67.0",),
        "streamlit run app.py --server.port {port}",
        environment={"STREAMLIT_SERVER_HEADLESS": "true", "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false"},
        log=None,
        files={"app.py": "import streamlit\nstreamlit.title('Hello')\n"},
        requests=(Request("/"), Request("/_stcore/health"), Request("/_stcore/host-config")),
        websocket="/_stcore/stream",
    ),
    Server(
        "nicegui",
        ("nicegui==3.18.0",),
        "python main.py {port}",
        log=None,
        files={"main.py": NICEGUI},
        requests=(Request("/"),),
        websocket="/_nicegui_ws/socket.io/?EIO=4&transport=websocket",
    ),
    Server(
        "solara",
        ("solara==1.64.1",),
        "solara run app.py --no-open --host 127.0.0.1 --port {port}",
        log=None,
        files={"app.py": SOLARA},
        requests=(Request("/"), Request("/readyz")),
    ),
    Server(
        "marimo",
        ("marimo==0.25.2",),
        "marimo edit notebook.py --headless --no-token --host 127.0.0.1 --port {port}",
        log=None,
        files={"notebook.py": MARIMO},
        requests=(Request("/"), Request("/health"), Request("/api/status")),
    ),
    Server(
        "fastmcp",
        ("fastmcp==4.2.3",),
        "fastmcp run server.py --transport http --host 127.0.0.1 --port {port}",
        ready="/mcp",
        files={"server.py": FASTMCP},
        prepare=mcp_session,
        requests=(mcp("tools/list"), mcp("tools/call", name="add", arguments={"a": 1, "b": 2})),
        slow=mcp("tools/call", name="wait", arguments={}),
    ),
    Server(
        "jupyter-server",
        ("jupyter-server==2.21.1", "ipykernel"),
        "jupyter server --no-browser --allow-root --port {port}",
        files={".jupyter/jupyter_server_config.py": JUPYTER},
        ready="/api",
        prepare=jupyter_kernel,
        requests=(Request("/api"), Request("/api/status"), Request("/api/contents"), Request("/api/kernels")),
        websocket="/api/kernels/{kernel}/channels",
    ),
    Server(
        "ray",
        ("ray[serve]==2.60.0",),
        "serve run config.yaml",
        log=None,
        ready="/items",
        files={"main.py": RAY, "config.yaml": RAY_CONFIG},
        environment={"RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": "local"},
        requests=(Request("/"), Request("/items"), post("/items", {"name": "x"})),
        slow=Request("/slow"),
    ),
    Server(
        "prefect",
        ("prefect==3.9.1",),
        "prefect server start --host 127.0.0.1 --port {port} --no-ui --analytics-off",
        log=None,
        ready="/api/health",
        requests=(
            Request("/api/health"),
            Request("/api/version"),
            post("/api/flows/filter", {}),
            post("/api/flow_runs/count", {}),
        ),
        websocket="/api/events/in",
    ),
    Server(
        "datasette",
        ("datasette==0.65.5",),
        "datasette serve data.db --create --port {port}",
        log=None,
        requests=(Request("/"), Request("/-/versions.json"), Request("/data.json"), post("/data", {})),
    ),
    Server(
        "bentoml",
        ("bentoml==1.4.40",),
        "bentoml serve service:Hello --host 127.0.0.1 --port {port}",
        log=None,
        files={"service.py": BENTOML},
        environment={"BENTOML_DO_NOT_TRACK": "True"},
        ready="/readyz",
        requests=(Request("/"), Request("/readyz"), Request("/metrics"), post("/greet", {"name": "x"})),
        slow=post("/slow", {}),
    ),
    Server(
        "dagster-webserver",
        ("dagster-webserver==1.13.28",),
        "dagster-webserver -f defs.py -p {port}",
        log=None,
        files={"defs.py": DAGSTER},
        ready="/server_info",
        requests=(Request("/server_info"), Request("/dagit_info"), post("/graphql", {"query": "{ version }"})),
    ),
    Server(
        "mlserver",
        ("mlserver==1.7.1",),
        "mlserver start .",
        log=None,
        ready="/v2/health/ready",
        files={
            "settings.json": MLSERVER,
            "model-settings.json": '{"name": "echo", "implementation": "model.Echo"}',
            "model.py": MLSERVER_MODEL,
        },
        requests=(
            Request("/v2/health/ready"),
            Request("/v2"),
            Request("/v2/models/echo"),
            post("/v2/models/echo/infer", {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]}),
        ),
    ),
    Server(
        "arize-phoenix",
        ("arize-phoenix==20.26.1",),
        "phoenix serve",
        log=None,
        ready="/healthz",
        environment={
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": "{port}",
            "PHOENIX_GRPC_PORT": "{second}",
            "PHOENIX_WORKING_DIR": "data",
        },
        requests=(
            Request("/healthz"),
            Request("/v1/projects"),
            Request("/arize_phoenix_version"),
            post("/graphql", {"query": "{ __typename }"}),
        ),
    ),
    Server(
        "chainlit",
        ("chainlit==2.12.0",),
        "chainlit run app.py --headless --host 127.0.0.1 --port {port}",
        log=None,
        files={"app.py": CHAINLIT},
        requests=(Request("/"), Request("/project/translations"), Request("/auth/config")),
    ),
]
