"""`CapturePlan`: what a capture will hold, decided once, from the layers of the network. Loads nothing.

    plan = plan_capture(model.family, model.layers, mask=MaskConfig(method="ca_sa"))
    images, maps = generate_batch(model, specs, steps=50, guidance_scale=7.5, negative_prompt="", size=None, plan=plan)

Every run holds layers, levels and kinds of attention against the network here: before it is loaded, against those of
the network without weights (`ModelInfo.layers`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from math import log2
from typing import Any, Literal

from ..config.method_constants import (
    EVERYTHING,
    CaptureConfig,
    MaskConfig,
    Reads,
    SegmentConfig,
    level_name,
    level_options,
    levels_of,
    maps_read,
    reads_self_attention,
)
from ..config.methods import LevelOption
from ..errors import UserError
from ..files.messages import show_bytes
from ..models.families.family import Family, Layer
from ..models.layer_choice import KINDS, SIDES, Kind, LayerChoice, block_numbers, by_kind

LayerKind = Literal["joint", "self", "cross"]
DEFAULT_CAPTURE = CaptureConfig()
PLAIN_MEANS = CaptureConfig(normalize=False)


@dataclass(frozen=True)
class CapturePlan:
    """What is captured of a network. Made by `plan_capture`, then passed down unchanged."""

    family: Family
    all_layers: Mapping[str, Layer] = field(repr=False)
    """All layers of the network that can be captured, by name, from `Family.layers`."""
    layers: Mapping[Kind, Mapping[str, Layer]] = field(repr=False)
    """Kind of attention → the chosen layers that have it, by name."""
    capture: CaptureConfig
    """How maps are averaged. Its layers are groups that the network distinguishes."""
    reads: Reads
    """Kind of attention → the levels to capture; None: all."""
    alone: frozenset[Kind] = frozenset()
    """In joint attention, the kinds whose softmax is over the picture's ("self") or the text's columns ("cross")
    alone."""
    mask: MaskConfig | None = None
    """The constants of masks, with levels that the network has; None: no masks are planned."""
    notes: tuple[str, ...] = ()
    """What was changed to fit the network, a line each."""
    pipeline: str = ""
    """The class of the pipeline, which decides how many text columns `expected` counts."""
    size: tuple[int, int] | None = None
    """(height, width) of L, for `expected`; None: it is not known yet."""

    def levels(self, kind: Kind) -> list[int]:
        """Divisors of L at which the chosen layers have a kind of attention, finest first."""
        return sorted({layer.level for layer in self.layers[kind].values()})

    @property
    def expected(self) -> Expected | None:
        """The contents and memory of the capture; None if `size` is not known."""
        return None if self.size is None else _expect(self, self.size)


def plan_capture(
    family: Family,
    all_layers: Mapping[str, Layer],
    capture: CaptureConfig = DEFAULT_CAPTURE,
    *,
    mask: MaskConfig | None = None,
    reads: Reads | None = None,
    alone: Collection[Kind] = (),
    pipeline: str = "",
    size: tuple[int, int] | None = None,
) -> CapturePlan:
    """The plan for a network with these layers.

    mask: the masks that will be made; their method decides what is read. reads: instead of that; without either,
    everything is captured. alone: beside what `capture.text_share` asks for. pipeline, size: as in `CapturePlan`.

    Raises UserError for layers and levels that the network lacks, for a method that needs attention which these do not
    have, and for `capture.prompt` without a UNet.
    """
    # 1. Whose words
    if capture.prompt is not None and family.network_part != "unet":
        problem = f"{capture.prompt}: works with UNets, and {family.title} has none"
        raise UserError("capture.prompt", problem, "leave it out")

    # 2. Layers
    layers = family.layers_by_kind(all_layers, capture.layers)

    # 3. Kinds and levels that the method reads
    notes: list[str] = []
    if mask is not None:
        check_kinds(family, mask)
        for kind in maps_read(mask):
            _check_blocks(layers[kind], mask, by_kind(capture.layers)[kind], kind)
        mask, notes = fit_mask(family, all_layers, mask, capture.layers)
    if reads is None:
        reads = EVERYTHING if mask is None else maps_read(mask)

    # 4. Softmax
    kinds: frozenset[Kind] = frozenset({*alone, "cross"} if capture.text_share == "text" else alone)
    return CapturePlan(family, all_layers, layers, capture, reads, kinds, mask, tuple(notes), pipeline, size)


def plan_segments(
    family: Family,
    all_layers: Mapping[str, Layer],
    segment: SegmentConfig,
    model: str,
    capture: CaptureConfig = PLAIN_MEANS,
    *,
    pipeline: str = "",
    size: tuple[int, int] | None = None,
) -> CapturePlan:
    """The plan for segments, of plain means of self-attention. model: its name, for messages. pipeline, size: as in
    `CapturePlan`. Raises UserError if the family lacks what the method divides."""
    if family.no_self_attention:
        why = family.no_self_attention
        problem = f"{model}: segments need self-attention, and {family.title} has no maps of it: {why}"
        raise UserError("model", problem, "use another model")
    if segment.divides_features and family.network_part != "unet":
        problem = f"{segment.method}: divides the features of a UNet's encoder, and model '{model}' has none"
        raise UserError("segment.method", problem, "use diffseg or kmeans")
    reads: Reads = {} if segment.divides_features else {"self": None}
    return plan_capture(family, all_layers, capture, reads=reads, alone=("self",), pipeline=pipeline, size=size)


def _check_blocks(layers: Collection[str], mask: MaskConfig, group: LayerChoice, kind: Kind) -> None:
    """Raise UserError for blocks of a transformer that lack what a method reads, as Z-Image's first do with text."""
    if not layers and block_numbers(group) is not None:
        problem = f"{group}: method {mask.method} reads {kind}-attention, which these blocks do not have"
        raise UserError("capture.layers", problem)


def check_kinds(family: Family, mask: MaskConfig) -> None:
    """Raise UserError if a method needs self-attention that the family does not provide."""
    if family.no_self_attention and reads_self_attention(mask):
        why = f"{family.title} has no maps of it: {family.no_self_attention}"
        raise UserError("mask.method", f"{mask.method}: needs self-attention, and {why}", "use method ca")


def fit_mask(
    family: Family, all_layers: Mapping[str, Layer], mask: MaskConfig, layers: LayerChoice
) -> tuple[MaskConfig, list[str]]:
    """`fit_levels` for a network, of which a capture reads the groups `layers`. A note says if the network does not
    distinguish these. Raises UserError for layers and levels that are not there."""
    chosen = family.layers_by_kind(all_layers, layers)
    there: dict[Kind, set[int]] = {kind: {layer.level for layer in chosen[kind].values()} for kind in KINDS}
    mask, notes = fit_levels(there, mask, layers, fitted=family.replaces_missing_levels)
    if family.network_part != "unet" and not {*SIDES[1:]}.isdisjoint(by_kind(layers).values()):
        notes.insert(0, f"layers = {layers}: this model does not distinguish these layers; all are read")
    return mask, notes


def fit_levels(
    there: Mapping[Kind, Collection[int]], mask: MaskConfig, layers: LayerChoice = "all", *, fitted: bool
) -> tuple[MaskConfig, list[str]]:
    """The configuration with levels that a network has, and the changes, one line each.

    there: kind of attention → the levels of the captured layers. layers: their group, for messages. fitted: replace a
    missing level by the nearest instead of raising UserError, which a kind of attention without any level also does.
    """
    # 1. The levels that each option may have. One option may set those of both kinds
    usable: dict[LevelOption, set[int]] = {}
    for kind, option in level_options(mask).items():
        if isinstance(option, str):
            usable[option] = usable.get(option, {*there[kind]}) & {*there[kind]}
    if fitted and not all(usable.values()):
        raise UserError("capture.layers", f"{layers}: the model has no attention there")

    # 2. The nearest of these
    changed, notes = dict[str, Any](), list[str]()
    for option, levels in usable.items():
        wanted = levels_of(mask, option)
        listed, missing = ",".join(map(str, wanted)), [level for level in wanted if level not in levels]
        if not fitted and missing:
            group = "" if layers == "all" else f" in its {layers} layers"
            problem = f"{listed}: the model has no attention at L/{missing[0]}{group}"
            fix = f"levels there: {', '.join(map(str, sorted(levels))) or 'none'}"
            raise UserError(f"mask.{option}", problem, fix)
        closest = nearest(wanted, levels)
        if fitted and closest != wanted:
            changed[option] = closest if option == "expand_levels" else closest[0]
            names = [", ".join(map(level_name, some)) for some in (wanted, closest)]
            notes.append(f"{option} = {listed} ({names[0]}): the nearest that the model has is {names[1]}")
    return replace(mask, **changed) if changed else mask, notes


def nearest(wanted: Collection[int], levels: Collection[int]) -> tuple[int, ...]:
    """For each wanted level the nearest of `levels` (the finer of two equally near), each once, coarse to fine."""
    found = {min(levels, key=lambda other: (abs(log2(other / level)), other)) for level in wanted}
    return tuple(sorted(found, reverse=True))


@dataclass(frozen=True)
class Expected:
    """What the running maps of an image will be."""

    layers: Mapping[LayerKind, int]
    """The number of layers of each kind."""
    maps: Mapping[tuple[Kind, int], tuple[int, int]]
    """(kind, level) → (rows, columns) of a running map, the finest level first."""
    held: Mapping[tuple[Kind, int], int]
    """(kind, level) → the number of running maps."""
    size: tuple[int, int]
    """(height, width) of L."""
    at_level: Mapping[tuple[Kind, int], int]
    """(kind, level) → the number of layers."""

    @property
    def bytes_by_layer(self) -> int:
        """Bytes of one image's running maps if each layer has its own."""
        return 4 * sum(rows * columns * self.at_level[where] for where, (rows, columns) in self.maps.items())

    @property
    def map_bytes(self) -> int:
        """Bytes of one image's running maps."""
        return 4 * sum(rows * columns * self.held[where] for where, (rows, columns) in self.maps.items())

    def __str__(self) -> str:
        counts = (f"{count} layer{'s' * (count > 1)} of {_called(kind)}" for kind, count in self.layers.items())
        levels: dict[Kind, str] = {}
        for kind in KINDS:
            there = sorted(level for of, level in self.maps if of == kind)
            if there:
                levels[kind] = ", ".join(map(level_name, there))
        where = f", at {next(iter(levels.values()), '')}"  # written once if both kinds have the same levels
        if len(set(levels.values())) != 1:
            where = "; of these " + ", ".join(f"{kind}-attention at {names}" for kind, names in levels.items())
        size = f"{self.size[1]}×{self.size[0]}"
        return f"{', '.join(counts)}{where} of {size}; maps of {show_bytes(self.map_bytes)} an image"


def _expect(plan: CapturePlan, size: tuple[int, int]) -> Expected:
    maps: dict[tuple[Kind, int], tuple[int, int]] = {}
    held: dict[tuple[Kind, int], int] = {}
    at_level: dict[tuple[Kind, int], int] = {}
    layers: dict[str, Layer] = {}
    for kind, levels in plan.reads.items():
        geometric = kind == "cross" and plan.capture.mean == "geometric"  # otherwise only the mean is held
        layers.update(plan.layers[kind])
        counts = Counter(layer.level for layer in plan.layers[kind].values())
        for level in [level for level in counts if levels is None or level in levels]:
            rows = -(-size[0] // level) * -(-size[1] // level)
            columns = rows if kind == "self" else plan.family.most_text_columns(plan.pipeline)
            maps[kind, level], at_level[kind, level] = (rows, columns), counts[level]
            held[kind, level] = 1 + counts[level] if geometric else 1
    numbers = Counter(map(_layer_kind, layers.values()))
    order: tuple[LayerKind, ...] = ("joint", "self", "cross")
    return Expected(
        {kind: numbers[kind] for kind in order if numbers[kind]},
        dict(sorted(maps.items(), key=lambda item: item[0][1])),
        held,
        size,
        at_level,
    )


def _layer_kind(layer: Layer) -> LayerKind:
    return "joint" if layer.is_joint else layer.kinds[0]


def _called(kind: LayerKind) -> str:
    return "joint attention" if kind == "joint" else f"{kind}-attention"
