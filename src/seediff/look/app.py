"""The application that `serve` runs behind `gate`: which function answers which address, and how errors are told."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..errors import UserError, system_reason
from .answers import Look
from .events import Events, Worker
from .gate import PACKAGE
from .session import Session, Stale

if TYPE_CHECKING:
    from .why import Why

SAMPLE = "/api/samples/{number:int}"
ADDRESSES = {
    "GET /api/set": "set_",
    "POST /api/classes": "add_class",
    "GET /api/events": "listen",
    "POST /api/views": "view",
    "GET /api/views/{view:str}": "page",
    "GET /api/views/{view:str}/{number:int}": "place",
    f"GET {SAMPLE}": "sample",
    f"GET {SAMPLE}/thumb": "thumb",
    f"GET {SAMPLE}/image": "image",
    f"GET {SAMPLE}/labels": "labels",
    f"POST {SAMPLE}/labels": "paint",
    f"GET {SAMPLE}/pieces": "pieces",
    f"POST {SAMPLE}/act": "act",
    "POST /api/job": "change_many",
    f"GET {SAMPLE}/attention": "why.about",
    f"GET {SAMPLE}/words": "why.words",
    f"GET {SAMPLE}/attends": "why.attends",
    f"GET {SAMPLE}/steps": "why.steps",
    f"GET {SAMPLE}/segments": "why.segments",
    f"POST {SAMPLE}/capture": "why.capture",
    f"GET {SAMPLE}/tuned": "why.tuned",
    f"POST {SAMPLE}/tuned": "why.apply",
    "POST /api/job/masks": "why.begin",
}
"""HTTP method and path → the method of `Look`, or of `Why`, that answers: from the request, and its body if it is a
POST."""
SLOW = ("why.words", "why.steps", "why.segments", "why.capture")
"""Answers that are made one after another."""


def make_app(session: Session, events: Events) -> Starlette:
    """The application, without its gate."""
    look, worker, lock = Look(session, events), Worker(), threading.Lock()

    @cache
    def made() -> Why:
        from .why import Why  # imports torch, which the first samples do not wait for

        return Why(look)

    def why() -> Why:
        with lock:
            return made()

    look.soon = why

    def answering(name: str, run: Any) -> Callable[[Request], Awaitable[Response]]:
        part, _, method = name.rpartition(".")

        async def answer(request: Request) -> Response:
            body = [await request.body()] if request.method == "POST" else []
            return await run(lambda: getattr(why() if part else look, method)(request, *body))

        return answer

    routes = []
    for address, name in ADDRESSES.items():
        method, path = address.split(" ")
        run = worker.do if name in SLOW else run_in_threadpool
        routes.append(Route(path, answering(name, run), methods=[method]))

    async def late(request: Request, error: Any) -> Response:
        told = {"error": "someone else changed it in the meantime", **session.state(error.number)}
        return JSONResponse(told, 409)

    return Starlette(
        routes=[Route("/", page), *routes, Mount("/static", StaticFiles(packages=[(PACKAGE, "static")]))],
        exception_handlers={UserError: refuse, HTTPException: explain, OSError: refuse_unsaved, Stale: late},
    )


async def page(request: Request) -> Response:
    text = files(PACKAGE).joinpath("static/index.html").read_bytes()
    return Response(text, media_type="text/html; charset=utf-8", headers={"cache-control": "no-store"})


async def refuse(request: Request, error: Any) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def refuse_unsaved(request: Request, error: Any) -> Response:
    """The response to a failed save, most often because of a full disk."""
    return JSONResponse({"error": f"it could not be saved: {system_reason(error)}"}, 507)


async def explain(request: Request, error: Any) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
