"""Answers the page's requests about a set and its samples, which are named by their number alone, and carries out its
changes.
"""

from __future__ import annotations

import gzip
import hashlib
import threading
import zlib
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..dataset.encoding import MOST_OBJECTS
from ..dataset.reviews import Verdict
from ..dataset.rows import OF_THE_MASK
from ..dataset.sample import Sample
from ..dataset.shapes.objects import find_objects
from ..drawing.colours import mask_colours
from ..drawing.overlays import heat_colours
from ..errors import UserError
from ..files.documents import fit, parse_json
from ..masks.flags import explain_flag
from .events import Cache
from .index import Query
from .jobs import UNCHANGED, Jobs
from .samples import THUMB, image_bytes, thumbnail
from .session import KEEP, Edit, Prepared, Session

FRESH = {"cache-control": "no-store"}
"""Another set may be served at the same address."""
VIEWS = 16
"""Maximum number of lists of samples that are kept for windows."""
ABOUT = ("seed", "model", "method", "source", "split", "confidence", "agreement", "presence")
"""Fields of a sample's row that the page shows as they are."""
VERDICTS: dict[str, Verdict | None] = {"accept": "accepted", "reject": "rejected", "reset": None}
NEITHER = "cleared"
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


class ActOnMany(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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


class ListPart(msgspec.Struct, frozen=True):
    """A part of a list: `count` samples from place `begin` on."""

    begin: Number
    count: Annotated[int, msgspec.Meta(ge=0, le=500)]


class Thumb(msgspec.Struct, frozen=True):
    """A thumbnail: the longer side's pixels, and whether the labels are drawn over the picture."""

    side: Annotated[int, msgspec.Meta(ge=1, le=2 * THUMB)] = THUMB
    labels: bool = True


class SetAnswers:
    """The answers about one session. Each is made in a thread of its own, from the request, and its body if it is a
    POST."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.jobs = Jobs(session)
        self.views: Cache[np.ndarray] = Cache(VIEWS, lambda numbers: 1)
        self.thumbs: Cache[bytes] = Cache(64 << 20, len)
        self.decoding = threading.Semaphore(4)

    # The set as a whole.

    def describe(self, request: Request) -> Response:
        session, subject = self.session, self.session.subject
        return JSONResponse(
            {
                "name": subject.folder.resolve().name,
                "classes": list(subject.classes),
                "count": len(subject.samples),
                "byObject": subject.by_object,
                **{key: any(sample.metadata.get(key) for sample in subject.samples) for key in OF_THE_MASK},
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
        shown, part = self.shown(request.path_params["view"]), read_address(request, ListPart)
        numbers = shown[part.begin :][: part.count].tolist()
        with self.session.lock:
            samples = self.session.subject.samples
            rows = [{"name": title_of(samples[number]), **self.session.state(number)} for number in numbers]
        return JSONResponse({"samples": rows})

    def place(self, request: Request) -> Response:
        """The position of a sample in a list; -1 if the list does not have it."""
        places = np.flatnonzero(self.shown(request.path_params["view"]) == request.path_params["number"])
        return JSONResponse({"place": int(places[0]) if len(places) else -1})

    def shown(self, name: str) -> np.ndarray:
        """The numbers of the samples in a list."""
        numbers = self.views.get(name)
        if numbers is None:
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
        row = self.session.row(number)
        return JSONResponse(
            {
                "name": title_of(self.session.subject.samples[number]),
                "prompt": "" if row.get("source") else str(row.get("prompt") or ""),  # photographs do not show one
                "why": {flag: explain_flag(flag) for flag in row.get("flags") or ()},
                "about": {key: row[key] for key in ABOUT if row.get(key) is not None},
                **self.session.state(number),
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
            if session.subject.by_object:
                objects = session.instances(number, labels)
        return thumbnail(session.subject.samples[number], labels, objects, wanted.side)

    def image(self, request: Request) -> Response:
        with self.decoding:
            data, kind = image_bytes(self.session.subject.samples[self.number(request)])
        return Response(data, media_type=kind, headers=FRESH)

    def predicted(self, request: Request) -> Response:
        """The picture with the prediction that it is compared with."""
        number, against = self.number(request), self.session.against
        if against is None:
            raise HTTPException(404, "there are no predictions: seediff look SET --against PREDICTED")
        from .against import draw_prediction

        with self.decoding:
            data = draw_prediction(against, self.session.subject.samples[number])
        return Response(data, media_type="image/png", headers=FRESH)

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
        return JSONResponse(self.session.act(number, act.version, edit_of(act), act.window))

    def paint(self, request: Request, body: bytes) -> Response:
        """Save a painted label map. The body has its bytes, row by row, packed by zlib; the address has the fields of
        `Painted`.
        """
        number, painted = self.number(request), read_address(request, Painted)
        edit = Edit(painted.tool, labels=partial(unpack, body), detail={"tool": painted.tool})
        return JSONResponse(self.session.act(number, painted.version, edit, painted.window))

    def change_many(self, request: Request, body: bytes) -> Response:
        """Change the verdicts or the classes of many samples, in a job; or stop or undo one."""
        act = parse_json(body, ActOnMany, "the change")
        if act.action == "stop":
            self.jobs.stop.set()
            return JSONResponse({})
        if act.action == "undo":
            self.jobs.undo(act.job)
            return JSONResponse({}, 202)
        shown = self.shown(act.view)
        chosen = np.zeros(len(shown), bool)
        for begin, end in act.places:
            chosen[begin:end] = True
        numbers = shown[chosen].tolist()
        outcome = "relabelled" if act.action == "relabel" else VERDICTS[act.action] or NEITHER
        self.jobs.start(numbers, outcome, partial(self._edit_one, act))
        return JSONResponse({"samples": len(numbers)}, 202)

    def _edit_one(self, act: ActOnMany, number: int, detail: dict[str, Any]) -> Prepared | str | None:
        edit, history = edit_of(act), self.session.history(number)
        version = history.version  # read first, so that somebody who acts in between makes it stale
        if history.verdict == edit.verdict:
            return UNCHANGED
        if act.action == "relabel" and not (self.session.labels(number) == act.old).any():
            return "without this class"
        return self.session.prepare(number, version, replace(edit, detail={**edit.detail, **detail}))


def title_of(sample: Sample) -> str:
    """The file of a photograph, the name of a drawn picture."""
    return str(sample.metadata.get("source") or sample.name)


def edit_of(act: Act | ActOnMany) -> Edit:
    """What an action of the page changes."""
    if act.action == "relabel":
        labels = partial(change_class, act.old, act.new)
        return Edit(act.action, labels=labels, detail={"old": act.old, "new": act.new})
    return Edit(act.action, VERDICTS.get(act.action, KEEP))


def change_class(old: int, new: int, labels: np.ndarray) -> np.ndarray:
    """The label map (H, W) uint8 with one class in place of another."""
    return np.where(labels == old, np.uint8(new), labels)


def pack(labels: np.ndarray, headers: dict[str, str] | None = None) -> Response:
    """A response with a label map (H, W), uint8 or little-endian uint16: gzip bytes, which the browser itself unpacks,
    and headers with its height and width."""
    height, width = labels.shape
    about = {"content-encoding": "gzip", **FRESH, "x-height": str(height), "x-width": str(width), **(headers or {})}
    data = gzip.compress(np.ascontiguousarray(labels).tobytes(), 1)
    return Response(data, media_type="application/octet-stream", headers=about)


def unpack(data: bytes, present: np.ndarray) -> np.ndarray:
    """(H, W) uint8, of the shape of `present`, from bytes packed by zlib. Raises UserError for any other number of
    pixels; at most one byte more is ever unpacked.
    """
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
    """What a request's address asks for, after its question mark."""
    return fit(dict(request.query_params), kind, "the address", strict=False)
