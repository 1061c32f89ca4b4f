"""The application that `serve` runs behind `gate`: which function answers which address, and the responses to
errors."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from importlib.resources import files
from typing import Any, get_type_hints

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..errors import UserError, system_reason
from ..files.reading import Json, fit, parse_json
from . import answers
from .events import Events, slowly
from .gate import PACKAGE
from .store import Stale, Store

Answer = Callable[[Store, Any], Json | Response]
"""Answers a request. Its second parameter, `request`, has a type that says what the page sends."""
Run = Callable[[Callable[[], Json | Response]], Awaitable[Json | Response]]
"""Runs a function in a thread, and returns its answer: `run_in_threadpool` at once, `slowly` one after another."""
SAMPLE = "/samples/{number:short}"
SOON = 1.5
"""Seconds from the opening of a window to the import of torch. An earlier import would delay the first sample."""


class ShortConvertor(IntegerConvertor):
    """Matches a sample's number in an address. It has at most 9 digits, because Python raises an error for thousands of
    digits."""

    regex = "[0-9]{1,9}"


register_url_convertor("short", ShortConvertor())


def make_app(store: Store, events: Events) -> Starlette:
    """The application for the page of a store, without access control: `Gate` has that. events: sends reports to the
    open windows."""

    def answer(method: str, path: str, answer_with: Answer | str, run: Run = run_in_threadpool) -> Route:
        """The route of an address. answer_with: a function of `answers`, or the name of one in `attention_answers`.
        run: runs it in a thread."""

        async def respond(request: Request) -> Response:
            body = await request.body()

            def make() -> Json | Response:
                function = answer_with
                if isinstance(function, str):
                    function = getattr(import_attention(), function)
                return function(store, read_request(request, body, get_type_hints(function)["request"]))

            made = await run(make)
            return made if isinstance(made, Response) else JSONResponse(made)

        return Route(path, respond, methods=[method])

    def send_events(request: Request) -> Response:
        soon = threading.Timer(SOON, import_attention)
        soon.daemon = True
        soon.start()
        return StreamingResponse(events.listen(), media_type="text/event-stream", headers=answers.FRESH)

    get, post = partial(answer, "GET"), partial(answer, "POST")
    routes = [
        get("/set", answers.describe),
        post("/classes", answers.add_class),
        post("/classes/name", answers.rename_class),
        Route("/events", send_events),
        post("/views", answers.view),
        get("/views/{view:str}", answers.page),
        get("/views/{view:str}/{number:short}", answers.place),
        get(SAMPLE, answers.sample),
        get(f"{SAMPLE}/thumb", answers.thumb),
        get(f"{SAMPLE}/image", answers.image),
        get(f"{SAMPLE}/predicted", answers.predicted),
        get(f"{SAMPLE}/labels", answers.labels),
        post(f"{SAMPLE}/labels", answers.paint),
        get(f"{SAMPLE}/pieces", answers.pieces),
        post(f"{SAMPLE}/act", answers.act),
        post("/job", answers.change_many),
        get(f"{SAMPLE}/attention", "about"),
        get(f"{SAMPLE}/words", "words", slowly),
        get(f"{SAMPLE}/attends", "attends"),
        get(f"{SAMPLE}/steps", "steps", slowly),
        get(f"{SAMPLE}/segments", "segments", slowly),
        post(f"{SAMPLE}/capture", "capture", slowly),
        get(f"{SAMPLE}/tuned", "preview"),
        post(f"{SAMPLE}/tuned", "remake"),
        post("/job/masks", "remake_many"),
    ]
    static = StaticFiles(packages=[(PACKAGE, "static")])
    return Starlette(
        routes=[Route("/", send_page), Mount("/static", static), Mount("/api", routes=routes)],
        exception_handlers=dict.fromkeys((UserError, HTTPException, OSError, Stale), refuse),
    )


def read_request(request: Request, body: bytes, kind: type) -> Any:
    """What the page asks for. Parameters are in the path, and in the JSON body of a POST request or else in the
    address; the body of `Paint` is pixels. Raises UserError."""
    values: Json = {**request.query_params, "pixels": body}
    strict = request.method == "POST" and kind is not answers.Paint
    if strict:
        values = parse_json(body, Json, "the request")
    return fit({**values, **request.path_params}, kind, "the request", strict=strict)


def import_attention() -> Any:
    return import_module(".attention_answers", __package__)


async def send_page(request: Request) -> Response:
    text = files(PACKAGE).joinpath("static/index.html").read_bytes()
    return Response(text, media_type="text/html; charset=utf-8", headers={"cache-control": "no-store"})


def refuse(request: Request, error: Exception) -> Response:
    """The response to an error."""
    status, why, more, headers = 400, str(error), {}, None
    if isinstance(error, HTTPException):
        status, why, headers = error.status_code, error.detail, error.headers
    elif isinstance(error, OSError):  # most often, the disk is full
        status, why = 507, f"it could not be saved: {system_reason(error)}"
    elif isinstance(error, Stale):
        status, why, more = 409, "someone else changed it in the meantime", error.state
    return JSONResponse({"error": why, **more}, status, headers)
