"""Answers the page's questions about a sample's attention: where a pixel or a word attends, masks with other constants,
the steps of a mask, segments to click."""

from __future__ import annotations

from dataclasses import astuple
from functools import partial
from typing import Annotated, Any

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..config.methods import METHOD_FACTS
from ..dataset.reviews import REMADE
from ..files.reading import parse_json
from ..segments.aggregate import aggregate
from ..segments.diffseg import diffseg
from ..segments.labelling import label
from .answers import Name, Number, SetAnswers, pack, read_address
from .attention import find_words, pixel_maps, word_maps
from .events import Cache
from .set_attention import Constants, SetAttention, Tuner
from .store import Edit, Prepared

THRESHOLDS = (1.1, 0.8, 0.55, 0.4, 0.28, 0.2, 0.14, 0.1, 0.07, 0.05)
"""DiffSeg's thresholds for clickable segments, from coarse to fine. The paper has the first one; flatter attention
needs lower ones."""
FEW = 6
"""Minimum number of segments, unless the page names a threshold."""
MOST_POINTS = 16
"""Maximum number of DiffSeg's starting points along a side."""


class Pointed(msgspec.Struct, frozen=True):
    """Query parameters of a question about attention: either a pixel (x, y) of the sample, or columns of its text,
    separated by commas."""

    x: int = -1
    y: int = -1
    columns: Annotated[str, msgspec.Meta(pattern=r"^\d{1,6}(,\d{1,6}){0,511}$")] | None = None


class Fine(msgspec.Struct, frozen=True):
    """Query parameter of a request for segments."""

    fine: int | None = None
    """How fine the segments are: an index of THRESHOLDS, or a number below or above for the first or last threshold.
    For None, the server chooses."""


class Apply(Constants, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of a request to make one sample's mask with other constants. version: the version of the sample on the
    page. window: the name of the window."""

    version: Number
    window: Name = ""


class ApplyToMany(Constants, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of a request to make masks with other constants for all samples in the list named `view`."""

    view: Name


class AttentionAnswers:
    """The answers about the attention of a session's samples. Each method takes the request, and returns the
    response."""

    def __init__(self, set_answers: SetAnswers) -> None:
        self.set_answers, self.session, self.number = set_answers, set_answers.session, set_answers.number
        self.attention = SetAttention(self.session)
        self.segmented: Cache[np.ndarray] = Cache(128 << 20, lambda labels: labels.nbytes)

    # One sample.

    def capture(self, request: Request, body: bytes) -> Response:
        self.attention.capture(self.number(request))
        return self.about(request)

    def about(self, request: Request) -> Response:
        """What the page shows first about a sample's attention: its prompt with its words, its classes, and the
        constants that made its mask."""
        number = self.number(request)
        tuner = self.attention.find(number)
        if tuner is None:
            return JSONResponse(self._about_none(number))
        attention, facts = tuner.attention, METHOD_FACTS.items()
        constants, note = self.attention.constants(number)
        return JSONResponse(
            {
                "note": note,
                "prompt": attention.maps.prompt,
                "words": find_words(attention.maps, None),
                "classes": attention.classes,
                "part": astuple(attention.part),
                "methods": [name for name, fact in facts if not (fact.plain_means and attention.maps.normalized)],
                "seeded": [name for name, fact in facts if "alpha" in fact.options],
                "constants": constants.values(),
            }
        )

    def _about_none(self, number: int) -> dict[str, Any]:
        """The answer of `about` for a sample without attention: why the attention is missing, and whether the page can
        have it captured."""
        reason = self.attention.cannot_capture(number)
        hint = " (--keep-attention saves them)" if self.attention.config(number) else ""
        ending = f", and {reason}." if reason else "; they can be recomputed."
        return {
            "note": f"No attention maps were saved{hint}{ending}",
            "canCapture": not reason and not self.session.read_only,
        }

    def words(self, request: Request) -> Response:
        """All words of the prompt that the model's tokenizers find. Loading the tokenizers takes seconds the first
        time."""
        number = self.number(request)
        tuner, config = self.attention.load(number), self.attention.config(number)
        return JSONResponse({"words": find_words(tuner.attention.maps, config and config.model)})

    def attends(self, request: Request) -> Response:
        pointed, tuner = read_address(request, Pointed), self.attention.load(self.number(request))
        if pointed.columns is None:
            return JSONResponse({"maps": pixel_maps(tuner.attention, pointed.x, pointed.y)})
        columns = tuple(map(int, pointed.columns.split(",")))
        return JSONResponse({"maps": word_maps(tuner.attention, columns)})

    def steps(self, request: Request) -> Response:
        constants, tuner = read_address(request, Constants), self.attention.load(self.number(request))
        return JSONResponse({"steps": tuner.steps(constants, request.query_params.get("name", ""))})

    def segments(self, request: Request) -> Response:
        """(H, W) uint16: the number of DiffSeg's segment at each pixel. The header x-fine has the index of the
        threshold. By default, this is the coarsest threshold that makes at least FEW segments."""
        number, wanted = self.number(request), read_address(request, Fine).fine
        tuner = self.attention.load(number)
        tried = range(len(THRESHOLDS))
        if wanted is not None:
            tried = [min(max(wanted, 0), tried[-1])]
        for fine in tried:
            labels = self.segmented.get_or_make((number, fine), partial(divide, tuner, THRESHOLDS[fine]))
            if labels.max() >= FEW:
                break
        return pack(labels, {"x-fine": str(fine)})

    # Masks with other constants.

    def preview(self, request: Request) -> Response:
        """(H, W) uint8: the label map that other constants would make. Nothing is saved."""
        constants = read_address(request, Constants)
        return pack(self.attention.make_labels(self.number(request), constants))

    def apply(self, request: Request, body: bytes) -> Response:
        """Make a label map with other constants, and save it."""
        apply, number = parse_json(body, Apply, "the constants"), self.number(request)
        edit = Edit(REMADE, labels=self.attention.make_labels(number, apply), detail=apply.values())
        return JSONResponse(self.session.act(number, apply.version, edit, apply.window))

    def apply_to_many(self, request: Request, body: bytes) -> Response:
        """Start a job that makes masks with other constants for many samples."""
        constants = parse_json(body, ApplyToMany, "the constants")
        numbers = self.set_answers.shown(constants.view).tolist()
        return self.set_answers.jobs.start(numbers, "remade", partial(self._remake, constants))

    def _remake(self, constants: Constants, number: int, detail: dict[str, Any]) -> Prepared | str | None:
        """The action that saves a sample's mask with other constants; None if the mask would be the same. If the sample
        must keep its mask, returns the reason, such as "already reviewed"."""
        history = self.session.history(number)
        version = history.version  # read first: if somebody acts in between, the action is stale
        if history.reviewed:
            return "already reviewed"
        if self.attention.find(number) is None:
            return "without attention"
        labels = self.attention.make_labels(number, constants)
        return self.session.prepare(
            number, version, Edit(REMADE, labels=labels, detail={**constants.values(), **detail})
        )


def divide(tuner: Tuner, threshold: float) -> np.ndarray:
    """(H, W) uint16: the number of DiffSeg's segment at each pixel of a sample, from 1; 0 outside the part that the
    model saw. tuner: has the sample's attention. threshold: DiffSeg's."""
    attention = tuner.attention
    size = attention.maps.latent_size
    rows, points = aggregate(attention.maps.self_attention, size), min(MOST_POINTS, max(size))
    proposals = diffseg(rows, size, num_points=points, kl_thresholds=(threshold,) * 3)
    labels = np.zeros(attention.size, np.uint16)
    labels[attention.part.slices] = label(proposals, (attention.part.height, attention.part.width)).numpy() + 1
    return labels
