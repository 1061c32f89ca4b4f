"""`CapturePlan`: what a capture will hold, decided once from the network's layers. Loads nothing.

    plan = plan_capture(model.family, model.layers, mask=MaskConfig(method="ca_sa"))
    images, maps = generate_batch(model, specs, steps=50, guidance_scale=7.5, negative_prompt="", size=None, plan=plan)

Every run checks here, before the network is loaded, that the network has the wanted layers, levels and kinds of
attention. `ModelInfo.layers` lists a network's layers without its weights.

L is the size of the network's lattice. A layer at level d attends over L / d positions a side (models/layers.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log2, prod
from typing import Any, NamedTuple

from ..config.methods import (
    EVERYTHING,
    CaptureConfig,
    LevelOption,
    MaskConfig,
    Reads,
    SegmentConfig,
    level_name,
    level_options,
    levels_of,
    maps_read,
)
from ..errors import UserError
from ..files.messages import show_bytes
from ..models.families.family import Family
from ..models.layers import KINDS, SIDES, Grid, Kind, Layer, LayerChoice, by_kind, grid_at

DEFAULT_CAPTURE = CaptureConfig()
PLAIN_MEANS = CaptureConfig(normalize=False)


@dataclass(frozen=True)
class CapturePlan:
    """What is captured of a network. `plan_capture` makes it; then it is passed down unchanged."""

    family: Family
    all_layers: Mapping[str, Layer] = field(repr=False)
    """Name → layer, for all layers of the network that can be captured; from `Family.layers`."""
    layers: Mapping[Kind, Mapping[str, Layer]] = field(repr=False)
    """Kind of attention → name → layer, for the chosen layers that have this kind."""
    capture: CaptureConfig
    """How maps are averaged, and in which layers and steps they are captured."""
    reads: Reads
    """Kind of attention → the levels to capture; None: all."""
    own_softmax: frozenset[Kind] = frozenset()
    """The kinds of joint attention that have a softmax of their own, in place of the layer's one softmax over picture
    and text: "self" over the picture's columns alone, "cross" over the text's."""
    mask: MaskConfig | None = None
    """The constants of the planned masks, whose levels the network has; None: no masks are planned."""
    notes: tuple[str, ...] = ()
    """One line about each level that was changed to fit the network."""

    def levels(self, kind: Kind) -> list[int]:
        """The levels at which the chosen layers have a kind of attention, finest first."""
        return sorted({layer.level for layer in self.layers[kind].values()})

    def wants(self, kind: Kind, level: int) -> bool:
        """Whether this kind of attention is captured at L / level."""
        levels = self.reads.get(kind, ())
        return levels is None or level in levels

    def expected(self, lattice: Grid) -> Expected:
        """The running maps that one image, or one latent frame of a clip, will need at most. lattice: (height, width)
        of L."""
        maps: list[ExpectedMaps] = []
        for kind in self.reads:
            geometric = kind == "cross" and self.capture.mean == "geometric"  # otherwise only the mean is held
            levels = (layer.level for layer in self.layers[kind].values() if self.wants(kind, layer.level))
            for level, layers in Counter(levels).items():
                positions = prod(grid_at(lattice, level))
                columns = positions if kind == "self" else self.family.text_columns
                held = 1 + layers if geometric else 1
                maps.append(ExpectedMaps(kind, level, 4 * positions * columns, held))
        return Expected(tuple(maps), lattice)


def plan_capture(
    family: Family,
    all_layers: Mapping[str, Layer],
    capture: CaptureConfig = DEFAULT_CAPTURE,
    *,
    mask: MaskConfig | None = None,
    reads: Reads | None = None,
    own_softmax: Collection[Kind] = (),
) -> CapturePlan:
    """The plan for a network with these layers.

    family: the network's. all_layers: from `Family.layers`. capture: how maps are averaged. mask: the masks that will
    be made; their method decides what is captured, unless `reads` does. Without either, everything is captured. reads,
    own_softmax: as in `CapturePlan`; `capture.text_share` may add "cross" to `own_softmax`.

    Raises UserError for layers and levels that the network lacks, for a method that needs attention which these layers
    do not have, and for `capture.prompt` without a UNet.
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
        mask, notes = fit_mask(family, all_layers, mask, capture.layers)
    if reads is None:
        reads = EVERYTHING if mask is None else maps_read(mask)

    # 4. Softmax
    if capture.text_share == "text":
        own_softmax = {*own_softmax, "cross"}
    return CapturePlan(family, all_layers, layers, capture, reads, frozenset(own_softmax), mask, tuple(notes))


def plan_segments(
    family: Family, all_layers: Mapping[str, Layer], segment: SegmentConfig, capture: CaptureConfig = PLAIN_MEANS
) -> CapturePlan:
    """The plan for segments. They are made of plain means of self-attention. If the method divides features, no
    attention is captured. family, all_layers, capture: as in `plan_capture`. segment: the method and its constants.
    Raises UserError if the family has no features for the method."""
    if segment.divides_features and family.network_part != "unet":
        problem = f"{segment.method}: divides the features of a UNet's encoder, and {family.title} has none"
        raise UserError("segment.method", problem, "use diffseg or kmeans")
    reads: Reads = {} if segment.divides_features else {"self": None}
    return plan_capture(family, all_layers, capture, reads=reads, own_softmax=("self",))


def fit_mask(
    family: Family, all_layers: Mapping[str, Layer], mask: MaskConfig, layers: LayerChoice
) -> tuple[MaskConfig, list[str]]:
    """(mask, notes): the masks' constants with levels that the network has, and a line about each change.

    family, all_layers: as in `plan_capture`. mask: the constants as the user gave them. layers: the choice of layers to
    capture; if the network does not distinguish such groups, another line says so. Raises UserError for layers and
    levels that the network lacks.
    """
    chosen = family.layers_by_kind(all_layers, layers)
    levels: dict[Kind, set[int]] = {kind: {layer.level for layer in chosen[kind].values()} for kind in KINDS}
    mask, notes = fit_levels(levels, mask, layers, replaces_missing=family.replaces_missing_levels)
    if family.network_part != "unet" and not {*SIDES[1:]}.isdisjoint(by_kind(layers).values()):
        notes.insert(0, f"layers = {layers}: this model does not distinguish these layers; all are read")
    return mask, notes


def fit_levels(
    levels_there: Mapping[Kind, Collection[int]],
    mask: MaskConfig,
    layers: LayerChoice = "all",
    *,
    replaces_missing: bool,
) -> tuple[MaskConfig, list[str]]:
    """(mask, notes): the masks' constants with levels that a network has, and one line about each change. For example,
    seed_level = 8 becomes 4 in a network without L/8.

    levels_there: kind of attention → the levels of the captured layers. mask: the constants as the user gave them.
    layers: the choice of these layers, for messages. replaces_missing: replace a missing level by the nearest one;
    otherwise raise UserError. Either way raises UserError if the method reads a kind of attention that these layers do
    not have.
    """
    changed: dict[str, Any] = {}
    notes: list[str] = []
    for option, levels in usable_levels(levels_there, mask, layers).items():
        wanted = levels_of(mask, option)
        listed = ",".join(map(str, wanted))
        missing = [level for level in wanted if level not in levels]
        if missing and not replaces_missing:
            group = "" if layers == "all" else f" in its {layers} layers"
            problem = f"{listed}: the model has no attention at L/{missing[0]}{group}"
            fix = f"levels there: {', '.join(map(str, sorted(levels)))}"
            raise UserError(f"mask.{option}", problem, fix)
        closest = nearest(wanted, levels)
        if replaces_missing and closest != wanted:
            changed[option] = closest if option == "expand_levels" else closest[0]
            names = [", ".join(map(level_name, some)) for some in (wanted, closest)]
            notes.append(f"{option} = {listed} ({names[0]}): the nearest that the model has is {names[1]}")
    return replace(mask, **changed) if changed else mask, notes


def usable_levels(
    levels_there: Mapping[Kind, Collection[int]], mask: MaskConfig, layers: LayerChoice
) -> dict[LevelOption, set[int]]:
    """Option of a mask method → the levels that it may have: those of the kind of attention whose levels it sets, or
    those that both kinds have, if it sets both. The arguments of `fit_levels`. Raises UserError for a kind without
    levels."""
    usable: dict[LevelOption, set[int]] = {}
    options = level_options(mask)
    for kind in maps_read(mask):
        levels = {*levels_there[kind]}
        option = options.get(kind)
        if isinstance(option, str):  # a field of `mask`, not fixed levels
            levels &= usable.get(option, levels)
            usable[option] = levels
        group = by_kind(layers)[kind]
        if not levels and (option or group != "all"):  # Z-Image's first blocks do not read the text
            problem = f"method {mask.method} reads {kind}-attention, which these layers do not have"
            raise UserError("capture.layers", f"{group}: {problem}")
    return usable


def nearest(wanted: Collection[int], levels: Collection[int]) -> tuple[int, ...]:
    """The levels nearest to the wanted levels, without repetitions, coarse to fine. Distance is the ratio of two
    levels. If two levels are equally near, the finer one counts. For example, wanted 8 and 1 give (4, 1) of levels 1,
    2, 4."""
    found = {min(levels, key=lambda other: (abs(log2(other / level)), other)) for level in wanted}
    return tuple(sorted(found, reverse=True))


class ExpectedMaps(NamedTuple):
    """The running maps of one kind of attention at one level."""

    kind: Kind
    level: int
    bytes: int
    """Bytes of one map."""
    held: int
    """The number of maps in memory: 1; for a geometric mean one a layer, and the mean."""


@dataclass(frozen=True)
class Expected:
    """The running maps that an image will need."""

    maps: Sequence[ExpectedMaps]
    lattice: Grid
    """(height, width) of L."""

    @property
    def map_bytes(self) -> int:
        """Bytes of the maps."""
        return sum(one.bytes * one.held for one in self.maps)

    def __str__(self) -> str:
        by_kind = {kind: sorted(one.level for one in self.maps if one.kind == kind) for kind in KINDS}
        kinds = (
            f"{kind}-attention at {', '.join(map(level_name, levels))}" for kind, levels in by_kind.items() if levels
        )
        height, width = self.lattice
        return f"{' and '.join(kinds)} of {width}×{height}; maps of {show_bytes(self.map_bytes)} an image"
