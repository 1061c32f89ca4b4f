"""The server of `seediff look`, and its immediate end at Ctrl-C. It runs an application behind `gate`: which function
answers which address, and the responses to errors.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..config.settings import RunConfig
from ..errors import UserError, system_reason
from ..files.outputs import name_page
from ..files.reading import Json, fit, parse_json
from . import answers
from .gate import PACKAGE, Gate, is_loopback
from .store import Store

LOCAL = "127.0.0.1"


def _open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens at an address of this machine. host: the address. port: 0 for any free port. Raises
    UserError for an unusable port or host."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, TypeError, UnicodeError) as error:  # impossible names of hosts raise the last two
        problem = f"{port} cannot be used at {host} ({error.args[-1]})"
        raise UserError("port", problem, "name another port or host, or none") from error


def _unless_cancelled(record: logging.LogRecord) -> bool:
    """Whether to log a record. A record about a cancelled task is not logged: answers may be under way when the server
    ends."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class Server(uvicorn.Server):
    """A server that ends at the first SIGINT or SIGTERM, even if clients are connected."""

    interrupted = False
    """Whether SIGINT ended it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Replaces uvicorn's method, which would wait for clients, and would raise the signal again at the end."""
        logging.getLogger("uvicorn.error").addFilter(_unless_cancelled)
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def end(number: int, frame: Any) -> None:
            self.interrupted = number == signal.SIGINT
            self.should_exit = self.force_exit = True

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(frozen=True)
class Opened:
    """An open set, and the server that shows it."""

    store: Store
    server: Server
    listening: socket.socket
    """The server's socket, which already accepts connections."""
    url: str
    """The address of the page. It contains the token if only this machine can reach it; otherwise the page asks for the
    token."""
    token: str
    once: str
    """An address with a secret that is accepted a single time, for the browser that `seediff look` starts."""

    def run(self) -> None:
        """Answer requests until the server is stopped."""
        self.server.run(sockets=[self.listening])

    @property
    def is_busy(self) -> bool:
        """Whether an answer is still being computed."""
        return any(thread.name == ANSWER for thread in threading.enumerate())


@contextmanager
def serve(
    path: Path, *, by: str, host: str = LOCAL, port: int = 0, looking: RunConfig | None = None
) -> Iterator[Opened]:
    """Opens a dataset and makes a server that shows it. `Opened.run` starts the server. path: the dataset's folder. by,
    looking: as for `Store`. host, port: where to listen. Raises UserError."""
    store = Store(path, by=by, looking=looking)
    try:
        with _open_socket(host, port) as listening:
            token = secrets.token_urlsafe(24)
            bound_port = listening.getsockname()[1]
            app = Gate(make_app(store), token=token, host=host, port=bound_port)
            config = uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # its warnings are about malformed requests
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=1,
            )
            name = f"[{host}]" if ":" in host else host
            address = f"http://{name}:{bound_port}/"
            url = f"{address}?token={token}" if is_loopback(host) else address
            if not store.read_only:
                name_page(path, address)
            soon = threading.Timer(1.5, import_attention)  # an earlier import would delay the first sample
            soon.daemon = True
            soon.start()
            yield Opened(store, Server(config), listening, url, token, f"{address}?token={app.once}")
    finally:
        store.close()


ANSWERS = {
    "GET set": answers.describe,
    "GET samples": answers.samples,
    "POST classes": answers.add_class,
    "POST act": answers.act,
    "POST masks": "remake",
    "GET sample": answers.sample,
    "GET thumb": answers.thumb,
    "GET image": answers.image,
    "GET labels": answers.labels,
    "POST labels": answers.paint,
    "GET pieces": answers.pieces,
    "GET attention": "about",
    "GET words": "words",
    "GET attends": "attends",
    "GET steps": "steps",
    "GET segments": "segments",
    "POST capture": "capture",
    "GET tuned": "preview",
}
"""Method and last part of the address → what answers: a function of the store and the request in `answers`, or the name
of one in `attention_answers`, which imports torch. The type of its parameter `request` says what the page sends."""
ANSWER = "answer"
"""The name of threads in which answers are made."""
IN_TURN = dict.fromkeys(("words", "steps", "segments", "capture"), threading.Lock())
"""Answers of which only one is made at a time → their lock."""


def make_app(store: Store) -> Starlette:
    """The application for the page of a store, without access control: `Gate` has that."""

    async def respond(request: Request) -> Response:
        parameters = request.path_params
        name = parameters.pop("name", "sample")
        answer: Any = ANSWERS.get(f"{request.method} {name}")
        if answer is None:
            raise UserError("there is no such page")
        # A request about one sample has its parameters in the address; its body is pixels
        json = request.method == "POST" and "number" not in parameters
        body = await request.body()

        def make() -> Json | Response:
            function = getattr(import_attention(), answer) if isinstance(answer, str) else answer
            values: Json = {**request.query_params, **parameters, "pixels": body}
            if json:
                values = parse_json(body, Json, "the request")
            asked = fit(values, get_type_hints(function)["request"], "the request", strict=json)
            with IN_TURN.get(name, nullcontext()):
                return function(store, asked)

        made = await in_thread(make)
        return made if isinstance(made, Response) else JSONResponse(made)

    static = StaticFiles(packages=[(PACKAGE, "static")], html=True)
    paths = "/api/{name}", "/api/samples/{number}", "/api/samples/{number}/{name}"
    return Starlette(
        routes=[
            *(Route(path, respond, methods=["GET", "POST"]) for path in paths),
            Mount("/static", static),
            Mount("/", static),
        ],
        exception_handlers={UserError: refuse, OSError: refuse},
    )


async def in_thread(function: Callable[[], Any]) -> Any:
    """The result of a function that runs in a thread of its own, which ends with the process, even in the middle of
    the function."""
    future = Future[Any]()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name=ANSWER, daemon=True).start()
    return await asyncio.wrap_future(future)


def import_attention() -> Any:
    return import_module(".attention_answers", __package__)


def refuse(request: Request, error: Exception) -> Response:
    """The response to an error."""
    if isinstance(error, OSError):  # most often, the disk is full
        return JSONResponse({"error": f"it could not be saved: {system_reason(error)}"}, 507)
    return JSONResponse({"error": str(error)}, 400)
