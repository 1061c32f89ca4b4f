"""Answers the page's requests about the set and its samples, and carries out changes. An answer is a function of the
store and the request; it returns JSON or a response.
"""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, Struct
from starlette.responses import Response

from ..config.class_names import SEGMENT
from ..dataset.shapes.changes import clean_labels
from ..dataset.shapes.cuts import cut, join
from ..drawing.colours import heat_colours, mask_colours, shown_ids
from ..errors import UserError
from ..files.label_maps import IGNORE
from ..files.reading import Byte, Json, real
from ..rows.row import IN_VIEWER, SCORES
from ..rows.values import explain_flag
from .sample_pictures import THUMB, image_bytes, thumbnail
from .store import DOUBT, Edit, Store

DECODING = threading.Semaphore(4)
"""Limits how many pictures are in memory at once."""
Number = Annotated[int, Meta(ge=0)]
Pairs = Annotated[tuple[tuple[Number, Number], ...], Meta(max_length=1000)]
"""(number, version) of samples. The page sends twenty at once: a request must not keep others waiting."""
Name = Annotated[str, Meta(max_length=64)]


# What the page asks for: parameters in the path, and in the address or the body.


class Request(Struct, kw_only=True):
    """A request without parameters."""


class NewClass(Request, forbid_unknown_fields=True):
    """Add a class to the set."""

    name: Name


class OfSample(Request):
    number: Number


class Thumb(OfSample):
    """A thumbnail. side: its longer side in pixels. labels: whether to draw the mask."""

    side: Annotated[int, Meta(ge=1, le=2 * THUMB)] = THUMB
    labels: bool = True


class Act(Request, forbid_unknown_fields=True):
    """Change samples. samples: the number of each, and the version that the page shows. old, new: "relabel" changes
    class `old` to `new`. least: "cleaned" removes pieces of fewer pixels. to: number → the version that "undo" and
    "redo" restore. points: (x, y) of the stroke of "cut", or in the objects that "join" joins."""

    samples: Pairs
    action: Literal["accept", "reject", "reset", "undo", "redo", "relabel", "cleaned", "cut", "join"]
    least: Annotated[int, Meta(ge=2, le=100_000)] = 2
    old: Byte = 0
    new: Byte = 0
    to: dict[str, Number] = {}
    points: tuple[tuple[float, float], ...] = ()


class Paint(OfSample):
    """Save a painted label map. version: that which the page shows. pixels: the body, one byte per pixel, row by row,
    packed by zlib."""

    version: Number
    tool: Literal["brush", "eraser", "polygon", "fill", "segment"]
    pixels: bytes


# The set as a whole.


def describe(store: Store, request: Request) -> Json:
    """The set. A score's `sure` is that of a mask which a person drew."""
    scores = list[Json]()
    for key, score in SCORES.items():
        if any(getattr(sample.row, key) for sample in store.samples):
            scores.append({"name": key, "title": score.title, "help": score.help, "least": score.worst, "sure": 1})
    if scores:
        about = "1: the lowest support or confidence of the set; what nobody has judged comes first"
        scores.append({"name": DOUBT, "title": "Doubt, 0 to 1", "help": about, "least": 0, "sure": 0})
    return {
        "name": real(store.folder).name,
        "classes": list(store.classes),
        "byObject": SEGMENT in store.classes,  # segments without a name have a colour each
        "scores": scores,
        "readOnly": store.read_only,
        "changed": store.changed_since(),
        "palette": mask_colours().ravel().tolist(),
        "heat": heat_colours().ravel().tolist(),
    }


def samples(store: Store, request: Request) -> Json:
    """What the page shows of all samples, and their texts, which it searches."""
    found: list[Json] = []
    for number, one in enumerate(store.samples):
        texts = (one.row.prompt, one.row.source, one.name)
        found.append({"text": "\n".join(str(text or "") for text in texts), **store.for_page(number)})
    return {"samples": found}


def add_class(store: Store, request: NewClass) -> Json:
    store.add_class(request.name)
    return describe(store, request)


# One sample.


def sample(store: Store, request: OfSample) -> Json:
    row = store.state(request.number).row(store.classes)
    facts = {key: getattr(row, key) for key in IN_VIEWER}
    return {
        "prompt": "" if row.source else row.prompt or "",  # photographs show no prompt
        "why": {flag: explain_flag(flag) for flag in row.flag_list},
        "facts": {key: value for key, value in facts.items() if value is not None},
        **store.for_page(request.number),
    }


def thumb(store: Store, request: Thumb) -> Response:
    state = store.state(request.number)

    def draw() -> bytes:
        labels = objects = None
        if request.labels:
            labels = store.labels(state)
            if SEGMENT in store.classes:
                objects = store.reviewed(state).instances
        return thumbnail(state.sample, labels, objects, request.side)

    with DECODING:
        shown = state.number, state.mask, state.last.objects, request.side, request.labels
        data = store.thumbs.get_or_make(shown, draw)
    return Response(data, media_type="image/jpeg")


def image(store: Store, request: OfSample) -> Response:
    with DECODING:
        data, kind = image_bytes(store.state(request.number).sample)
    return Response(data, media_type=kind)


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
        numbers = store.reviewed(state).objects(labels).numbers
        if SEGMENT in store.classes and len(store.classes) > 1:
            shown = shown_ids(labels, numbers, store.classes.index(SEGMENT) + 1, alone=False)
        else:
            shown = shown_ids(np.where(labels == IGNORE, labels, 0), numbers, 0, alone=True)
        return pack(shown, {"x-version": str(state.version)})


# Changes.


def act(store: Store, request: Act) -> Json:
    return store.act(request.samples, lambda state: edit_of(request, state.number))


def paint(store: Store, request: Paint) -> Json:
    edit = Edit(request.tool, partial(unpack, request.pixels))
    return store.act([(request.number, request.version)], lambda state: edit)


def edit_of(request: Act, number: int) -> Edit:
    """The edit of a sample that an action on the page stands for."""
    if request.action == "relabel":
        old, new = request.old, np.uint8(request.new)
        return Edit("relabel", lambda labels: np.where(labels == old, new, labels))
    if request.action == "cleaned":
        return Edit("cleaned", lambda labels: clean_labels(labels, request.least))
    divide = {"cut": cut, "join": join}.get(request.action)
    if divide:
        return Edit(request.action, objects=partial(divide, points=request.points))
    return Edit(request.action, to=request.to.get(str(number)))


def pack(labels: np.ndarray, headers: Mapping[str, str] = {}) -> Response:
    """A response with a label map, packed by gzip, which the browser unpacks. The headers x-height and x-width have its
    size. labels: (H, W), uint8 or little-endian uint16. headers: more headers."""
    height, width = labels.shape
    about = {"content-encoding": "gzip", "x-height": str(height), "x-width": str(width), **headers}
    data = gzip.compress(np.ascontiguousarray(labels).tobytes(), 1)
    return Response(data, headers=about, media_type="application/octet-stream")


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
