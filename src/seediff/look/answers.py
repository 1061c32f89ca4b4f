"""Answers the page's requests about the set and its samples, and carries out changes. An answer is a function of the
store and the request; it returns JSON or a response.
"""

from __future__ import annotations

import gzip
import hashlib
import threading
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..config.class_names import BACKGROUND, SEGMENT
from ..dataset.shapes.changes import clean_labels, describe_removed, removed_pieces
from ..dataset.shapes.objects import find_objects
from ..drawing.overlays import heat_colours, mask_colours, shown_ids
from ..errors import UserError
from ..files.label_maps import IGNORE
from ..files.reading import Byte, Json, composed, real
from ..rows.flags import explain_flag
from ..rows.row import LISTED, SHOWN, said
from .index import Query
from .jobs import UNCHANGED, BulkJob, undo_job
from .sample_pictures import THUMB, draw_prediction, image_bytes, thumbnail
from .store import VERDICTS, Edit, SampleState, Store

FRESH = {"cache-control": "no-store"}
"""A header that forbids the browser to keep an answer, because another set may have the same address later."""
OUTCOMES = {"accept": "accepted", "reject": "rejected", "reset": "cleared", "relabel": "relabelled"}
"""Action → what a job's report calls a sample after it."""
DECODING = threading.Semaphore(4)
"""Limits how many pictures are in memory at once."""
Number = Annotated[int, Meta(ge=0)]
Name = Annotated[str, Meta(max_length=64)]

# What the page asks for: parameters in the path, and in the address or the body.


class Request(Struct, kw_only=True):
    """A request without parameters."""


class NewClass(Request, forbid_unknown_fields=True):
    """Add a class to the set."""

    name: Name


class RenameClass(Request, forbid_unknown_fields=True):
    """Give a class another name; "" removes it. join: join it with the class that has this name."""

    id: Byte
    name: Name
    join: bool = False


class ListPart(Request):
    """A part of a list: `count` samples, from place `begin` on."""

    view: Name
    begin: Number
    count: Annotated[int, Meta(ge=0, le=500)]


class Place(Request):
    """The place of a sample in a list."""

    view: Name
    number: Number


class OfSample(Request):
    number: Number


class Thumb(OfSample):
    """A thumbnail. side: its longer side in pixels. labels: whether to draw the mask."""

    side: Annotated[int, Meta(ge=1, le=2 * THUMB)] = THUMB
    labels: bool = True


class ChangeSample(OfSample):
    """Change one sample. version: the version that the page shows. window: the name of the window. once: the name of
    the request, which the page may send again."""

    version: Number
    window: Name = ""
    once: Name = ""


class Act(ChangeSample, kw_only=True, forbid_unknown_fields=True):
    """old, new: "relabel" changes class `old` to `new`. least: "cleaned" removes pieces of fewer pixels."""

    action: Literal["accept", "reject", "reset", "undo", "redo", "relabel", "cleaned"]
    least: Annotated[int, Meta(ge=2, le=100_000)] = 2
    old: Byte = 0
    new: Byte = 0


class Paint(ChangeSample, kw_only=True):
    """Save a painted label map."""

    tool: Literal["brush", "eraser", "polygon", "fill", "segment"]
    pixels: bytes
    """The body: one byte per pixel, row by row, packed by zlib."""


class ActOnMany(Request, forbid_unknown_fields=True):
    """Act on many samples, "stop" the running job, or "undo" an ended job."""

    action: Literal["accept", "reject", "reset", "relabel", "stop", "undo"]
    view: Name = ""
    """The name of the list that has the samples."""
    places: tuple[tuple[Number, Number], ...] = ()
    """The places of the samples in the list, as ranges (begin, end) without the end."""
    old: Byte = 0
    new: Byte = 0
    job: Name = ""
    """The name of the job to undo."""


# The set as a whole.


def describe(store: Store, request: Request) -> Json:
    rows = [sample.row for sample in store.samples]
    known = [key for key in LISTED if any(said(getattr(row, key)) for row in rows)]
    return {
        "name": real(store.folder).name,
        "classes": list(store.class_names.names),
        "count": len(store.samples),
        "byObject": SEGMENT in store.classes,  # segments without a name have a colour each
        "scores": [_score(key) for key in known],
        "against": store.against is not None,
        "readOnly": store.read_only,
        "palette": mask_colours().ravel().tolist(),
        "heat": heat_colours().ravel().tolist(),
    }


def _score(key: str) -> Json:
    listed = LISTED[key]
    return {"name": key, "title": listed.title, "help": listed.help, "least": min(listed.worst, listed.best)}


def add_class(store: Store, request: NewClass) -> Json:
    store.add_class(request.name)
    return describe(store, request)


def rename_class(store: Store, request: RenameClass) -> Json | Response:
    """The set with another name of a class. `join` starts a job instead, which gives the class of that name to all
    pixels of this one, and then removes this one. Raises UserError if the names have changed since the page decided
    which of the two it asks for."""
    name = composed(request.name)
    with store.lock:
        ids = store.index.ids
        if not 0 < request.id <= len(store.classes):
            raise UserError(f"there is no class {request.id}")
        is_taken = ids.get(name, request.id) != request.id
        if is_taken and not request.join:
            raise UserError(f"another class is called {name} now")
        if request.join and not is_taken:
            raise UserError(f"no other class is called {name} now")
        if not request.join:
            store.rename_class(request.id, name)
            return describe(store, request)
        edit = relabelling(request.id, ids[name])
        numbers = np.flatnonzero(store.index.present[:, request.id]).tolist()
        remove = partial(store.rename_class, request.id, "")
        return BulkJob(store, numbers, OUTCOMES["relabel"], lambda state: edit, then=remove).start()


def view(store: Store, request: Query) -> Json:
    """The samples that match the filters: their number, counts for each filter, histograms, and the name of their list.
    The page uses this name to ask for parts of the list."""
    with store.lock:
        shown, counts, histograms = store.index.select(request)
    name = hashlib.blake2b(shown.tobytes(), digest_size=12).hexdigest()
    store.views.put(name, shown)
    return {"view": name, "count": len(shown), "counts": counts, "histograms": histograms}


def page(store: Store, request: ListPart) -> Json:
    """A part of a list: for each of its samples what `Store.for_page` returns."""
    numbers = in_view(store, request.view)[request.begin :][: request.count].tolist()
    return {"samples": [store.for_page(number) for number in numbers]}


def place(store: Store, request: Place) -> Json:
    """The place of a sample in a list; −1 if the list lacks the sample."""
    places = np.flatnonzero(in_view(store, request.view) == request.number)
    return {"place": int(places[0]) if len(places) else -1}


def in_view(store: Store, name: str) -> np.ndarray:
    """The samples in a list that a page shows, as their numbers in the set. name: the list's name, which the page sends
    back. Raises HTTPException if the server has forgotten the list."""
    numbers = store.views.get(name)
    if numbers is None:
        raise HTTPException(410, "the list is gone; ask for it again")
    return numbers


# One sample.


def sample(store: Store, request: OfSample) -> Json:
    row = store.row(store.state(request.number))
    about = {key: said(getattr(row, key)) for key in SHOWN}
    return {
        "prompt": "" if said(row.source) else said(row.prompt) or "",  # photographs show no prompt
        "why": {flag: explain_flag(flag) for flag in row.raised},
        "about": {key: value for key, value in about.items() if value is not None},
        **store.for_page(request.number),
    }


def thumb(store: Store, request: Thumb) -> Response:
    state = store.state(request.number)

    def draw() -> bytes:
        labels = objects = None
        if request.labels:
            labels = store.labels(state)
            if SEGMENT in store.classes:
                objects = store.instances(state, labels)
        return thumbnail(state.sample, labels, objects, request.side)

    with DECODING:
        data = store.thumbs.get_or_make((state.number, state.mask, request.side, request.labels), draw)
    return Response(data, media_type="image/jpeg", headers=FRESH)


def image(store: Store, request: OfSample) -> Response:
    with DECODING:
        data, kind = image_bytes(store.state(request.number).sample)
    return Response(data, media_type=kind, headers=FRESH)


def predicted(store: Store, request: OfSample) -> Response:
    """The sample's picture with its prediction."""
    state = store.state(request.number)
    if store.against is None:
        raise HTTPException(404, "there are no predictions: seediff look SET --against PREDICTED")
    with DECODING:
        data = draw_prediction(store.against, state.sample, store.class_names.ids_of_names())
    return Response(data, media_type="image/png", headers=FRESH)


def labels(store: Store, request: OfSample) -> Response:
    """The current label map: one byte per pixel, row by row, packed by gzip."""
    state = store.state(request.number)
    with DECODING:
        return pack(store.labels(state), {"x-version": str(state.version)})


def pieces(store: Store, request: OfSample) -> Response:
    """The current label map with an id to show for each object, and so a colour of its own. If the set records no
    objects, each connected piece is an object. If it has both classes and segments without a name, only the segments
    are coloured by object."""
    state = store.state(request.number)
    with DECODING:
        labels = store.labels(state)
        numbers = find_objects(labels, known=store.instances(state, labels)).numbers
        if SEGMENT in store.classes and len(store.classes) > 1:
            shown = shown_ids(labels, numbers, store.classes.index(SEGMENT) + 1, alone=False)
        else:
            shown = shown_ids(np.where(labels == IGNORE, labels, 0), numbers, 0, alone=True)
        return pack(shown, {"x-version": str(state.version)})


# Changes.


def act(store: Store, request: Act) -> Json:
    """Act on a sample. The answer to "cleaned" says what was `removed`."""
    edit, removed = edit_of(request), list[str]()

    def clean(labels: np.ndarray) -> np.ndarray:
        after = clean_labels(labels, request.least)
        names = (BACKGROUND, *store.class_names.names)
        removed.append(describe_removed([removed_pieces(labels, after)], names))
        return after

    if request.action == "cleaned":
        edit = replace(edit, labels=clean, detail={"tool": "cleaned", "least": request.least})
    answer = store.act(request.number, request.version, edit, request.window, request.once)
    return {**answer, "removed": "".join(removed)}


def paint(store: Store, request: Paint) -> Json:
    edit = Edit(request.tool, partial(unpack, request.pixels), {"tool": request.tool})
    return store.act(request.number, request.version, edit, request.window, request.once)


def change_many(store: Store, request: ActOnMany) -> Json | Response:
    """Start a job that changes the verdicts or classes of many samples; or stop or undo a job."""
    if request.action == "stop":
        stop = store.stop
        if stop:
            stop.set()
        return {}
    if request.action == "undo":
        return undo_job(store, request.job)
    shown = in_view(store, request.view)
    chosen = np.zeros(len(shown), bool)
    for begin, end in request.places:
        chosen[begin:end] = True

    def edit_one(state: SampleState) -> Edit | str:
        if VERDICTS.get(request.action, "none") == state.last.verdict:
            return UNCHANGED
        if request.action == "relabel" and not (store.labels(state) == request.old).any():
            return "without this class"
        return edit_of(request)

    return BulkJob(store, shown[chosen].tolist(), OUTCOMES[request.action], edit_one).start()


def edit_of(request: Act | ActOnMany) -> Edit:
    """The edit that an action on the page stands for."""
    if request.action != "relabel":
        return Edit(request.action)
    return relabelling(request.old, request.new)


def relabelling(old: int, new: int) -> Edit:
    """The edit that makes class `new` of all pixels of class `old`."""
    value = np.uint8(new)
    return Edit("relabel", lambda labels: np.where(labels == old, value, labels), {"old": old, "new": new})


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
