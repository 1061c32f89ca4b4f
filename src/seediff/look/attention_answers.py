"""Answers the page's questions about a sample's attention: where pixels and words attend, masks with other constants,
the steps of a mask, segments.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import astuple
from functools import cache, partial
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..attention.maps import AttentionMaps
from ..config.generate_config import DatasetConfig
from ..config.method_constants import MaskConfig
from ..config.methods import METHOD_FACTS
from ..dataset.reviews import REMADE
from ..dataset.rows import as_row
from ..devices import cpu_threads
from ..errors import UserError
from ..files.documents import fit, parse_json
from ..segments.aggregate import aggregate
from ..segments.diffseg import diffseg
from ..segments.winners import label
from .events import Cache
from .jobs import UNCHANGED
from .sample_attention import (
    Capturer,
    attention_of,
    cannot_capture,
    find_words,
    maps_path,
    pixel_maps,
    read_config,
    word_maps,
)
from .session import Edit
from .set_answers import Name, Number, SetAnswers, pack, read_address
from .tuning import Constants, Tuner, constants_of

MEMORY = 1 << 30
"""Maximum bytes of cached attention. One sample's attention is always kept."""
THRESHOLDS = (1.1, 0.8, 0.55, 0.4, 0.28, 0.2, 0.14, 0.1, 0.07, 0.05)
"""DiffSeg's thresholds for clickable segments, from coarse to fine: the paper's, then lower ones for flatter maps."""
FEW = 6
"""Minimum number of segments, if the page does not choose a threshold."""
MOST_POINTS = 16
"""Maximum number of DiffSeg's starting points along a side."""
CHANGED = "remade"
"""What a job counts, beside UNCHANGED."""
CORRECTED = "A person corrected this mask; attention explains the mask before that."
UNKNOWN = "It is not known how this mask was made: masks and steps shown here use the default constants."
ALONE = threading.Lock()
"""The lock of torch's number of threads, which is global to the process."""


class Pointed(msgspec.Struct, frozen=True):
    """The address's fields: a pixel of the sample, or columns of its text, separated by commas."""

    x: int = -1
    y: int = -1
    columns: Annotated[str, msgspec.Meta(pattern=r"^\d{1,6}(,\d{1,6}){0,511}$")] | None = None


class Fine(msgspec.Struct, frozen=True):
    """The address's field: how fine the segments are."""

    fine: Annotated[int, msgspec.Meta(ge=0, lt=len(THRESHOLDS))] | None = None
    """An index of THRESHOLDS; None for the usual one."""


class Apply(Constants, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request to make one sample's mask with other constants. version: the sample's on the page."""

    version: Number
    window: Name = ""


class ApplyToMany(Constants, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request to make masks with other constants for all samples of the list `view`."""

    view: Name


class AttentionAnswers:
    """The answers about attention."""

    def __init__(self, set_answers: SetAnswers) -> None:
        self.set_answers, self.session = set_answers, set_answers.session
        self._configs = cache(partial(read_config, self.session.dataset.folder))
        self.tuners: Cache[Tuner] = Cache(MEMORY, lambda tuner: tuner.size)
        self.segmented: Cache[np.ndarray] = Cache(128 << 20, lambda labels: labels.nbytes)
        self.capturer = Capturer()
        self.loading = threading.Lock()
        self.threads = torch.get_num_threads()

    # Where attention comes from.

    def config(self, number: int) -> DatasetConfig | None:
        return self._configs(self.session.dataset.samples[number].metadata.get("made"))

    def constants(self, number: int) -> tuple[Constants, str]:
        """(constants, note) of a sample's current mask. If they are unknown, the constants are the usual ones, and the
        note says so to the page."""
        review, config = as_row(self.session.row(number)).review, self.config(number)
        remade = review.made
        if remade is not None:
            with suppress(UserError):
                return fit(remade, Constants, "the constants"), ""
        notes = [CORRECTED] if review.corrected else []
        if config is None or remade is not None:
            notes.append(UNKNOWN)
        return constants_of(config.mask if config else MaskConfig()), " ".join(notes)

    def tuner(self, number: int) -> Tuner | None:
        """A sample's attention, loaded; None if there is none. Raises UserError for an unusable file."""
        with self.loading:  # otherwise two threads would read the same file
            tuner, path = self.tuners.get(number), maps_path(self.session.dataset.samples[number])
            if tuner is not None or path is None:
                return tuner
            return self.put(number, AttentionMaps.load(path))

    def put(self, number: int, maps: AttentionMaps) -> Tuner:
        sample = self.session.dataset.samples[number]
        return self.tuners.put(number, Tuner(attention_of(sample, maps, self.config(number))))

    def needed(self, request: Request) -> tuple[int, Tuner]:
        """The number of the sample that a request names, and its attention. Raises UserError if it has none."""
        number = self.set_answers.number(request)
        tuner = self.tuner(number)
        if tuner is None:
            raise UserError("no attention maps were saved; recompute them first")
        return number, tuner

    def capture(self, request: Request, body: bytes) -> Response:
        """Run the model again, which takes as long as drawing the sample, and keep the maps in memory."""
        number = self.set_answers.number(request)
        sample, config = self.session.dataset.samples[number], self.config(number)
        reason = cannot_capture(sample, config)
        if config is None or reason:
            raise UserError(f"cannot recompute: {reason}")
        self.put(number, self.capturer.capture(sample, config))
        return self.about(request)

    # One sample.

    def about(self, request: Request) -> Response:
        """The page's initial data about a sample."""
        number = self.set_answers.number(request)
        tuner = self.tuner(number)
        if tuner is None:
            return JSONResponse(self._about_none(number))
        of, facts = tuner.attention, METHOD_FACTS.items()
        constants, note = self.constants(number)
        return JSONResponse(
            {
                "note": note,
                "prompt": of.maps.prompt,
                "words": find_words(of.maps, None),
                "classes": of.classes,
                "part": astuple(of.part),
                "methods": [name for name, fact in facts if not (fact.plain_means and of.maps.normalized)],
                "seeded": [name for name, fact in facts if "alpha" in fact.options],
                "constants": constants.values(),
            }
        )

    def _about_none(self, number: int) -> dict[str, Any]:
        """What `about` answers for a sample without attention."""
        config = self.config(number)
        reason = cannot_capture(self.session.dataset.samples[number], config)
        hint = " (--keep-attention saves them)" if config else ""
        ending = f", and {reason}." if reason else "; they can be recomputed."
        return {
            "note": f"No attention maps were saved{hint}{ending}",
            "canCapture": not reason and not self.session.read_only,
        }

    def words(self, request: Request) -> Response:
        """All words of the prompt that the model's tokenizers find. Loading them takes seconds, the first time."""
        number, tuner = self.needed(request)
        config = self.config(number)
        return JSONResponse({"words": find_words(tuner.attention.maps, config and config.model)})

    def attends(self, request: Request) -> Response:
        pointed, (_, tuner) = read_address(request, Pointed), self.needed(request)
        if pointed.columns is None:
            return JSONResponse({"maps": pixel_maps(tuner.attention, pointed.x, pointed.y)})
        columns = tuple(map(int, pointed.columns.split(",")))
        return JSONResponse({"maps": word_maps(tuner.attention, columns)})

    def steps(self, request: Request) -> Response:
        constants, (_, tuner) = read_address(request, Constants), self.needed(request)
        return JSONResponse({"steps": tuner.steps(constants, request.query_params.get("name", ""))})

    def segments(self, request: Request) -> Response:
        """(H, W) uint16: DiffSeg's segment at each pixel, made of the sample's attention at one of THRESHOLDS. Its
        index is in the answer. By default, it is the coarsest that makes at least FEW segments."""
        number, tuner = self.needed(request)
        wanted = read_address(request, Fine).fine
        for fine in range(len(THRESHOLDS)) if wanted is None else (wanted,):
            labels = self.segmented.get_or_make((number, fine), partial(divide, tuner, THRESHOLDS[fine]))
            if labels.max() >= FEW:
                break
        return pack(labels, {"x-fine": str(fine)})

    # Masks with other constants.

    def preview(self, request: Request) -> Response:
        """A label map with other constants, not saved."""
        constants, (number, tuner) = read_address(request, Constants), self.needed(request)
        return pack(self.make_labels(number, tuner, constants))

    def apply(self, request: Request, body: bytes) -> Response:
        """Make a label map with other constants, and save it."""
        apply, (number, tuner) = parse_json(body, Apply, "the constants"), self.needed(request)
        edit = Edit(REMADE, labels=self.make_labels(number, tuner, apply), detail=apply.values())
        return JSONResponse(self.session.act(number, apply.version, edit, apply.window))

    def apply_to_many(self, request: Request, body: bytes) -> Response:
        """Make new masks for many samples."""
        constants = parse_json(body, ApplyToMany, "the constants")
        numbers = self.set_answers.shown(constants.view).tolist()
        self.set_answers.jobs.start(numbers, CHANGED, partial(self._remake, constants))
        return JSONResponse({"samples": len(numbers)}, 202)

    def _remake(self, constants: Constants, number: int, detail: dict[str, Any]) -> str:
        """Make a sample's new mask. Returns the outcome in words."""
        history = self.session.history(number)
        version = history.version  # read first, so that somebody who acts in between makes it stale
        if history.reviewed:
            return "already reviewed"
        tuner = self.tuner(number)
        if tuner is None:
            return "without attention"
        labels = self.make_labels(number, tuner, constants)
        state = self.session.act(number, version, Edit(REMADE, labels=labels, detail={**constants.values(), **detail}))
        return CHANGED if state["version"] > version else UNCHANGED

    def make_labels(self, number: int, tuner: Tuner, constants: Constants) -> np.ndarray:
        """(H, W) uint8: the label map with other constants, computed with as many threads as the set was."""
        config = self.config(number)
        threads = config and config.threads
        with tuner.lock, ALONE, cpu_threads(threads or 1, self.threads):
            return tuner.labels(constants.change(tuner.attention.config), self.session.index.ids)


def divide(tuner: Tuner, threshold: float) -> np.ndarray:
    """(H, W) uint16: DiffSeg's segments from a sample's attention, numbered from 1; 0 where the model saw nothing."""
    of = tuner.attention
    size = of.maps.latent_size
    rows, points = aggregate(of.maps.self_attention, size), min(MOST_POINTS, max(size))
    proposals = diffseg(rows, size, num_points=points, kl_thresholds=(threshold,) * 3)
    labels = np.zeros(of.size, np.uint16)
    labels[of.part.slices] = label(proposals, (of.part.height, of.part.width)).numpy() + 1
    return labels
