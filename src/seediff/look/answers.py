"""Answers the page's requests about a set and its samples, which are named by their number alone, and carries out its
changes.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import anyio
import msgspec
import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ..dataset.encoding import MOST_OBJECTS
from ..dataset.rows import OF_THE_MASK
from ..dataset.shapes.objects import find_objects
from ..errors import UserError
from ..files.documents import fit, parse_json
from ..files.label_maps import voc_palette
from ..masks.flags import explain_flag
from ..report.pictures import heat_colours
from .compare import Comparison
from .events import Cache, Events, Worker
from .index import Query
from .many import Jobs
from .samples import THUMB, image_bytes, thumbnail
from .session import Session, Stale

FRESH = {"cache-control": "no-store"}
"""Another set may be served at the same address."""
VIEWS = 16
"""Maximum number of lists of samples that are kept for windows."""
T = TypeVar("T")
_Number = Annotated[int, msgspec.Meta(ge=0)]


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An action on one sample: a verdict, undo or redo, class `old` changed to `new`, or the original mask restored."""

    version: _Number
    action: Literal["accept", "reject", "reset", "undo", "redo", "relabel", "original"]
    window: Annotated[str, msgspec.Meta(max_length=64)] = ""
    old: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    new: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0


class Painted(msgspec.Struct, frozen=True):
    """The description of a painted label map, whose bytes are the request's body."""

    version: _Number
    tool: Literal["brush", "eraser", "polygon", "fill", "segment", "cleaned"]
    window: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Many(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An action on many samples: those at `places`, ranges [from, to) of the list `view`. Or on the job that runs, to
    stop it, or on an earlier one, to undo it."""

    action: Literal["accept", "reject", "reset", "relabel", "stop", "undo"]
    view: Annotated[str, msgspec.Meta(max_length=64)] = ""
    places: tuple[tuple[_Number, _Number], ...] = ()
    old: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    new: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    job: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Page(msgspec.Struct, frozen=True):
    """A part of a list: `count` samples from place `begin` on."""

    begin: _Number
    count: Annotated[int, msgspec.Meta(ge=0, le=500)]


class Thumb(msgspec.Struct, frozen=True):
    """A thumbnail: the longer side's pixels, and whether the labels are drawn over the picture."""

    side: Annotated[int, msgspec.Meta(ge=1, le=2 * THUMB)] = THUMB
    labels: bool = True


NEITHER, UNCHANGED = "set to not reviewed", "unchanged"
VERDICTS: dict[str, Any] = {"accept": "accepted", "reject": "rejected", "reset": None}


class Look:
    """The answers about one session."""

    def __init__(self, session: Session, events: Events) -> None:
        self.session, self.events = session, events
        self.soon: Callable[[], None] = lambda: None
        """Called when a window opens."""
        self.worker = Worker()
        self.jobs = Jobs(session)
        self.views: Cache[np.ndarray] = Cache(VIEWS, lambda numbers: 1)
        self.thumbs: Cache[bytes] = Cache(64 << 20, len)
        self.decoding = anyio.CapacityLimiter(4)

    # The set as a whole.

    async def set_(self, request: Request) -> Response:
        return JSONResponse({**about(self.session), "palette": voc_palette(), "heat": heat_colours().ravel().tolist()})

    async def listen(self, request: Request) -> Response:
        self.soon()
        return StreamingResponse(self.events.listen(), media_type="text/event-stream", headers=FRESH)

    async def view(self, request: Request) -> Response:
        """A list of samples: its name, by which the page requests parts of the list, and counts. counts=1 in the
        address: only counts.
        """
        query = parse_json(await request.body(), Query, "the filter")

        def select() -> tuple[np.ndarray, dict[str, Any], dict[str, list[int]]]:
            with self.session.lock:
                return self.session.index.select(query)

        shown, counts, histograms = await run_in_threadpool(select)
        found = {"count": len(shown), "counts": counts, "histograms": histograms}
        if (
            request.query_params.get("counts") != "1"
        ):  # otherwise lists that no window shows would replace those that are shown
            found["view"] = hashlib.blake2b(shown.tobytes(), digest_size=12).hexdigest()
            self.views.put(found["view"], shown)
        return JSONResponse(found)

    async def page(self, request: Request) -> Response:
        """Part of a list: the number, name and state of each sample."""
        shown = self.shown(request.path_params["view"])
        part = asked(request, Page)
        with self.session.lock:
            rows = [
                {"name": self.session.subject.samples[i].name, **self.session.state(i)}
                for i in shown[part.begin :][: part.count].tolist()
            ]
        return JSONResponse({"samples": rows})

    async def place(self, request: Request) -> Response:
        """The position of a sample in a list; -1 if the list does not have it."""
        places = np.flatnonzero(self.shown(request.path_params["view"]) == request.path_params["number"])
        return JSONResponse({"place": int(places[0]) if len(places) else -1})

    def shown(self, name: str) -> np.ndarray:
        if (numbers := self.views.get(name)) is None:
            raise HTTPException(410, "the list is gone; ask for it again")
        return numbers

    # One sample.

    def number(self, request: Request) -> int:
        number = request.path_params["number"]
        if not 0 <= number < len(self.session.subject.samples):
            raise HTTPException(404, f"there is no sample {number}")
        return number

    async def sample(self, request: Request) -> Response:
        number = self.number(request)
        sample, row = self.session.subject.samples[number], self.session.row(number)
        shown = ("seed", "model", "method", "source", "split", "confidence", "agreement", "presence", "segments")
        return JSONResponse(
            {
                "name": sample.name,
                "prompt": str(row.get("prompt") or ""),
                "picture": sample.image is not None,
                "drawn": sample.drawn,
                "why": {flag: explain_flag(flag) for flag in row.get("flags") or ()},
                "about": {key: row[key] for key in shown if row.get(key) is not None},
                **self.session.state(number),
            }
        )

    async def thumb(self, request: Request) -> Response:
        number, wanted, subject = self.number(request), asked(request, Thumb), self.session.subject
        mask = self.session.mask(number)
        make = partial(thumbnail, subject, subject.samples[number], mask, labels=wanted.labels, side=wanted.side)
        made = partial(self.thumbs.made, (number, mask, wanted), make)
        data = await anyio.to_thread.run_sync(made, limiter=self.decoding)
        return Response(data, media_type="image/jpeg", headers=FRESH)

    async def image(self, request: Request) -> Response:
        subject = self.session.subject
        make = partial(image_bytes, subject, subject.samples[self.number(request)])
        data, kind = await anyio.to_thread.run_sync(make, limiter=self.decoding)
        return Response(data, media_type=kind, headers=FRESH)

    async def labels(self, request: Request) -> Response:
        """The current label map: one byte per pixel, row by row, packed by gzip."""
        number = self.number(request)
        version = self.session.history(
            number
        ).version  # read before the pixels, so that it is never newer than they are
        labels = await anyio.to_thread.run_sync(self.session.labels, number, limiter=self.decoding)
        return pack(labels, {"x-version": str(version)})

    async def pieces(self, request: Request) -> Response:
        """The objects of the current label map, or its connected pieces if no objects are known: two bytes per pixel,
        numbers from 1, 0 outside. Those beyond the 65,535th share the last number."""
        number = self.number(request)

        def make() -> np.ndarray:
            labels = self.session.labels(number)
            index = find_objects(labels, instances=self.session.instances(number, labels)).index
            return np.minimum(index + 1, MOST_OBJECTS).astype(np.uint16)

        version = self.session.history(number).version
        pieces = await anyio.to_thread.run_sync(make, limiter=self.decoding)
        return pack(pieces, {"x-version": str(version)})

    # Comparison with other masks.

    async def compared(self, request: Request) -> Response:
        """How much a sample's mask differs from the other mask, and IoU per class; and the IoUs over all samples
        compared so far.
        """
        number, comparison = self.number(request), self.comparison()
        found = await anyio.to_thread.run_sync(self.session.difference, number, limiter=self.decoding)
        one = {"different": round(found.different, 4), **comparison.scores(found.both, found.either)}
        return JSONResponse({"one": one, "all": comparison.total()})

    async def other(self, request: Request) -> Response:
        """The other label map of a sample, with the same ids, in the form of `labels`."""
        number, comparison = self.number(request), self.comparison()

        def read() -> np.ndarray:
            return comparison.labels(self.session.subject.samples[number].name, self.session.labels(number).shape)

        return pack(await anyio.to_thread.run_sync(read, limiter=self.decoding))

    def comparison(self) -> Comparison:
        if self.session.comparison is None:
            raise HTTPException(404, "there is no other set; --compare names it")
        return self.session.comparison

    # Changes to one sample.

    async def act(self, request: Request) -> Response:
        number, body = self.number(request), parse_json(await request.body(), Act, "the action")
        options: dict[str, Any] = {"window": body.window}
        if body.action in VERDICTS:
            options["verdict"] = VERDICTS[body.action]
        elif body.action == "relabel":
            options["labels"] = lambda present: np.where(present == body.old, np.uint8(body.new), present)
            options["detail"] = {"old": body.old, "new": body.new}
        return await self.answer(number, partial(self.session.act, number, body.version, body.action, **options))

    async def paint(self, request: Request) -> Response:
        """Save a painted label map. The body has its bytes, row by row, packed by zlib; the address has the fields of
        `Painted`.
        """
        number = self.number(request)
        painted, data = asked(request, Painted), await request.body()

        def read(present: np.ndarray) -> np.ndarray:
            return unpacked(data, present.shape)

        about: dict[str, Any] = {"window": painted.window, "detail": {"tool": painted.tool}}
        make = partial(self.session.act, number, painted.version, painted.tool, labels=read, **about)
        return await self.answer(number, make)

    # Changes to many samples.

    async def change_many(self, request: Request) -> Response:
        """Change the verdicts or the classes of many samples, in a job; or stop or undo one."""
        body = parse_json(await request.body(), Many, "the change")
        if body.action == "stop":
            self.jobs.stop.set()
            return JSONResponse({})
        if body.action == "undo":
            self.jobs.undo(body.job)
            return JSONResponse({}, 202)
        shown = self.shown(body.view)
        chosen = np.zeros(len(shown), bool)
        for begin, end in body.places:
            chosen[begin:end] = True
        numbers = shown[chosen].tolist()
        if body.action in VERDICTS:
            what = VERDICTS[body.action] or NEITHER
            change = partial(self._judge, VERDICTS[body.action], body)
        else:
            what, change = "relabelled", partial(self._relabel, body)
        self.jobs.start(numbers, what, change)
        return JSONResponse({"samples": len(numbers)}, 202)

    def _judge(self, verdict: Any, body: Many, number: int, detail: dict[str, Any]) -> str:
        history = self.session.history(number)
        if history.verdict == verdict:
            return UNCHANGED
        self.session.act(number, history.version, body.action, verdict=verdict, detail=detail)
        return verdict or NEITHER

    def _relabel(self, body: Many, number: int, detail: dict[str, Any]) -> str:
        version, labels = self.session.history(number).version, self.session.labels(number)
        if body.old == body.new or not (labels == body.old).any():
            return "without this class"
        detail = {"old": body.old, "new": body.new, **detail}
        changed = np.where(labels == body.old, np.uint8(body.new), labels)
        self.session.act(number, version, "relabel", labels=changed, detail=detail)
        return "relabelled"

    async def answer(self, number: int, act: Callable[[], dict[str, Any]]) -> Response:
        """A sample's new state; 409 with the current state if somebody else was faster."""
        try:
            return JSONResponse(await run_in_threadpool(act))
        except Stale:
            return JSONResponse({"error": "somebody else changed it meanwhile", **self.session.state(number)}, 409)


def about(session: Session) -> dict[str, Any]:
    """The set's summary for the page."""
    subject = session.subject
    return {
        "name": subject.folder.resolve().name,
        "classes": list(subject.classes),
        "count": len(subject.samples),
        "editable": subject.editable,
        **{key: any(sample.row.get(key) for sample in subject.samples) for key in OF_THE_MASK},
        "compared": session.comparison and session.comparison.about,
        "readOnly": session.read_only,
    }


def pack(labels: np.ndarray, headers: dict[str, str] | None = None) -> Response:
    """A response with a label map (H, W), uint8 or little-endian uint16: gzip bytes, which the browser itself unpacks,
    and headers with its height and width."""
    height, width = labels.shape
    data = gzip.compress(np.ascontiguousarray(labels).tobytes(), 1)
    return Response(
        data,
        media_type="application/octet-stream",
        headers={
            "content-encoding": "gzip",
            **FRESH,
            "x-height": str(height),
            "x-width": str(width),
            **(headers or {}),
        },
    )


def unpacked(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) uint8 from bytes packed by zlib. Raises UserError for any other number of pixels; at most one byte more is
    ever unpacked.
    """
    height, width = shape
    try:
        unpack = zlib.decompressobj()
        pixels = unpack.decompress(data, height * width + 1)
    except zlib.error as error:
        raise UserError(f"the label map's bytes are not packed by zlib ({error})") from error
    if len(pixels) != height * width or not unpack.eof or unpack.unused_data:
        raise UserError(f"the label map must have {height} × {width} bytes, one a pixel, and nothing behind them")
    return np.frombuffer(pixels, np.uint8).reshape(height, width)


def asked(request: Request, kind: type[T]) -> T:
    """What a request's address asks for, after its question mark."""
    return fit(dict(request.query_params), kind, "the address", strict=False)
