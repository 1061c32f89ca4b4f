"""The application that `serve` runs behind `gate`: which function answers which address, and the responses to
errors."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..errors import UserError, system_reason
from .answers import FRESH, SetAnswers
from .events import Events, Worker
from .gate import PACKAGE
from .store import Session, Stale

if TYPE_CHECKING:
    from .attention_answers import AttentionAnswers

SAMPLE = "/samples/{number:short}"
SOON = 1.5
"""Seconds from the opening of a window to the import of torch. An earlier import would delay the first sample."""
Run = Callable[[Callable[[], Response]], Awaitable[Response]]
"""Runs the function that it is given in a thread, and returns that function's response."""


class ShortConvertor(IntegerConvertor):
    """Matches a sample's number in an address. It has at most 9 digits, because Python raises an error for thousands of
    digits."""

    regex = "[0-9]{1,9}"


register_url_convertor("short", ShortConvertor())


def make_app(session: Session, events: Events) -> Starlette:
    """The application for the page of a session, without access control: `Gate` has that. events: sends reports to the
    open windows."""
    set_answers = SetAnswers(session)
    loading = threading.Lock()
    slowly = Worker().do  # one request after another

    @cache
    def import_attention() -> AttentionAnswers:
        from .attention_answers import AttentionAnswers

        return AttentionAnswers(set_answers)

    def attention() -> AttentionAnswers:
        with loading:  # otherwise two requests at once would make two
            return import_attention()

    # Three ways to answer: at once (in a thread of its own); `later`, with torch; `slowly`, one request after another.
    def later(pick: Callable[[AttentionAnswers], Callable[..., Response]]) -> Callable[..., Response]:
        """A function that answers requests with a method of `AttentionAnswers`. It imports torch at the first request,
        so that the first samples do not wait for it. pick: takes the method, as `lambda answers: answers.about`."""
        return lambda *request: pick(attention())(*request)

    def send_events(request: Request) -> Response:
        soon = threading.Timer(SOON, attention)
        soon.daemon = True
        soon.start()
        return StreamingResponse(events.listen(), media_type="text/event-stream", headers=FRESH)

    async def refuse_stale(request: Request, error: Any) -> Response:
        sample = session.for_page(error.number)
        return JSONResponse({"error": "someone else changed it in the meantime", **sample}, 409)

    routes = [
        get("/set", set_answers.describe),
        post("/classes", set_answers.add_class),
        get("/events", send_events),
        post("/views", set_answers.view),
        get("/views/{view:str}", set_answers.page),
        get("/views/{view:str}/{number:short}", set_answers.place),
        get(SAMPLE, set_answers.sample),
        get(f"{SAMPLE}/thumb", set_answers.thumb),
        get(f"{SAMPLE}/image", set_answers.image),
        get(f"{SAMPLE}/predicted", set_answers.predicted),
        get(f"{SAMPLE}/labels", set_answers.labels),
        post(f"{SAMPLE}/labels", set_answers.paint),
        get(f"{SAMPLE}/pieces", set_answers.pieces),
        post(f"{SAMPLE}/act", set_answers.act),
        post("/job", set_answers.change_many),
        get(f"{SAMPLE}/attention", later(lambda answers: answers.about)),
        get(f"{SAMPLE}/words", later(lambda answers: answers.words), slowly),
        get(f"{SAMPLE}/attends", later(lambda answers: answers.attends)),
        get(f"{SAMPLE}/steps", later(lambda answers: answers.steps), slowly),
        get(f"{SAMPLE}/segments", later(lambda answers: answers.segments), slowly),
        post(f"{SAMPLE}/capture", later(lambda answers: answers.capture), slowly),
        get(f"{SAMPLE}/tuned", later(lambda answers: answers.preview)),
        post(f"{SAMPLE}/tuned", later(lambda answers: answers.apply)),
        post("/job/masks", later(lambda answers: answers.apply_to_many)),
    ]
    static = StaticFiles(packages=[(PACKAGE, "static")])
    return Starlette(
        routes=[Route("/", send_page), Mount("/static", static), Mount("/api", routes=routes)],
        exception_handlers={
            UserError: refuse,
            HTTPException: refuse_http,
            OSError: refuse_unsaved,
            Stale: refuse_stale,
        },
    )


def get(path: str, answer: Callable[[Request], Response], run: Run = run_in_threadpool) -> Route:
    """A route for GET requests. path: the address. answer: makes the response from the request. run: runs `answer` in a
    thread."""

    async def respond(request: Request) -> Response:
        return await run(partial(answer, request))

    return Route(path, respond, methods=["GET"])


def post(path: str, answer: Callable[[Request, bytes], Response], run: Run = run_in_threadpool) -> Route:
    """A route for POST requests. path: the address. answer: makes the response from the request and its body. run: runs
    `answer` in a thread."""

    async def respond(request: Request) -> Response:
        return await run(partial(answer, request, await request.body()))

    return Route(path, respond, methods=["POST"])


async def send_page(request: Request) -> Response:
    text = files(PACKAGE).joinpath("static/index.html").read_bytes()
    return Response(text, media_type="text/html; charset=utf-8", headers={"cache-control": "no-store"})


async def refuse(request: Request, error: Any) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def refuse_unsaved(request: Request, error: Any) -> Response:
    """The response to a failed save, most often because of a full disk."""
    return JSONResponse({"error": f"it could not be saved: {system_reason(error)}"}, 507)


async def refuse_http(request: Request, error: Any) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
