"""Answers the page's questions about a sample's attention: where pixels and words attend, masks with other constants,
steps, segments.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import cache, partial
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from ..config.generate import DatasetConfig
from ..config.levels import level_name
from ..config.methods import METHOD_FACTS
from ..dataset.reviews import is_corrected
from ..devices import cpu_threads
from ..errors import UserError
from ..files.documents import fit, parse_json
from ..segments.aggregate import aggregate
from ..segments.diffseg import diffseg
from ..segments.tiles import label
from .answers import UNCHANGED, Look, Name, Number, asked, pack
from .attention import (
    Capturer,
    cannot_capture,
    find_words,
    grids,
    maps_path,
    pixel_maps,
    read_config,
    seen,
    word_maps,
)
from .events import Cache
from .tuning import Constants, Tuner, show_result

MEMORY = 1 << 30
"""Maximum bytes of cached attention; at least one sample's."""
THRESHOLDS = (1.1, 0.8, 0.55, 0.4, 0.28, 0.2, 0.14, 0.1, 0.07, 0.05)
"""DiffSeg's thresholds for clickable segments, from coarse to fine: the paper's, and lower ones for flatter maps."""
FEW = 6
"""Minimum number of segments, if the page does not choose a threshold."""
MOST_POINTS = 16
MADE = "remade"
CORRECTED = "A person corrected this mask; attention explains the mask before that."
UNKNOWN = "It is not known how this mask was made: masks and steps shown here use the default constants."
ALONE = threading.Lock()
"""Its holder sets torch's number of threads, which is global to the process."""


class Pointed(msgspec.Struct, frozen=True):
    """A pixel of a sample, or columns of its text."""

    x: int = -1
    y: int = -1
    columns: Annotated[str, msgspec.Meta(pattern=r"^\d{1,6}(,\d{1,6}){0,511}$")] | None = None


class Fine(msgspec.Struct, frozen=True):
    """An index of THRESHOLDS; None for the usual one."""

    fine: Annotated[int, msgspec.Meta(ge=0, lt=len(THRESHOLDS))] | None = None


class Apply(Constants, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Constants for one sample, and the version of the sample that the page shows."""

    version: Number
    window: Name = ""


class ApplyToMany(Constants, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Constants for a list of samples."""

    view: Name


class Why:
    """The answers about attention."""

    def __init__(self, look: Look) -> None:
        self.look, self.session = look, look.session
        self._configs = cache(partial(read_config, self.session.subject.folder))
        self.tuners: Cache[Tuner] = Cache(MEMORY, lambda tuner: tuner.size)
        self.segmented: Cache[np.ndarray] = Cache(128 << 20, lambda labels: labels.nbytes)
        self.capturer = Capturer()
        self.loading = threading.Lock()
        self.threads = torch.get_num_threads()

    def config(self, number: int) -> DatasetConfig | None:
        return self._configs(self.session.subject.samples[number].metadata.get("made"))

    def made_with(self, number: int) -> tuple[Constants, str]:
        """The constants of a sample's current mask, or the usual ones; and a note about this for the page."""
        row, config = self.session.row(number), self.config(number)
        made = row.get("review", {}).get("made")
        usual = show_result(config.mask if config else MaskConfig())
        if made is not None:
            with suppress(UserError):
                return fit(dict(made), Constants, "the constants"), ""
        said = (CORRECTED if is_corrected(row) else "", "" if config and made is None else UNKNOWN)
        return usual, " ".join(filter(None, said))

    def tuner(self, number: int) -> Tuner | None:
        """A sample's attention, loaded; None if there is none. Raises UserError for an unusable file."""
        with self.loading:  # otherwise two threads would read the same file
            held, path = self.tuners.get(number), maps_path(self.session.subject.samples[number])
            return self.put(number, AttentionMaps.load(path)) if held is None and path is not None else held

    def put(self, number: int, maps: AttentionMaps) -> Tuner:
        sample = self.session.subject.samples[number]
        return self.tuners.put(number, Tuner(seen(sample, maps, self.config(number))))

    def needed(self, number: int) -> Tuner:
        tuner = self.tuner(number)
        if tuner is None:
            raise UserError("no attention maps were saved; recompute them first")
        return tuner

    def about(self, request: Request) -> Response:
        """The page's initial data about a sample."""
        number = self.look.number(request)
        sample, config = self.session.subject.samples[number], self.config(number)
        refused, tuner = cannot_capture(sample, config), self.tuner(number)
        if tuner is None:
            kept = "No attention maps were saved" + (" (--keep-attention saves them)" if config else "")
            text = f"{kept}, and {refused}." if refused else f"{kept}; they can be recomputed."
            can = not refused and not self.session.read_only
            return JSONResponse({"told": text, "levels": [], "canCapture": can})
        seen = tuner.seen
        constants, more = self.made_with(number)
        kept = f"Attention maps: {'saved' if maps_path(sample) else 'recomputed'}."
        levels = [{"name": level_name(level), "height": h, "width": w} for level, (h, w) in grids(seen.maps).items()]
        facts = METHOD_FACTS.items()
        return JSONResponse(
            {
                "told": f"{kept} {more}".strip(),
                "canCapture": False,
                "levels": levels,
                "prompt": seen.maps.prompt,
                "words": find_words(seen.maps, None),
                "classes": seen.classes,
                "part": [seen.part.top, seen.part.left, seen.part.height, seen.part.width],
                "methods": [name for name, fact in facts if not (fact.plain_means and seen.maps.normalized)],
                "seeded": [name for name, fact in facts if "alpha" in fact.options],
                "constants": constants.tried(),
            }
        )

    def words(self, request: Request) -> Response:
        """All words of the prompt according to the model's tokenizers, which take seconds to load the first time."""
        number = self.look.number(request)
        config = self.config(number)
        return JSONResponse({"words": find_words(self.needed(number).seen.maps, config.model if config else None)})

    def attends(self, request: Request) -> Response:
        at, seen = asked(request, Pointed), self.needed(self.look.number(request)).seen
        if at.columns is None:
            return JSONResponse({"maps": pixel_maps(seen, at.x, at.y)})
        return JSONResponse({"maps": word_maps(seen, tuple(map(int, at.columns.split(","))))})

    def steps(self, request: Request) -> Response:
        tuner, name = self.needed(self.look.number(request)), request.query_params.get("name", "")
        return JSONResponse({"steps": tuner.steps(asked(request, Constants), name)})

    def tuned(self, request: Request) -> Response:
        """A label map with other constants, not saved."""
        return pack(self.made(self.look.number(request), asked(request, Constants)))

    def made(self, number: int, constants: Constants) -> np.ndarray:
        """The label map with other constants, by the number of threads that made the set."""
        tuner, config = self.needed(number), self.config(number)
        threads = config.threads if config else None
        with tuner.lock, ALONE, cpu_threads(threads or 1, self.threads):
            return tuner.labels(constants.of(tuner.seen.config), self.session.index.ids)

    def apply(self, request: Request, body: bytes) -> Response:
        """Make a label map with other constants, and save it."""
        number, asked = self.look.number(request), parse_json(body, Apply, "the constants")
        options: dict[str, Any] = {"window": asked.window, "detail": asked.tried()}
        return JSONResponse(self.session.act(number, asked.version, "made", labels=self.made(number, asked), **options))

    def capture(self, request: Request, body: bytes) -> Response:
        """Run the model again, which takes as long as drawing, and keep its maps in memory."""
        number = self.look.number(request)
        sample, config = self.session.subject.samples[number], self.config(number)
        refused = cannot_capture(sample, config)
        if config is None or refused:
            raise UserError(f"cannot recompute: {refused}")
        self.put(number, self.capturer.capture(sample, config))
        return self.about(request)

    def segments(self, request: Request) -> Response:
        """(H, W) uint16: DiffSeg's segment at each pixel, from the sample's attention, at one of THRESHOLDS, whose
        index is in the answer; by default, the coarsest with at least FEW."""
        number, wanted = self.look.number(request), asked(request, Fine).fine
        for fine in range(len(THRESHOLDS)) if wanted is None else (wanted,):
            make = partial(divide, self.needed(number), THRESHOLDS[fine])
            labels = self.segmented.made((number, fine), make)
            if labels.max() >= FEW:
                break
        return pack(labels, {"x-fine": str(fine)})

    # Many samples.

    def begin(self, request: Request, body: bytes) -> Response:
        """Make new masks for many samples."""
        constants = parse_json(body, ApplyToMany, "the constants")
        numbers = self.look.shown(constants.view).tolist()
        self.look.jobs.start(numbers, MADE, partial(self._make_one, constants))
        return JSONResponse({"samples": len(numbers)}, 202)

    def _make_one(self, constants: Constants, number: int, detail: dict[str, Any]) -> str:
        """Make a sample's new mask. Returns the outcome in words."""
        history = self.session.history(number)
        version = history.version  # read first, so that somebody who acts in between makes it stale
        if history.reviewed:
            return "already reviewed"
        if self.tuner(number) is None:
            return "without attention"
        labels = self.made(number, constants)
        state = self.session.act(number, version, "made", labels=labels, detail={**constants.tried(), **detail})
        return MADE if state["version"] > version else UNCHANGED


def divide(tuner: Tuner, threshold: float) -> np.ndarray:
    """(H, W) uint16: DiffSeg's segments from a sample's attention, numbered from 1; 0 where the model saw nothing."""
    seen, size = tuner.seen, tuner.seen.maps.latent_size
    rows, points = aggregate(seen.maps.self_attention, size), min(MOST_POINTS, max(size))
    found = diffseg(rows, size, num_points=points, kl_thresholds=(threshold,) * 3)
    whole = np.zeros(seen.size, np.uint16)
    whole[seen.part.slices] = label(found, (seen.part.height, seen.part.width)).numpy() + 1
    return whole
