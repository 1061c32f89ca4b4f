"""The application that `serve` runs behind `gate`: which function answers which address, and how errors are reported.

The answers of why.py need torch. It is imported while somebody looks at the first samples, or when one of these
addresses is requested, so that the first samples do not wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..errors import UserError, system_reason
from .answers import Look
from .events import Events
from .gate import PACKAGE
from .session import Session

if TYPE_CHECKING:
    from .why import Why

AFTER = 1.5
"""Seconds from the opening of a window to the import of torch."""
SAMPLE = "/api/samples/{number:int}"
ADDRESSES = {
    ("GET", f"{SAMPLE}/attention"): "about",
    ("GET", f"{SAMPLE}/words"): "words",
    ("GET", f"{SAMPLE}/attends"): "attends",
    ("GET", f"{SAMPLE}/steps"): "steps",
    ("GET", f"{SAMPLE}/segments"): "segments",
    ("POST", f"{SAMPLE}/capture"): "capture",
    ("GET", f"{SAMPLE}/tuned"): "tuned",
    ("POST", f"{SAMPLE}/tuned"): "apply",
    ("POST", "/api/job/masks"): "begin",
}
"""HTTP method and path → the method of `Why` that answers."""


def answers_of_why(look: Look) -> list[Route]:
    """The routes of ADDRESSES. `Why` is made when the first of them is asked for, or AFTER seconds after a window was
    opened."""
    lock = threading.Lock()

    @cache
    def made() -> Why:
        from .why import Why

        return Why(look)

    def why() -> Why:
        with lock:
            return made()

    def soon() -> None:
        timer = threading.Timer(AFTER, why)
        timer.daemon = True
        timer.start()

    def answering(name: str) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await getattr(await run_in_threadpool(why), name)(request)

        return answer

    look.soon = soon
    return [Route(path, answering(name), methods=[method]) for (method, path), name in ADDRESSES.items()]


async def refuse(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def refuse_unsaved(request: Request, error: Exception) -> Response:
    """The response to a failed save, most often because of a full disk."""
    assert isinstance(error, OSError)
    return JSONResponse({"error": f"it could not be saved: {system_reason(error)}"}, 507)


async def explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def page(request: Request) -> Response:
    text = files(PACKAGE).joinpath("static/index.html").read_bytes()
    return Response(text, media_type="text/html; charset=utf-8", headers={"cache-control": "no-store"})


def make_app(session: Session, events: Events) -> Starlette:
    """The application, without its gate."""
    look = Look(session, events)
    routes = [
        Route("/", page),
        Route("/api/set", look.set_),
        Route("/api/events", look.listen),
        Route("/api/views", look.view, methods=["POST"]),
        Route("/api/views/{view:str}", look.page),
        Route("/api/views/{view:str}/{number:int}", look.place),
        Route(SAMPLE, look.sample),
        Route(f"{SAMPLE}/thumb", look.thumb),
        Route(f"{SAMPLE}/image", look.image),
        Route(f"{SAMPLE}/labels", look.labels),
        Route(f"{SAMPLE}/labels", look.paint, methods=["POST"]),
        Route(f"{SAMPLE}/pieces", look.pieces),
        Route(f"{SAMPLE}/act", look.act, methods=["POST"]),
        Route(f"{SAMPLE}/other", look.other),
        Route(f"{SAMPLE}/compared", look.compared),
        Route("/api/job", look.change_many, methods=["POST"]),
        *answers_of_why(look),
        Mount("/static", StaticFiles(packages=[(PACKAGE, "static")])),
    ]
    return Starlette(
        routes=routes, exception_handlers={UserError: refuse, HTTPException: explain, OSError: refuse_unsaved}
    )
