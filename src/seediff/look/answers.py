"""Answers the page's requests about a set and its samples, which are named by their number alone, and carries out its
changes.
"""

from __future__ import annotations

import gzip
import hashlib
import threading
import zlib
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ..dataset.encoding import MOST_OBJECTS
from ..dataset.reviews import Action
from ..dataset.rows import OF_THE_MASK
from ..dataset.shapes.objects import find_objects
from ..errors import UserError
from ..files.documents import fit, parse_json
from ..files.label_maps import voc_palette
from ..masks.flags import explain_flag
from ..report.pictures import heat_colours
from .events import Cache, Events
from .index import Query
from .many import UNCHANGED, Jobs
from .samples import THUMB, image_bytes, thumbnail
from .session import Session

FRESH = {"cache-control": "no-store"}
"""Another set may be served at the same address."""
AFTER = 1.5
VIEWS = 16
"""Maximum number of lists of samples that are kept for windows."""
T = TypeVar("T")
Number = Annotated[int, msgspec.Meta(ge=0)]
Label = Annotated[int, msgspec.Meta(ge=0, le=255)]
Name = Annotated[str, msgspec.Meta(max_length=64)]


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An action on one sample: a verdict, undo or redo, class `old` changed to `new`, or the original mask restored."""

    version: Number
    action: Literal["accept", "reject", "reset", "undo", "redo", "relabel", "original"]
    window: Name = ""
    old: Label = 0
    new: Label = 0


class Painted(msgspec.Struct, frozen=True):
    """The description of a painted label map, whose bytes are the request's body."""

    version: Number
    tool: Literal["brush", "eraser", "polygon", "fill", "segment", "cleaned"]
    window: Name = ""


class Many(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An action on many samples: those at `places`, ranges [from, to) of the list `view`. Or on the job that runs, to
    stop it, or on an earlier one, to undo it."""

    action: Literal["accept", "reject", "reset", "relabel", "stop", "undo"]
    view: Name = ""
    places: tuple[tuple[Number, Number], ...] = ()
    old: Label = 0
    new: Label = 0
    job: Name = ""


class NewClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class that the set is to have besides its own."""

    name: Name


class Page(msgspec.Struct, frozen=True):
    """A part of a list: `count` samples from place `begin` on."""

    begin: Number
    count: Annotated[int, msgspec.Meta(ge=0, le=500)]


class Thumb(msgspec.Struct, frozen=True):
    """A thumbnail: the longer side's pixels, and whether the labels are drawn over the picture."""

    side: Annotated[int, msgspec.Meta(ge=1, le=2 * THUMB)] = THUMB
    labels: bool = True


NEITHER = "cleared"
VERDICTS: dict[str, Any] = {"accept": "accepted", "reject": "rejected", "reset": None}


class Look:
    """The answers about one session. Each is made in a thread of its own, from the request, and its body if it is a
    POST."""

    def __init__(self, session: Session, events: Events) -> None:
        self.session, self.events = session, events
        self.jobs = Jobs(session)
        self.views: Cache[np.ndarray] = Cache(VIEWS, lambda numbers: 1)
        self.thumbs: Cache[bytes] = Cache(64 << 20, len)
        self.decoding = threading.Semaphore(4)
        self.soon: Callable[[], Any] = lambda: None
        """Called AFTER seconds after a window was opened."""

    # The set as a whole.

    def set_(self, request: Request) -> Response:
        session = self.session
        subject = session.subject
        return JSONResponse(
            {
                "name": subject.folder.resolve().name,
                "classes": list(subject.classes),
                "count": len(subject.samples),
                "byObject": subject.by_object,
                **{key: any(sample.metadata.get(key) for sample in subject.samples) for key in OF_THE_MASK},
                "readOnly": session.read_only,
                "palette": voc_palette(),
                "heat": heat_colours().ravel().tolist(),
            }
        )

    def listen(self, request: Request) -> Response:
        soon = threading.Timer(AFTER, self.soon)
        soon.daemon = True
        soon.start()
        return StreamingResponse(self.events.listen(), media_type="text/event-stream", headers=FRESH)

    def view(self, request: Request, body: bytes) -> Response:
        """A list of samples: its name, by which the page requests parts of the list, and counts. counts=1 in the
        address: only counts, so that no list that a window shows is forgotten.
        """
        query = parse_json(body, Query, "the filter")
        with self.session.lock:
            shown, counts, histograms = self.session.index.select(query)
        found = {"count": len(shown), "counts": counts, "histograms": histograms}
        if request.query_params.get("counts") != "1":
            found["view"] = hashlib.blake2b(shown.tobytes(), digest_size=12).hexdigest()
            self.views.put(found["view"], shown)
        return JSONResponse(found)

    def page(self, request: Request) -> Response:
        """Part of a list: the number, name and state of each sample."""
        shown, part = self.shown(request.path_params["view"]), asked(request, Page)
        with self.session.lock:
            rows = [
                {"name": self.session.subject.samples[i].name, **self.session.state(i)}
                for i in shown[part.begin :][: part.count].tolist()
            ]
        return JSONResponse({"samples": rows})

    def place(self, request: Request) -> Response:
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

    def sample(self, request: Request) -> Response:
        number = self.number(request)
        sample, row = self.session.subject.samples[number], self.session.row(number)
        shown = ("seed", "model", "method", "source", "split", "confidence", "agreement", "presence")
        return JSONResponse(
            {
                "name": sample.name,
                "prompt": str(row.get("prompt") or ""),
                "why": {flag: explain_flag(flag) for flag in row.get("flags") or ()},
                "about": {key: row[key] for key in shown if row.get(key) is not None},
                **self.session.state(number),
            }
        )

    def thumb(self, request: Request) -> Response:
        number, wanted = self.number(request), asked(request, Thumb)
        with self.decoding:
            data = self.thumbs.made(
                (number, self.session.mask(number), wanted), partial(self.thumbnail, number, wanted)
            )
        return Response(data, media_type="image/jpeg", headers=FRESH)

    def thumbnail(self, number: int, wanted: Thumb) -> bytes:
        session = self.session
        labels = session.labels(number) if wanted.labels else None
        objects = None
        if labels is not None and session.subject.by_object:
            objects = session.instances(number, labels)
        return thumbnail(session.subject.samples[number], labels, objects, wanted.side)

    def image(self, request: Request) -> Response:
        with self.decoding:
            data, kind = image_bytes(self.session.subject.samples[self.number(request)])
        return Response(data, media_type=kind, headers=FRESH)

    def labels(self, request: Request) -> Response:
        """The current label map: one byte per pixel, row by row, packed by gzip."""
        number = self.number(request)
        version = self.session.history(number).version  # first, so that it is never newer than the pixels
        with self.decoding:
            return pack(self.session.labels(number), {"x-version": str(version)})

    def pieces(self, request: Request) -> Response:
        """The objects of the current label map, or its connected pieces if no objects are known: two bytes per pixel,
        numbers from 1, 0 outside. Those beyond the 65,535th share the last number."""
        number = self.number(request)
        version = self.session.history(number).version
        with self.decoding:
            labels = self.session.labels(number)
            index = find_objects(labels, instances=self.session.instances(number, labels)).index
            pieces = np.minimum(index + 1, MOST_OBJECTS).astype(np.uint16)
        return pack(pieces, {"x-version": str(version)})

    # Changes.

    def act(self, request: Request, body: bytes) -> Response:
        number, act = self.number(request), parse_json(body, Act, "the action")
        options: dict[str, Any] = {}
        if act.action in VERDICTS:
            options["verdict"] = VERDICTS[act.action]
        elif act.action == "relabel":
            options["labels"] = lambda present: np.where(present == act.old, np.uint8(act.new), present)
            options["detail"] = {"old": act.old, "new": act.new}
        return JSONResponse(self.session.act(number, act.version, act.action, window=act.window, **options))

    def paint(self, request: Request, body: bytes) -> Response:
        """Save a painted label map. The body has its bytes, row by row, packed by zlib; the address has the fields of
        `Painted`.
        """
        number, painted = self.number(request), asked(request, Painted)
        about: dict[str, Any] = {"window": painted.window, "detail": {"tool": painted.tool}}
        return JSONResponse(
            self.session.act(number, painted.version, painted.tool, labels=partial(unpacked, body), **about)
        )

    def add_class(self, request: Request, body: bytes) -> Response:
        self.session.add_class(parse_json(body, NewClass, "the class").name)
        return self.set_(request)

    def change_many(self, request: Request, body: bytes) -> Response:
        """Change the verdicts or the classes of many samples, in a job; or stop or undo one."""
        many = parse_json(body, Many, "the change")
        if many.action == "stop":
            self.jobs.stop.set()
            return JSONResponse({})
        if many.action == "undo":
            self.jobs.undo(many.job)
            return JSONResponse({}, 202)
        shown = self.shown(many.view)
        chosen = np.zeros(len(shown), bool)
        for begin, end in many.places:
            chosen[begin:end] = True
        numbers = shown[chosen].tolist()
        if many.action in VERDICTS:
            self.jobs.start(numbers, VERDICTS[many.action] or NEITHER, partial(self._judge, many.action))
        else:
            self.jobs.start(numbers, "relabelled", partial(self._relabel, many.old, many.new))
        return JSONResponse({"samples": len(numbers)}, 202)

    def _judge(self, action: str, number: int, detail: dict[str, Any]) -> Action | str | None:
        history, verdict = self.session.history(number), VERDICTS[action]
        if history.verdict == verdict:
            return UNCHANGED
        return self.session.prepare(number, history.version, action, verdict=verdict, detail=detail)

    def _relabel(self, old: int, new: int, number: int, detail: dict[str, Any]) -> Action | str | None:
        version, labels = self.session.history(number).version, self.session.labels(number)
        if old == new or not (labels == old).any():
            return "without this class"
        changed = np.where(labels == old, np.uint8(new), labels)
        detail = {"old": old, "new": new, **detail}
        return self.session.prepare(number, version, "relabel", labels=changed, detail=detail)


def pack(labels: np.ndarray, headers: dict[str, str] | None = None) -> Response:
    """A response with a label map (H, W), uint8 or little-endian uint16: gzip bytes, which the browser itself unpacks,
    and headers with its height and width."""
    height, width = labels.shape
    about = {"content-encoding": "gzip", **FRESH, "x-height": str(height), "x-width": str(width), **(headers or {})}
    data = gzip.compress(np.ascontiguousarray(labels).tobytes(), 1)
    return Response(data, media_type="application/octet-stream", headers=about)


def unpacked(data: bytes, present: np.ndarray) -> np.ndarray:
    """(H, W) uint8, of the shape of `present`, from bytes packed by zlib. Raises UserError for any other number of
    pixels; at most one byte more is ever unpacked.
    """
    height, width = present.shape
    unpack = zlib.decompressobj()
    try:
        pixels = unpack.decompress(data, height * width + 1)
    except zlib.error as error:
        raise UserError(f"the label map's bytes are not packed by zlib ({error})") from error
    if len(pixels) != height * width or not unpack.eof or unpack.unused_data:
        raise UserError(f"the label map must have {height} × {width} bytes, one per pixel, and nothing after them")
    return np.frombuffer(pixels, np.uint8).reshape(height, width)


def asked(request: Request, kind: type[T]) -> T:
    """What a request's address asks for, after its question mark."""
    return fit(dict(request.query_params), kind, "the address", strict=False)
