"""`CapturePlan`: what a capture will hold, decided once, from the network's config.json alone. Loads nothing.

    plan = plan_capture(model.family, model.network.config, mask=MaskConfig(method="ca_sa"))
    images, maps = generate_batch(model, specs, steps=50, guidance_scale=7.5, negative_prompt="", size=None, plan=plan)

Every run holds layers, levels and kinds of attention against the network here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..config.constants import CaptureConfig, MaskConfig, SegmentConfig
from ..config.levels import EVERYTHING, Reads, check_kinds, fit_levels, level_name, maps_read
from ..errors import UserError
from ..files.messages import show_bytes
from ..models.families.base import Family, LayerKind
from ..models.groups import Kind, Layers, block_numbers, by_kind, normal_layers

ORDER: tuple[LayerKind, ...] = ("joint", "self", "cross")
DEFAULT, PLAIN_MEANS = CaptureConfig(), CaptureConfig(normalize=False)


@dataclass(frozen=True)
class CapturePlan:
    """What is captured of a network. Made by `plan_capture`, then passed down unchanged.

    family, network: the network's family and its config.json. capture: how maps are averaged; its layers are groups
    that the network distinguishes. reads: kind of attention → the levels to capture; None: all. alone: in joint
    attention, the kinds whose softmax is over the picture's ("self") or the text's columns ("cross") alone. mask: the
    constants of masks, with levels that the network has; None: no masks are planned. notes: the changes, a line each.
    pipeline, size: class of the pipeline, and (height, width) of L, for `expected`; None: not known yet.
    """

    family: Family
    network: Mapping[str, Any] = field(repr=False)
    capture: CaptureConfig
    reads: Reads
    alone: frozenset[Kind] = frozenset()
    mask: MaskConfig | None = None
    notes: tuple[str, ...] = ()
    pipeline: str = ""
    size: tuple[int, int] | None = None

    @property
    def expected(self) -> Expected | None:
        """The contents and memory of the capture; None if `size` is not known, or config.json does not say enough."""
        return None if self.size is None else _expect(self, self.size)


def plan_capture(
    family: Family,
    network: Mapping[str, Any],
    capture: CaptureConfig = DEFAULT,
    *,
    mask: MaskConfig | None = None,
    reads: Reads | None = None,
    alone: Collection[Kind] = (),
    pipeline: str = "",
    size: tuple[int, int] | None = None,
) -> CapturePlan:
    """The plan for a network with this config.json.

    mask: the masks that will be made; their method decides what is read. reads: instead of that; without either,
    everything is captured. alone: beside what `capture.text_share` asks for.

    Raises UserError for layers and levels that the network lacks, for a method that needs attention which these do not
    have, and for `capture.prompt` without a UNet.
    """
    # 1. Whose words
    if capture.prompt is not None and family.network != "unet":
        problem = f"{capture.prompt}: works with UNets, and {family.title} has none"
        raise UserError("capture.prompt", problem, "leave it out")

    # 2. Layers
    layers = family.fit_layers(network, capture.layers)

    # 3. Kinds and levels that the method reads
    notes: list[str] = []
    if mask is not None:
        check_kinds(family, mask)
        for kind in maps_read(mask):
            _check_blocks(family, network, mask, by_kind(layers)[kind], kind)
        mask, notes = fit_levels(network, mask, capture, family)
    if reads is None:
        reads = EVERYTHING if mask is None else maps_read(mask)

    # 4. Softmax
    kinds: frozenset[Kind] = frozenset({*alone, "cross"} if capture.text_share == "text" else alone)
    capture = capture if capture.layers == layers else replace(capture, layers=layers)
    return CapturePlan(family, network, capture, reads, kinds, mask, tuple(notes), pipeline, size)


def plan_segments(
    family: Family,
    network: Mapping[str, Any],
    segment: SegmentConfig,
    model: str,
    capture: CaptureConfig = PLAIN_MEANS,
    **known: Any,
) -> CapturePlan:
    """The plan for segments, of plain means of self-attention. model: its name, for messages. known: `pipeline`,
    `size`. Raises UserError if the family lacks what the method divides.
    """
    if why := family.no_self_attention:
        problem = f"{model}: segments need self-attention, and {family.title} has no maps of it: {why}"
        raise UserError("model", problem, "use another model")
    if segment.divides_features and family.network != "unet":
        problem = f"{segment.method}: divides the features of a UNet's encoder, and model '{model}' has none"
        raise UserError("segment.method", problem, "use diffseg or kmeans")
    reads: Reads = {} if segment.divides_features else {"self": None}
    return plan_capture(family, network, capture, reads=reads, alone=("self",), **known)


def _check_blocks(family: Family, network: Mapping[str, Any], mask: MaskConfig, group: Layers, kind: Kind) -> None:
    """Raise UserError for blocks of a transformer that lack what a method reads, as Z-Image's first do with text."""
    if block_numbers(group) is None:
        return
    counts = family.layer_counts(network, group)
    if not counts.get(kind) and not counts.get("joint"):
        problem = f"{group}: method {mask.method} reads {kind}-attention, which these blocks do not have"
        raise UserError("capture.layers", problem)


@dataclass(frozen=True)
class Expected:
    """layers: the number of layers of each kind. maps, held: (kind, level) → (rows, columns) of an image's running map,
    and the number of such maps. size: (height, width) of L."""

    layers: Mapping[LayerKind, int]
    maps: Mapping[tuple[str, int], tuple[int, int]]
    size: tuple[int, int]
    held: Mapping[tuple[str, int], int] = field(default_factory=dict)

    @property
    def map_bytes(self) -> int:
        """Bytes of one image's running maps."""
        return 4 * sum(rows * columns * self.held.get(where, 1) for where, (rows, columns) in self.maps.items())

    def __str__(self) -> str:
        counts = (f"{count} layer{'s' * (count > 1)} of {_called(kind)}" for kind, count in self.layers.items())
        levels: dict[str, str] = {}
        for kind in dict.fromkeys(kind for kind, _ in self.maps):
            levels[kind] = ", ".join(level_name(level) for level in sorted(at for of, at in self.maps if of == kind))
        where = f", at {next(iter(levels.values()), '')}"  # written once if both kinds have the same levels
        if len(set(levels.values())) != 1:
            where = "; of these " + ", ".join(f"{kind}-attention at {names}" for kind, names in levels.items())
        size = f"{self.size[1]}×{self.size[0]}"
        return f"{', '.join(counts)}{where} of {size}; maps of {show_bytes(self.map_bytes)} an image"


def _expect(plan: CapturePlan, size: tuple[int, int]) -> Expected | None:
    family, config = plan.family, plan.network
    layers: Counter[LayerKind] = Counter()
    maps, counts = {}, {}
    try:
        both = by_kind(plan.capture.layers)
        groups: dict[Kind, Layers] = {kind: both[kind] for kind in plan.reads}
        blocks = all(block_numbers(fitted) is not None for fitted in groups.values())
        either = normal_layers(",".join(groups.values())) if groups and blocks else "all"
        layers["joint"] = family.layer_counts(config, either).get("joint", 0)
        for kind, fitted in groups.items():
            there = family.layer_counts(config, fitted)
            layers[kind] = there.get(kind, 0)
            at = plan.reads[kind]
            levels = [level for level in family.levels(config, fitted) if at is None or level in at]
            for level in levels if there.get(kind) or there.get("joint") else ():
                rows = -(-size[0] // level) * -(-size[1] // level)
                maps[kind, level] = rows, rows if kind == "self" else family.columns(plan.pipeline)
                at_level = family.layer_counts(config, fitted, level)
                by_layer = at_level.get(kind, 0) + at_level.get("joint", 0)
                geometric = kind == "cross" and plan.capture.mean == "geometric"  # otherwise only the mean is held
                counts[kind, level] = 1 + by_layer if geometric else 1
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    maps = dict(sorted(maps.items(), key=lambda item: item[0][1]))  # the finest level first
    return Expected({kind: layers[kind] for kind in ORDER if layers[kind]}, maps, size, counts)


def _called(kind: LayerKind) -> str:
    return "joint attention" if kind == "joint" else f"{kind}-attention"
