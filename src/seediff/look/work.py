"""Puts a review to use: draws rejected samples again."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..config.generate import GenerateConfig
from ..errors import UserError
from ..files.documents import parse_json
from ..run.reopen import can_reopen
from .attention import is_model_here, read_config
from .index import VERDICTS
from .many import Job
from .redraw import redraw
from .why import ALONE, Why


class DrawAgain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of the rejected samples to draw again, starting with the first."""

    count: Annotated[int, msgspec.Meta(ge=1)] = 1


class Work(Why):
    """The answers about attention and drawing again."""

    async def offers(self, request: Request) -> Response:
        """The offer to draw again; null if it is not possible, for example for lack of rejected samples."""
        return JSONResponse(await run_in_threadpool(lambda: {"redraw": self._redrawable()}))

    def _redrawable(self) -> dict[str, Any] | None:
        """The number of samples that are rejected or already being drawn again; None if nothing can be offered. refused: why they cannot be
        drawn again; empty if they can."""
        count = len(self._rejected())
        if not count or self.session.read_only or self.session.subject.kind != "dataset":
            return None
        subject, config = self.session.subject, read_config(self.session.subject.folder)
        if not isinstance(config, GenerateConfig) or not (self.session.drawing or can_reopen(subject.folder)):
            return {"count": count, "refused": "Only a set that `generate` of this version made can be drawn again."}
        absent = f"They cannot be drawn again: their model, {config.model_label}, is not on this machine."
        return {"count": count, "refused": "" if is_model_here(config) else absent}

    def _rejected(self) -> list[int]:
        return [*sorted(self.session.drawing), *np.flatnonzero(self.session.index.verdict == VERDICTS.index("rejected")).tolist()]

    async def redraw(self, request: Request) -> Response:
        """Draw the first `count` rejected samples again."""
        body = parse_json(await request.body(), DrawAgain, "what is asked for")
        offer, numbers = await run_in_threadpool(self._redrawable), self._rejected()[: body.count]
        if offer is None or offer["refused"]:
            raise UserError(offer["refused"] if offer else "no sample is rejected")
        config = read_config(self.session.subject.folder)
        assert isinstance(config, GenerateConfig)
        self.look.jobs.begin(partial(self._redraw, config, numbers))
        return JSONResponse({"samples": len(numbers)}, 202)

    def _redraw(self, config: GenerateConfig, numbers: list[int], job: Job) -> dict[str, Any]:
        with ALONE:
            self.drawing = True
        try:
            return redraw(self.session, config, numbers, job)
        finally:
            with ALONE:
                self.drawing = False
            for cache in (self.look.thumbs, self.tuners, self.captured, self.segmented):
                cache.clear()
