"""Answers the page's requests about the set and its samples, and carries out changes. A request names a sample by its
number.
"""

from __future__ import annotations

import gzip
import hashlib
import threading
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..dataset.reviews import Verdict
from ..dataset.shapes.objects import find_objects
from ..drawing.overlays import heat_colours, mask_colours
from ..errors import UserError
from ..files.reading import fit, parse_json, real
from ..rows.flags import explain_flag
from ..rows.row import LISTED, SHOWN, said
from .events import Cache
from .index import Query
from .jobs import Jobs
from .pictures import THUMB, draw_prediction, image_bytes, thumbnail
from .store import KEEP, Edit, Prepared, Session

FRESH = {"cache-control": "no-store"}
"""A header that forbids the browser to keep an answer, because another set may have the same address later."""
VIEWS = 16
"""Maximum number of lists in memory. A list has the samples that match a window's filters."""
VERDICTS: dict[str, Verdict | None] = {"accept": "accepted", "reject": "rejected", "reset": None}
"""Action → the verdict that it gives."""
OUTCOMES = {"accept": "accepted", "reject": "rejected", "reset": "cleared", "relabel": "relabelled"}
"""Action → what a job's report calls a sample after it."""
T = TypeVar("T")
Number = Annotated[int, msgspec.Meta(ge=0)]
Label = Annotated[int, msgspec.Meta(ge=0, le=255)]
Name = Annotated[str, msgspec.Meta(max_length=64)]


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a request to act on one sample. version: the version that the page shows. window: the name of the window.
    old, new: "relabel" changes class `old` to `new`."""

    version: Number
    action: Literal["accept", "reject", "reset", "undo", "redo", "relabel"]
    window: Name = ""
    old: Label = 0
    new: Label = 0


class Painted(msgspec.Struct, frozen=True):
    """Query parameters of a request to save a painted label map, whose bytes are the body."""

    version: Number
    tool: Literal["brush", "eraser", "polygon", "fill", "segment", "cleaned"]
    window: Name = ""


class ActOnMany(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a request to act on many samples, to "stop" the running job, or to "undo" an ended job."""

    action: Literal["accept", "reject", "reset", "relabel", "stop", "undo"]
    view: Name = ""
    """The name of the list that has the samples."""
    places: tuple[tuple[Number, Number], ...] = ()
    """The places of the samples in the list, as ranges (begin, end) without the end."""
    old: Label = 0
    new: Label = 0
    job: Name = ""
    """The name of the job to undo."""


class NewClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a request to add a class to the set."""

    name: Name


class ListPart(msgspec.Struct, frozen=True):
    """Query parameters of a request for a part of a list: `count` samples, from place `begin` on."""

    begin: Number
    count: Annotated[int, msgspec.Meta(ge=0, le=500)]


class Thumb(msgspec.Struct, frozen=True):
    """Query parameters of a request for a thumbnail. side: its longer side in pixels. labels: whether to draw the
    mask."""

    side: Annotated[int, msgspec.Meta(ge=1, le=2 * THUMB)] = THUMB
    labels: bool = True


class SetAnswers:
    """The answers about a session's set and its samples. Each method takes the request and, for a POST, its body, and
    returns the response. The server calls the methods in threads."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.jobs = Jobs(session)
        self.views: Cache[np.ndarray] = Cache(VIEWS)
        self.thumbs: Cache[bytes] = Cache(64 << 20, len)
        self.decoding = threading.Semaphore(4)

    # The set as a whole.

    def describe(self, request: Request) -> Response:
        session, dataset = self.session, self.session.dataset
        rows = [sample.row for sample in dataset.samples]
        known = [key for key in LISTED if any(said(getattr(row, key)) for row in rows)]
        return JSONResponse(
            {
                "name": real(dataset.folder).name,
                "classes": list(dataset.classes),
                "count": len(dataset.samples),
                "byObject": dataset.by_object,
                "scores": [{"name": key, **vars(LISTED[key])} for key in known],
                "against": session.against is not None,
                "readOnly": session.read_only,
                "palette": mask_colours().ravel().tolist(),
                "heat": heat_colours().ravel().tolist(),
            }
        )

    def add_class(self, request: Request, body: bytes) -> Response:
        self.session.add_class(parse_json(body, NewClass, "the class").name)
        return self.describe(request)

    def view(self, request: Request, body: bytes) -> Response:
        """The samples that match the filters: their number, counts for each filter, histograms, and the name of their
        list. The page uses this name to ask for parts of the list."""
        query = parse_json(body, Query, "the filter")
        with self.session.lock:
            shown, counts, histograms = self.session.index.select(query)
        name = hashlib.blake2b(shown.tobytes(), digest_size=12).hexdigest()
        self.views.put(name, shown)
        return JSONResponse({"view": name, "count": len(shown), "counts": counts, "histograms": histograms})

    def page(self, request: Request) -> Response:
        """A part of a list: for each of its samples what `Session.for_page` returns."""
        shown, part = self.shown(request.path_params["view"]), read_address(request, ListPart)
        numbers = shown[part.begin :][: part.count].tolist()
        with self.session.lock:
            rows = [self.session.for_page(number) for number in numbers]
        return JSONResponse({"samples": rows})

    def place(self, request: Request) -> Response:
        """The place of a sample in a list; −1 if the list lacks the sample."""
        places = np.flatnonzero(self.shown(request.path_params["view"]) == request.path_params["number"])
        return JSONResponse({"place": int(places[0]) if len(places) else -1})

    def shown(self, name: str) -> np.ndarray:
        """The samples in a list that a page shows, as their numbers in the set. name: the list's name, which the page
        sends back. Raises HTTPException if the server has forgotten the list."""
        numbers = self.views.get(name)
        if numbers is None:
            raise HTTPException(410, "the list is gone; ask for it again")
        return numbers

    # One sample.

    def number(self, request: Request) -> int:
        number = request.path_params["number"]
        if number >= len(self.session.dataset.samples):
            raise HTTPException(404, f"there is no sample {number}")
        return number

    def sample(self, request: Request) -> Response:
        number = self.number(request)
        row = self.session.row(number)
        about = {key: said(getattr(row, key)) for key in SHOWN}
        return JSONResponse(
            {
                "prompt": "" if said(row.source) else said(row.prompt) or "",  # photographs show no prompt
                "why": {flag: explain_flag(flag) for flag in row.raised},
                "about": {key: value for key, value in about.items() if value is not None},
                **self.session.for_page(number),
            }
        )

    def thumb(self, request: Request) -> Response:
        number, wanted = self.number(request), read_address(request, Thumb)
        key = number, self.session.mask(number), wanted
        with self.decoding:
            data = self.thumbs.get_or_make(key, partial(self.draw_thumb, number, wanted))
        return Response(data, media_type="image/jpeg", headers=FRESH)

    def draw_thumb(self, number: int, wanted: Thumb) -> bytes:
        session = self.session
        labels = objects = None
        if wanted.labels:
            labels = session.labels(number)
            if session.dataset.by_object:
                objects = session.instances(number, labels)
        return thumbnail(session.dataset.samples[number], labels, objects, wanted.side)

    def image(self, request: Request) -> Response:
        with self.decoding:
            data, kind = image_bytes(self.session.dataset.samples[self.number(request)])
        return Response(data, media_type=kind, headers=FRESH)

    def predicted(self, request: Request) -> Response:
        """The sample's picture with its prediction."""
        number, against = self.number(request), self.session.against
        if against is None:
            raise HTTPException(404, "there are no predictions: seediff look SET --against PREDICTED")
        with self.decoding:
            data = draw_prediction(against, self.session.dataset.samples[number])
        return Response(data, media_type="image/png", headers=FRESH)

    def labels(self, request: Request) -> Response:
        """The current label map: one byte per pixel, row by row, packed by gzip."""
        number = self.number(request)
        version = self.session.history(number).version  # first, so that it is never newer than the pixels
        with self.decoding:
            return pack(self.session.labels(number), {"x-version": str(version)})

    def pieces(self, request: Request) -> Response:
        """The current label map with an id for each object, as `OpenedSet.shown_objects` makes it. If the set records
        no objects, each connected piece is an object."""
        number = self.number(request)
        version = self.session.history(number).version
        with self.decoding:
            labels = self.session.labels(number)
            numbers = find_objects(labels, known=self.session.instances(number, labels)).numbers
            return pack(self.session.dataset.shown_objects(labels, numbers), {"x-version": str(version)})

    # Changes.

    def act(self, request: Request, body: bytes) -> Response:
        number, act = self.number(request), parse_json(body, Act, "the action")
        return JSONResponse(self.session.act(number, act.version, edit_of(act), act.window))

    def paint(self, request: Request, body: bytes) -> Response:
        """Save a painted label map. The body has one byte per pixel, row by row, packed by zlib."""
        number, painted = self.number(request), read_address(request, Painted)
        edit = Edit(painted.tool, labels=partial(unpack, body), detail={"tool": painted.tool})
        return JSONResponse(self.session.act(number, painted.version, edit, painted.window))

    def change_many(self, request: Request, body: bytes) -> Response:
        """Start a job that changes the verdicts or classes of many samples; or stop or undo a job."""
        act = parse_json(body, ActOnMany, "the change")
        if act.action == "stop":
            self.jobs.stop.set()
            return JSONResponse({})
        if act.action == "undo":
            return self.jobs.undo(act.job)
        shown = self.shown(act.view)
        chosen = np.zeros(len(shown), bool)
        for begin, end in act.places:
            chosen[begin:end] = True
        numbers = shown[chosen].tolist()
        return self.jobs.start(numbers, OUTCOMES[act.action], partial(self._edit_one, act))

    def _edit_one(self, act: ActOnMany, number: int, detail: dict[str, Any]) -> Prepared | str | None:
        """A sample's action; None if it has the verdict already; or the reason why the sample is left out."""
        edit, history = edit_of(act), self.session.history(number)
        version = history.version  # read first: if somebody acts in between, the action is stale
        if history.verdict == edit.verdict:
            return None
        if act.action == "relabel" and not (self.session.labels(number) == act.old).any():
            return "without this class"
        return self.session.prepare(number, version, replace(edit, detail={**edit.detail, **detail}))


def edit_of(act: Act | ActOnMany) -> Edit:
    """The edit that an action on the page stands for."""
    if act.action == "relabel":
        labels = partial(change_class, act.old, act.new)
        return Edit(act.action, labels=labels, detail={"old": act.old, "new": act.new})
    return Edit(act.action, VERDICTS.get(act.action, KEEP))


def change_class(old: int, new: int, labels: np.ndarray) -> np.ndarray:
    """(H, W) uint8: a label map with class `new` in place of `old`."""
    return np.where(labels == old, np.uint8(new), labels)


def pack(labels: np.ndarray, headers: Mapping[str, str] = {}) -> Response:
    """A response with a label map, packed by gzip, which the browser unpacks. The headers x-height and x-width have its
    size. labels: (H, W), uint8 or little-endian uint16. headers: more headers."""
    height, width = labels.shape
    about = {"content-encoding": "gzip", **FRESH, "x-height": str(height), "x-width": str(width), **headers}
    data = gzip.compress(np.ascontiguousarray(labels).tobytes(), 1)
    return Response(data, media_type="application/octet-stream", headers=about)


def unpack(data: bytes, present: np.ndarray) -> np.ndarray:
    """(H, W) uint8: a label map. data: its bytes, packed by zlib. present: (H, W), a label map of the same shape.
    Raises UserError for another number of pixels. At most one byte too many is unpacked."""
    height, width = present.shape
    decompressor = zlib.decompressobj()
    try:
        pixels = decompressor.decompress(data, height * width + 1)
    except zlib.error as error:
        raise UserError(f"the label map's bytes are not packed by zlib ({error})") from error
    if len(pixels) != height * width or not decompressor.eof or decompressor.unused_data:
        raise UserError(f"the label map must have {height} × {width} bytes, one per pixel, and nothing after them")
    return np.frombuffer(pixels, np.uint8).reshape(height, width)


def read_address(request: Request, kind: type[T]) -> T:
    """The query parameters in a request's address. kind: the type to make from them. Raises UserError."""
    return fit(dict(request.query_params), kind, "the address", strict=False)
