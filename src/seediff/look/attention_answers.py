"""Answers the page's questions about a sample's attention: where a pixel or a word attends, masks with other constants,
the steps of a mask, segments to click. It imports torch, so `serve` imports it late."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple
from functools import cache, partial
from typing import Annotated, Any

import numpy as np
import torch
from msgspec import Meta
from PIL import Image
from starlette.responses import Response

from ..attention.maps import AttentionMaps
from ..config.methods import METHOD_FACTS, level_name
from ..config.names_in_texts import ANY_WORD, name_finder
from ..dataset.reviews import REMADE
from ..drawing.colours import to_levels
from ..drawing.overlays import shrink
from ..errors import UserError
from ..files.messages import show_bytes
from ..files.reading import Json
from ..masks.make_masks import masks_of_view, soft_masks
from ..masks.steps import main_steps
from ..models.describe import describe_here
from ..models.families.inputs import Reader
from ..models.layers import Grid
from ..prompts.tokens import locate_columns
from ..segments.aggregate import aggregate
from ..segments.diffseg import diffseg
from ..segments.labelling import label
from .answers import Number, OfSample, Pairs, pack
from .attention import (
    Moved,
    SampleAttention,
    cannot_capture,
    cannot_look,
    capture_again,
    config_of,
    constants_of,
    find,
    get,
    look_at,
    make_labels,
    row_constants,
    run_of,
    shown_constants,
    weights_of,
)
from .store import Edit, SampleState, Store

QUICK = 100_000_000
"""Bytes of a model's weights below which attention is captured without a question."""
STEP_SIDE = 256
"""The longest side, in pixels, of the map of a step."""
MAX_WORDS = 100
"""Maximum number of words with a button on the page."""
THRESHOLDS = (1.1, 0.8, 0.55, 0.4, 0.28, 0.2, 0.14, 0.1, 0.07, 0.05)
"""DiffSeg's thresholds for clickable segments, from coarse to fine. The paper has the first one; flatter attention
needs lower ones."""
FEW = 6
"""Minimum number of segments, unless the page names a threshold."""
MOST_POINTS = 16
"""Maximum number of DiffSeg's starting points along a side."""

# What the page asks for.


class Pointed(OfSample, kw_only=True):
    """Where the sample attends: at a pixel (x, y), or at columns of its text, separated by commas."""

    x: int = -1
    y: int = -1
    columns: Annotated[str, Meta(pattern=r"^\d{1,6}(,\d{1,6}){0,511}$")] | None = None


class FindSegments(OfSample, kw_only=True):
    """Segments to click. fine: how fine they are, an index of THRESHOLDS, or a number below or above for the first or
    last threshold; None for the server's choice."""

    fine: int | None = None


class Try(Moved, kw_only=True):
    """The mask of a sample after constants were moved."""

    number: Number


class ShowSteps(Try, kw_only=True):
    """The steps of a class's mask. name: the class. every: all steps, not only the main ones."""

    name: str = ""
    every: bool = False


class Remake(Moved, kw_only=True, forbid_unknown_fields=True):
    """Save the masks of samples after constants were moved. samples: the number of each, and the version that the page
    shows. unreviewed: samples that a person has judged or corrected keep their masks."""

    samples: Pairs
    unreviewed: bool = False


# One sample.


def about(store: Store, request: OfSample) -> Json:
    """What the page shows first about a sample's attention: its prompt with its words, its classes, and for each method
    the constants of a mask if nobody moves any; or why the attention is missing, and whether the page can have it
    captured. And why the image cannot be divided into segments."""
    state = store.state(request.number)
    attention = find(store, state)
    config = config_of(store, state)
    looking = store.looking or run_of(store, state)
    undivided = "" if attention and not store.looking else cannot_look(looking)
    if attention is None:
        reason = cannot_capture(state.sample, config)
        size = weights_of(config) if config else 0
        if not reason and size < QUICK:
            return {"note": "", "quick": True}
        note = f"There are no attention maps: {reason}."
        if not reason:
            saved = "No attention maps were saved (--keep-attention saves them)"
            note = f"{saved}: to recompute them, its model must run, {show_bytes(size)}."
        return {"note": note, "canCapture": not reason, "undivided": undivided}
    facts = METHOD_FACTS.items()
    usable = [name for name, fact in facts if not (fact.plain_means and attention.maps.normalized)]
    row, note = row_constants(store, state)
    return {
        "note": note,
        "prompt": attention.maps.prompt,
        "words": find_words(attention.maps, None),
        "classes": attention.classes,
        "part": astuple(attention.view.window),
        "method": row.method,
        "constants": {name: shown_constants(constants_of(store, state, Moved(method=name))) for name in usable},
        "undivided": undivided,
    }


def capture(store: Store, request: OfSample) -> Json:
    capture_again(store, store.state(request.number))
    return about(store, request)


def words(store: Store, request: OfSample) -> Json:
    """All words of the prompt that the model's tokenizers find. Loading the tokenizers takes seconds the first time."""
    state = store.state(request.number)
    attention = get(store, state)
    config = config_of(store, state)
    return {"words": find_words(attention.maps, config and config.model)}


def attends(store: Store, request: Pointed) -> Json:
    attention = get(store, store.state(request.number))
    if request.columns is None:
        return {"maps": pixel_maps(attention, request.x, request.y)}
    return {"maps": word_maps(attention, [*map(int, request.columns.split(","))])}


def steps(store: Store, request: ShowSteps) -> Json:
    """The main steps of a class's mask in order, or all: for each step what `map_for_page` returns, and a text. Raises
    UserError for an unknown class."""
    state = store.state(request.number)
    attention = get(store, state)
    if request.name not in attention.classes:
        raise UserError(f"there is no class '{request.name}' here")
    config = attention.fit(constants_of(store, state, request))
    if request.every:
        result = masks_of_view(attention.view, attention.maps, attention.classes, config, edges=attention.edges)
        trace = result.trace[request.name]
        shown_steps = [*trace]
    else:  # the method's own, which take no time
        trace = soft_masks(attention.maps, [request.name], config)[0].trace
        shown_steps = main_steps(trace)
    steps: list[dict[str, Any]] = []
    for step in shown_steps:
        pixels = shrink(to_levels(trace[step].cpu().numpy()), STEP_SIDE, Image.Resampling.BOX)
        shown = map_for_page(str(step).replace("_", "-"), pixels)
        steps.append({**shown, "text": step.explained})
    return {"steps": steps}


def segments(store: Store, request: FindSegments) -> Response:
    """(H, W) uint16: the number of DiffSeg's segment at each pixel. The header x-fine has the index of the threshold.
    By default, this is the coarsest threshold that makes at least FEW segments."""
    attention = look_at(store, store.state(request.number))
    tried = range(len(THRESHOLDS))
    if request.fine is not None:
        tried = [min(max(request.fine, 0), tried[-1])]
    for fine in tried:
        make = partial(divide, attention, THRESHOLDS[fine])
        divided = store.segments.get_or_make((request.number, fine), make)
        if divided.max() >= FEW:
            break
    return pack(divided, {"x-fine": str(fine)})


def divide(attention: SampleAttention, threshold: float) -> np.ndarray:
    """(H, W) uint16: the number of DiffSeg's segment at each pixel of a sample, from 1; 0 outside the part that the
    model saw. threshold: DiffSeg's."""
    size = attention.maps.lattice
    rows = aggregate(attention.maps.self_attention, size)
    points = min(MOST_POINTS, max(size))
    proposals = diffseg(rows, size, num_points=points, kl_thresholds=(threshold,) * 3)
    numbers = label(proposals, attention.view.window.shape) + 1
    return attention.view.paste(numbers.astype(np.uint16), 0)


# Maps for the page.


def pixel_maps(attention: SampleAttention, x: int, y: int) -> list[Json]:
    """Where a pixel of the sample attends, for each level of self-attention. x, y: the pixel. Raises UserError for a
    pixel that the model did not see."""
    part = attention.view.window
    x, y = x - part.left, y - part.top
    if not (0 <= x < part.width and 0 <= y < part.height):
        raise UserError("the model did not see this pixel")

    def of_pixel(grid: Grid, self_map: torch.Tensor) -> torch.Tensor:
        height, width = grid
        return self_map[y * height // part.height * width + x * width // part.width]

    return scaled_maps(attention.maps, attention.maps.self_attention, of_pixel)


def word_maps(attention: SampleAttention, columns: list[int]) -> list[Json]:
    """How much each position attends to words, for each level of cross-attention. columns: the columns of the words in
    the text; the maps show their mean. Raises UserError for a column that the text lacks."""

    def of_words(grid: Grid, cross_map: torch.Tensor) -> torch.Tensor:
        if max(columns) >= cross_map.shape[1]:
            raise UserError(f"the text has columns 0 to {cross_map.shape[1] - 1}")
        return cross_map[:, columns].mean(1)

    return scaled_maps(attention.maps, attention.maps.cross_attention, of_words)


def scaled_maps(
    maps: AttentionMaps, levels: Mapping[Grid, torch.Tensor], pick: Callable[[Grid, torch.Tensor], torch.Tensor]
) -> list[Json]:
    """What `map_for_page` returns for a map of each level, the finest first, scaled so that its minimum becomes 0 and
    its maximum 255. maps: the attention, which knows the names of its levels. pick: makes the map, (height · width,),
    from the level's grid and its attention."""
    made = list[Json]()
    for grid, level in sorted(levels.items(), reverse=True):
        values = pick(grid, level).reshape(grid)
        low, high = map(float, values.aminmax())
        scaled = ((values - low) / max(high - low, 1e-20) * 255).round().to(torch.uint8)
        made.append(map_for_page(level_name(maps.level(grid)), scaled.cpu().numpy()))
    return made


def map_for_page(name: str, values: np.ndarray) -> dict[str, Any]:
    """A map as JSON for the page: {name, height, width, data}. `data` has the values row by row, in base64. name: the
    title of the map. values: (h, w) uint8."""
    height, width = values.shape
    data = base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
    return {"name": name, "height": height, "width": width, "data": data}


def find_words(maps: AttentionMaps, model: str | None) -> list[dict[str, Any]]:
    """The words of the prompt whose columns of cross-attention are known, in order: {start, end, columns} each, where
    prompt[start:end] is the word. maps: the attention, which knows the columns of the classes. model: the model whose
    tokenizers find the other words, if they are on this machine; None to find only the classes."""
    # 1. Classes
    found = {match.span(): maps.words[name] for name, match in name_finder([*maps.words])(maps.prompt)}

    # 2. Words outside the classes' names
    readers = _readers(model) if model and " | " not in maps.prompt else ()
    for match in re.finditer(rf"{ANY_WORD}|\d+", maps.prompt):
        overlaps = any(start < match.end() and match.start() < end for start, end in found)
        if overlaps or not readers or len(found) >= MAX_WORDS:
            continue
        with suppress(UserError):  # too long for the model, or no token of its own
            found[match.span()] = locate_columns(readers, maps.prompt, [match[0]])[match[0]]
    return [{"start": start, "end": end, "columns": columns} for (start, end), columns in sorted(found.items())]


@cache
def _readers(model: str) -> Sequence[Reader]:
    """The tokenizers of a model on this machine, loaded without its weights; empty if they cannot be loaded."""
    info = describe_here(model)
    return info.readers if info else ()


# Masks with other constants.


def preview(store: Store, request: Try) -> Response:
    """(H, W) uint8: the label map that moved constants would make. Nothing is saved."""
    state = store.state(request.number)
    return pack(make_labels(store, state, constants_of(store, state, request)))


def remake(store: Store, request: Remake) -> Json:
    """Make label maps after constants were moved, and save them."""

    def edit_of(state: SampleState) -> Edit:
        review = state.row(store.classes).review_or_empty
        if request.unreviewed and (state.last.verdict or review.corrected):
            raise UserError("already reviewed")
        config = constants_of(store, state, request)
        labels = make_labels(store, state, config)
        made = {name: value for name, value in asdict(config).items() if value is not None}
        return Edit(REMADE, lambda present: labels, made=made)

    return store.act(request.samples, edit_of)
