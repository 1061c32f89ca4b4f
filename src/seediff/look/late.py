"""The addresses of why.py, which needs torch: that is imported while somebody looks at the first samples, or when one of them is asked for,
so that these are not waited for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from .answers import Look
    from .why import Why

AFTER = 1.5
"""Seconds after the first request, of whatever kind, at which torch is imported."""
ONE = "/api/samples/{number:int}"
ADDRESSES = {
    ("GET", f"{ONE}/attention"): "about",
    ("GET", f"{ONE}/words"): "words",
    ("GET", f"{ONE}/attends"): "attends",
    ("GET", f"{ONE}/steps"): "steps",
    ("GET", f"{ONE}/segments"): "segments",
    ("POST", f"{ONE}/capture"): "capture",
    ("GET", f"{ONE}/tuned"): "tuned",
    ("POST", f"{ONE}/tuned"): "apply",
    ("POST", "/api/job"): "begin",
    ("POST", "/api/job/stop"): "end",
}
"""Method and path → the function of `Why` that answers."""


class Late:
    """`Why`, made when it is first needed."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self._why: Why | None = None
        self._lock = threading.Lock()
        self._begun = False

    def why(self) -> Why:
        with self._lock:
            if self._why is None:
                from .why import Why

                self._why = Why(self.look)
            return self._why

    def soon(self) -> None:
        """Make it a little later, unless that was said before."""
        if not self._begun:
            self._begun = True
            timer = threading.Timer(AFTER, self.why)
            timer.daemon = True
            timer.start()

    def routes(self) -> list[Route]:
        return [Route(path, self._answering(name), methods=[method]) for (method, path), name in ADDRESSES.items()]

    def _answering(self, name: str):
        async def answer(request: Request) -> Response:
            return await getattr(await run_in_threadpool(self.why), name)(request)

        return answer
