"""The application that `serve` runs behind `gate`: which address is answered by what, and how errors are told."""

from __future__ import annotations

from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..errors import UserError, system_reason
from .answers import MASK, Look
from .events import Events
from .gate import PACKAGE, SMALL
from .late import Late
from .session import Session


async def refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def unsaved(request: Request, error: Exception) -> Response:
    """A full disk, above all."""
    assert isinstance(error, OSError)
    return JSONResponse({"error": f"it could not be saved: {system_reason(error)}"}, 507)


async def explained(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def page(request: Request) -> Response:
    text = files(PACKAGE).joinpath("static/index.html").read_bytes()
    return Response(text, media_type="text/html; charset=utf-8", headers={"cache-control": "no-store"})


def body_limit(path: str) -> int:
    """Bytes that a request's body may have."""
    return MASK if path.startswith("/api/samples/") and path.endswith("/labels") else SMALL


def make_app(session: Session, events: Events) -> Starlette:
    """The application, without its gate."""
    look = Look(session, events)
    late = Late(look)
    look.soon = late.soon

    one = "/api/samples/{number:int}"
    routes = [
        Route("/", page),
        Route("/api/set", look.set_),
        Route("/api/events", look.listen),
        Route("/api/views", look.view, methods=["POST"]),
        Route("/api/views/{view:str}", look.page),
        Route("/api/views/{view:str}/{number:int}", look.place),
        Route(one, look.sample),
        Route(f"{one}/thumb", look.thumb),
        Route(f"{one}/image", look.image),
        Route(f"{one}/labels", look.labels),
        Route(f"{one}/labels", look.paint, methods=["POST"]),
        Route(f"{one}/pieces", look.pieces),
        Route(f"{one}/act", look.act, methods=["POST"]),
        *late.routes(),
        Mount("/static", StaticFiles(packages=[(PACKAGE, "static")])),
    ]
    return Starlette(routes=routes, exception_handlers={UserError: refused, HTTPException: explained, OSError: unsaved})
