"""The application that `serve` runs behind `gate`: which function answers which address, and the responses to
errors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from importlib import import_module
from typing import Any, get_type_hints

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..errors import UserError, system_reason
from ..files.reading import Json, fit, parse_json
from . import answers
from .gate import PACKAGE
from .store import Store

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

    threading.Thread(target=work, daemon=True).start()
    return await asyncio.wrap_future(future)


def import_attention() -> Any:
    return import_module(".attention_answers", __package__)


def refuse(request: Request, error: Exception) -> Response:
    """The response to an error."""
    if isinstance(error, OSError):  # most often, the disk is full
        return JSONResponse({"error": f"it could not be saved: {system_reason(error)}"}, 507)
    return JSONResponse({"error": str(error)}, 400)
